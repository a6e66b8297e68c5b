"""What every throttle guarantees, whichever way it holds a process.

Every kind runs here, gpu-memory too: it holds by what the stage sets for itself, so that its life can be
tested without a card; that a card then keeps to it is tested where there is one (``tests/devices``). Control
groups of version 2 run where the system has them, else in user-mode-linux.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.control_groups import V1, V2, groups, passed_on, stage, version_here
from workbench.devices import (
    PACES,
    THROTTLES,
    AffinityThrottle,
    CgroupThrottle,
    DilationThrottle,
    GpuMemoryThrottle,
    Throttle,
)
from workbench.errors import ThrottleError

_MADE: dict[str, Callable[[], Throttle]] = {
    "dilation": DilationThrottle,
    "cgroup-v1": lambda: CgroupThrottle(0.5, 256 * 2**20),
    "cgroup-v2": lambda: CgroupThrottle(0.5, 256 * 2**20),
    "affinity": lambda: AffinityThrottle(1),
    "gpu-memory": lambda: GpuMemoryThrottle(0.25),
}
_SETS_SOMETHING = ("cgroup", "affinity")

Make = Callable[[], Throttle]


@pytest.fixture(params=["dilation", V1, V2, "affinity", "gpu-memory"])
def make(request: pytest.FixtureRequest) -> Make:
    return _MADE[request.param]


@pytest.fixture
def throttle(make: Make) -> Iterator[Throttle]:
    with make() as made:
        yield made


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    with stage() as started:
        yield started


def _state(pid: int) -> dict[str, Any]:
    """All that a throttle may set, as the kernel has it."""
    group = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
    ours = (groups(), passed_on()) if version_here() else None
    return {"cpus": os.sched_getaffinity(pid), "group": group, "groups": ours}


def test_a_throttle_says_what_it_is(throttle: Throttle) -> None:
    assert isinstance(throttle, THROTTLES[throttle.kind])
    assert throttle.models
    assert throttle.omits
    assert throttle.pace in PACES
    assert (throttle.pace == "dilation") == (throttle.kind == "dilation")


def test_threads_match_what_the_process_is_started_with(throttle: Throttle) -> None:
    threads = throttle.environment().get("OMP_NUM_THREADS")
    assert threads == (None if throttle.threads is None else str(throttle.threads))


def test_nothing_is_set_before_hold(make: Make, process: subprocess.Popen[str]) -> None:
    before = _state(process.pid)
    with make() as throttle:
        assert _state(process.pid) == before
        assert throttle.settings == {}
        assert throttle.verdict() is None


def test_what_is_set_is_read_back_and_restored(throttle: Throttle, process: subprocess.Popen[str]) -> None:
    before = _state(process.pid)
    throttle.hold(process.pid)
    throttle.confirm(throttle.options())
    during = _state(process.pid)
    if throttle.kind in _SETS_SOMETHING and (throttle.kind == "cgroup" or len(before["cpus"]) > 1):
        assert during != before
    assert bool(throttle.settings) == (throttle.kind != "dilation")
    throttle.close()
    assert _state(process.pid) == before
    assert process.poll() is None


def test_what_a_process_has_started_and_starts_later_is_held_too(throttle: Throttle) -> None:
    script = (
        "import os, sys\nfor _ in range(2):\n r, w = os.pipe(); p = os.fork()\n"
        " if not p:\n  os.close(w); os.read(r, 1); os._exit(0)\n print(p, flush=True); sys.stdin.readline()\n"
    )
    with stage(script) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        first = int(process.stdout.readline())
        before = _state(first)
        throttle.hold(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        second = int(process.stdout.readline())
        assert _state(first) == _state(second) == _state(process.pid)
        throttle.close()
        assert _state(first) == _state(second) == before
        for child in (first, second):
            os.kill(child, signal.SIGKILL)


def test_close_may_be_called_again_and_is_for_good(
    throttle: Throttle, process: subprocess.Popen[str]
) -> None:
    throttle.hold(process.pid)
    throttle.close()
    throttle.close()
    with pytest.raises(ThrottleError, match="closed"):
        throttle.hold(process.pid)


def test_a_process_that_is_gone_cannot_be_held(make: Make, process: subprocess.Popen[str]) -> None:
    before = _state(os.getpid())
    with stage("") as ended:
        ended.wait()
    with make() as throttle, pytest.raises(ThrottleError, match="has ended"):
        throttle.hold(ended.pid)
    assert _state(os.getpid()) == before


def test_a_process_that_ends_by_itself_gets_no_verdict(throttle: Throttle) -> None:
    with stage() as process:
        throttle.hold(process.pid)
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        assert throttle.verdict() is None


def test_two_of_one_owner_do_not_touch_each_other(make: Make) -> None:
    with stage() as one, stage() as other, make() as first, make() as second:
        before = _state(one.pid)
        first.hold(one.pid)
        second.hold(other.pid)
        held = _state(other.pid)
        first.close()
        after = _state(other.pid)
        assert (after["cpus"], after["group"]) == (held["cpus"], held["group"])
        second.close()
        assert _state(one.pid) == _state(other.pid) == before


def test_it_is_used_from_any_thread(throttle: Throttle, process: subprocess.Popen[str]) -> None:
    before = _state(process.pid)
    for work in (lambda: throttle.hold(process.pid), throttle.close):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert _state(process.pid) == before


_OWNER = """
import subprocess, sys
from tests.contracts.test_throttle_contract import _MADE
from tests.control_groups import WAITS
stages = [subprocess.Popen([sys.executable, "-I", "-S", "-c", WAITS], stdin=subprocess.PIPE) for _ in "ab"]
throttles = [_MADE[sys.argv[1]]() for _ in stages]
for stage, throttle in zip(stages, throttles):
    throttle.hold(stage.pid)
print("held", flush=True)
sys.stdin.read()
"""


def test_an_owner_that_is_killed_leaves_nothing(request: pytest.FixtureRequest, make: Make) -> None:
    """With two throttles at once. ``tests/devices`` kills at many moments."""
    name = next(name for name, function in _MADE.items() if function is make)
    before = _state(os.getpid())
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, name], cwd=request.config.rootpath, **pipes
    ) as owner:  # type: ignore[call-overload]
        assert owner.stdout.readline() == b"held\n"
        started = psutil.Process(owner.pid).children(recursive=True)
        assert len(started) >= 2
        owner.kill()
    until = time.monotonic() + 2.0
    while time.monotonic() < until and (_state(os.getpid()) != before or any(map(_runs, started))):
        time.sleep(0.02)
    assert _state(os.getpid()) == before
    assert not [process for process in started if _runs(process)]


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
