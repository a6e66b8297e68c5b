"""Control groups for real: the quota slows, the limit ends, and whatever is killed, nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.control_groups import V1, V2, groups, passed_on, stage, version_here
from workbench.devices import CgroupThrottle, describe_groups
from workbench.devices.keeper import find_site, owner_token
from workbench.errors import ThrottleError

MIB = 2**20
NOBODY = 65534
ROOT = Path(__file__).parents[2]
KEEPER = ROOT / "workbench" / "devices" / "keeper.py"
PYTHON = "/usr/bin/python3"  # any other may lie in a folder of root's


@pytest.fixture(params=[V1, V2], autouse=True)
def version(request: pytest.FixtureRequest) -> Iterator[str]:
    before = groups(), passed_on()
    yield request.param
    assert (groups(), passed_on()) == before


def test_a_quota_slows() -> None:
    spin = (
        "import sys, time\nsys.stdin.readline()\nwall, cpu = time.time(), time.process_time()\n"
        "while time.time() < wall + 1: pass\nprint((time.process_time() - cpu) / (time.time() - wall))"
    )
    with stage(spin) as process, CgroupThrottle(0.25) as throttle:
        throttle.hold(process.pid)
        share, _ = process.communicate("\n")
        assert float(share) < 0.4
        counters = (Path(throttle.settings["folders"][0]) / "cpu.stat").read_text(encoding="utf-8").split()
        assert int(counters[counters.index("nr_throttled") + 1]) > 10
        assert throttle.settings["period_s"] == 0.01


def test_a_memory_limit_ends_the_process_and_only_that() -> None:
    grow = "import sys\nsys.stdin.readline()\nkept = [b'x' * 2**20 for _ in range(300)]"
    with stage(grow) as process, CgroupThrottle(1.0, 48 * MIB) as throttle:
        throttle.hold(process.pid)
        process.communicate("\n")
        assert process.returncode == -signal.SIGKILL
        verdict = throttle.verdict()
        assert verdict is not None
        assert "memory limit of 48.0 MiB" in verdict
        assert "fewer bits" in verdict
    assert throttle.verdict() == verdict  # it is told after closing too


def test_what_fits_is_left_alone() -> None:
    small = "import sys\nsys.stdin.readline()\nx = b'x' * (8 * 2**20)"
    with stage(small) as process, CgroupThrottle(1.0, 64 * MIB) as throttle:
        throttle.hold(process.pid)
        process.communicate("\n")
        assert (process.returncode, throttle.verdict()) == (0, None)


def test_limits_are_in_whole_pages_and_swap_does_not_hide_them() -> None:
    with stage() as process, CgroupThrottle(0.5, 64 * MIB + 1) as throttle:
        throttle.hold(process.pid)
        assert throttle.settings["memory_bytes"] == 64 * MIB
        memory = Path(throttle.settings["folders"][-1])
        swap = {
            "memory.swap.max": "0",
            "memory.memsw.limit_in_bytes": str(64 * MIB),
            "memory.swappiness": "0",
        }
        found = {f: (memory / f).read_text(encoding="utf-8").strip() for f in swap if (memory / f).exists()}
        assert found == {file: swap[file] for file in found}


def test_a_small_share_gets_longer_periods() -> None:
    with stage() as process, CgroupThrottle(0.02) as throttle:
        throttle.hold(process.pid)
        assert throttle.settings["period_s"] == 0.05
        assert throttle.settings["cores"] == 0.02
        assert throttle.threads == 1


_OWNER = """
import subprocess, sys
from workbench.devices import cgroup
cgroup.sys.executable = sys.argv[1]  # what keepers run under
stages = sys.orig_argv[0]
from tests.control_groups import WAITS
from workbench.devices import CgroupThrottle
stage = subprocess.Popen([stages, "-I", "-S", "-c", WAITS], stdin=subprocess.PIPE)
throttle = CgroupThrottle(0.5, 64 * 2**20)
try:
    throttle.hold(stage.pid)
except Exception as error:
    print(type(error).__name__, error, flush=True)
else:
    print("held", throttle.settings["folders"], flush=True)
sys.stdin.read()
throttle.close()
stage.kill()
stage.wait()
"""


@contextmanager
def _owner(group: Path | None = None, keeper: str = sys.executable) -> Iterator[subprocess.Popen[str]]:
    """A process that throttles a stage: started in a group, with keepers run under another interpreter."""
    command = [sys.executable, "-c", _OWNER, keeper]
    if group is not None:
        command = ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh", *command]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def _gone(pids: list[int], within_s: float = 2.0) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if not any(map(_runs, pids)):
            return True
        time.sleep(0.02)
    return False


def _runs(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.slow
def test_an_owner_killed_at_any_moment_leaves_nothing() -> None:
    with _owner() as timed:
        started_s = time.monotonic()
        assert timed.stdout is not None
        timed.stdout.readline()
        usual_s = time.monotonic() - started_s
    assert _gone([timed.pid])
    _wait_until_clean(set(), "")
    before = groups(), passed_on()
    for moment in range(20):
        with _owner() as owner:
            time.sleep(usual_s * (0.5 + moment / 30))  # imports take the first half
            started = [child.pid for child in psutil.Process(owner.pid).children(recursive=True)]
            owner.kill()
        assert _gone(started)
        _wait_until_clean(*before)


def _wait_until_clean(usual: set[Path], passed: str, within_s: float = 2.0) -> None:
    until = time.monotonic() + within_s
    while time.monotonic() < until and groups() != usual:
        time.sleep(0.02)
    assert groups() == usual
    assert not passed or passed_on() == passed


def _keeper_of(pid: int) -> psutil.Process:
    return next(
        child for child in psutil.Process(pid).children() if any("keeper.py" in a for a in child.cmdline())
    )


def test_a_keeper_that_was_killed_is_not_missed_by_its_owner() -> None:
    with stage() as process, CgroupThrottle(0.5, 64 * MIB) as throttle:
        before = Path(f"/proc/{process.pid}/cgroup").read_text(encoding="utf-8")
        throttle.hold(process.pid)
        _keeper_of(os.getpid()).kill()
        throttle.close()
        assert Path(f"/proc/{process.pid}/cgroup").read_text(encoding="utf-8") == before
        assert process.poll() is None


def test_what_a_killed_owner_and_a_killed_keeper_leave_is_swept_by_the_next() -> None:
    before = groups()
    with _owner() as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline().startswith("held")
        _keeper_of(owner.pid).kill()
        owner.kill()
    left = {folder for folder in groups() - before if f"-{owner.pid}-" in folder.name}
    assert left
    with stage() as process, CgroupThrottle(0.5, 64 * MIB) as throttle:
        throttle.hold(process.pid)
        assert not left & groups()


def test_groups_of_an_owner_that_lives_are_left_alone() -> None:
    with _owner() as owner, stage() as process:
        assert owner.stdout is not None
        assert owner.stdout.readline().startswith("held")
        theirs = {folder for folder in groups() if owner_token(owner.pid) in folder.name}
        assert theirs
        with CgroupThrottle(0.5, 64 * MIB) as throttle:
            throttle.hold(process.pid)
            assert theirs <= groups()
        assert theirs <= groups()
        assert all(int((f / "cgroup.procs").read_text(encoding="utf-8")) for f in theirs)
        owner.communicate()  # it ends in order
    assert not theirs & groups()


@pytest.fixture
def nobody(tmp_path: Path) -> str:
    """An interpreter that runs as a user with no rights at all."""
    script = tmp_path / "python"
    script.write_text(
        f'#!/bin/sh\nexec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {PYTHON} "$@"\n'
    )
    script.chmod(0o755)
    probe = subprocess.run([script, "-I", "-S", KEEPER, "1"], stdin=subprocess.DEVNULL, capture_output=True)
    if probe.returncode:
        pytest.skip(f"no interpreter for another user: {probe.stderr!r}")
    return str(script)


@pytest.mark.root
def test_without_the_right_to_make_groups_the_way_out_is_told(nobody: str) -> None:
    with _owner(keeper=nobody) as owner:
        assert owner.stdout is not None
        said = owner.stdout.readline()
    assert said.startswith("ThrottleError")
    for way_out in ("root", "systemd-run --user --scope -p Delegate=yes", "throttle='dilation'"):
        assert way_out in said


@pytest.mark.root
def test_a_group_around_that_allows_less_is_told() -> None:
    outer = find_site().parents["cpu"] / "around-the-tests"
    inner = outer / "session"
    try:
        outer.mkdir()
        if version_here() == 2:
            _pass_on(outer.parent, "+cpu +memory")
            (outer / "cpu.max").write_text("20000 100000")
            _pass_on(outer, "+cpu +memory")
        else:
            (outer / "cpu.cfs_quota_us").write_text("20000")
        inner.mkdir()
        with _owner(inner) as owner:
            assert owner.stdout is not None
            said = owner.stdout.readline()
            assert said.startswith("ThrottleError")
            assert "allows less" in said or "Invalid argument" in said
    finally:
        _remove(inner, outer)
        if version_here() == 2:
            _pass_on(outer.parent, "-cpu -memory")


def _pass_on(folder: Path, controllers: str) -> None:
    (folder / "cgroup.subtree_control").write_text(controllers)


def _remove(*folders: Path) -> None:
    until = time.monotonic() + 2.0
    for folder in folders:
        while folder.is_dir() and time.monotonic() < until:
            with suppress(OSError):
                folder.rmdir()
            time.sleep(0.02)


@pytest.mark.root
def test_a_delegated_group_is_used_without_root(version: str, nobody: str) -> None:
    """As systemd delegates: a group that belongs to a user, whose session lives in a group within."""
    if version != "cgroup-v2":
        pytest.skip("only groups of version 2 are delegated to users: this case runs inside user-mode Linux")
    mine = find_site().parents["cpu"] / "delegated"
    session = mine / "session"
    try:
        mine.mkdir()
        _pass_on(mine.parent, "+cpu +memory")
        session.mkdir()
        for path in (mine, mine / "cgroup.procs", mine / "cgroup.subtree_control", session / "cgroup.procs"):
            os.chown(path, NOBODY, NOBODY)
        for home, expected in ((session, "held"), (mine, "holds processes itself")):
            with _owner(home, nobody) as owner:
                assert owner.stdout is not None
                assert expected in owner.stdout.readline()
                owner.communicate()
            assert (mine / "cgroup.subtree_control").read_text(encoding="utf-8").split() == []
    finally:
        _remove(session, mine)
        _pass_on(mine.parent, "-cpu -memory")


def test_the_last_of_two_owners_undoes_what_the_first_had_to_change(version: str) -> None:
    before = passed_on()
    with _owner() as owner, stage() as process, CgroupThrottle(0.5, 64 * MIB) as throttle:
        assert owner.stdout is not None
        assert owner.stdout.readline().startswith("held")
        throttle.hold(process.pid)
        owner.communicate()
        cpu = Path(throttle.settings["folders"][0])
        quota = cpu / ("cpu.max" if version == "cgroup-v2" else "cpu.cfs_quota_us")
        assert quota.read_text(encoding="utf-8").split()[0] == "5000"
    assert passed_on() == before


@pytest.mark.parametrize("cores", [0, -1, 1e4, float("nan"), 1e-5])
def test_shares_that_cannot_be(cores: float) -> None:
    with pytest.raises(ThrottleError, match="cores"):
        CgroupThrottle(cores)


@pytest.mark.parametrize("memory_bytes", [0, -1, 100])
def test_limits_that_cannot_be(memory_bytes: int) -> None:
    with pytest.raises(ThrottleError, match="at least one page"):
        CgroupThrottle(0.5, memory_bytes)


def test_what_is_here_is_described() -> None:
    able, text = describe_groups()
    assert able
    assert text.startswith(f"v{version_here()} in /sys/fs/cgroup")
