"""A path that a real kernel shapes: it is what it says, and nothing of it is ever left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import netem_here
from tests.links.residue import POINTS_S, left_after_kill
from workbench.errors import LinkError, LinkMismatchError
from workbench.links import LinkTrace, NetemLink, Tolerance, make_link
from workbench.links.base import shape_of
from workbench.profiles import LinkProfile

netem = pytest.mark.netem
PLAIN = LinkProfile(0.02, 8e6, 12e6, name="plain")
RICH = LinkProfile(
    0.05,
    4e6,
    9e6,
    jitter_s=0.002,
    jitter_distribution="uniform",
    jitter_correlation=0.25,
    loss=0.01,
    reorder=0.02,
    duplicate=0.03,
    corrupt=0.04,
    downlink={"loss": 0.03, "loss_burst": 4, "delay_s": 0.03, "queue_bytes": 200_000},
    name="rich",
)
_SHARE = 2**32 - 1


@pytest.fixture
def link() -> Iterator[NetemLink]:
    with NetemLink(PLAIN) as made:
        yield made


@netem
def test_every_setting_is_read_back_from_the_kernel(link: NetemLink) -> None:
    link.change(RICH)
    up, down = link.settings()["up"], link.settings()["down"]
    assert (up["latency_ns"], down["latency_ns"]) == (20_000_000, 30_000_000)
    assert (up["jitter_ns"], up["delay_correlation"]) == (2_000_000, round(0.25 * _SHARE))
    assert up["rate_bytes_per_s"] == round(4e6 / 8 * 1514 / 1448)
    assert (up["loss"], up["gilbert_elliott"]) == (round(0.01 * _SHARE), None)
    assert (up["reorder"], up["duplicate"], up["corrupt"]) == tuple(
        round(share * _SHARE) for share in (0.02, 0.03, 0.04)
    )
    assert down["loss"] == 0
    p, r = (chance / _SHARE for chance in down["gilbert_elliott"])
    assert p / (p + r) == pytest.approx(0.03)
    assert 1 / r == pytest.approx(4)
    assert down["limit"] > 200_000 / 1514


@netem
def test_a_change_takes_back_what_the_profile_before_had(link: NetemLink) -> None:
    before = link.settings()
    link.change(RICH)
    link.change(PLAIN)
    assert link.settings() == before


@netem
def test_what_is_asked_is_what_is_measured(link: NetemLink) -> None:
    found = link.verify(Tolerance(rate_share=0.1, rtt_share=0.1, rtt_s=4e-3))
    assert found.label == "measured"
    assert [check.name for check in found.checks] == [
        "round trip",
        "rate up",
        "loss up",
        "rate down",
        "loss down",
    ]


@netem
@pytest.mark.parametrize("burst", [1.0, 5.0])
def test_losses_come_as_often_as_asked(link: NetemLink, burst: float) -> None:
    link.change(LinkProfile(0.01, 2e7, 2e7, loss=0.05, loss_burst=burst, name="lossy"))
    found = link.verify(Tolerance(rate_share=0.5, rtt_share=1, loss_deviations=5, seconds=2))
    assert found.check("loss up").found > 0
    assert found.check("loss down").found > 0


@netem
def test_a_link_that_is_not_what_it_says_is_refused(link: NetemLink) -> None:
    link._ask("shape", shape=shape_of(LinkProfile(0.08, 1e6, 12e6)))
    with pytest.raises(LinkMismatchError, match=r"round trip: asked 0.02.*rate up: asked 8e") as caught:
        link.verify(Tolerance(rate_share=0.3))
    assert not caught.value.verification.ok


@netem
def test_changing_leaves_no_moment_of_unlimited_bandwidth(link: NetemLink) -> None:
    edge, cloud = link.connect()
    with edge, cloud:
        edge.setblocking(False)
        cloud.settimeout(10)
        began_s, got, n = time.perf_counter(), 0, 0
        while (now_s := time.perf_counter()) < began_s + 3:
            with contextlib.suppress(BlockingIOError):
                edge.send(bytes(1 << 16))
            n += 1
            link.change(LinkProfile(0.02, 8e6 + 1e5 * (n % 10), 12e6))
            with contextlib.suppress(BlockingIOError):
                cloud.setblocking(False)
                got += len(cloud.recv(1 << 20))
    assert n > 20
    assert 0 < got * 8 <= 8.9e6 * (now_s - began_s) * 1.01


@netem
def test_an_outage_loses_everything_and_ends(link: NetemLink) -> None:
    near, far = link.datagrams()
    with near, far:
        far.settimeout(0.3)
        link.pause()
        near.send(b"lost")
        with pytest.raises(TimeoutError):
            far.recv(100)
        link.resume()
        near.send(b"there")
        far.settimeout(10)
        assert far.recv(100) == b"there"
    assert link.profile == PLAIN


@netem
def test_a_trace_changes_the_kernels_settings_by_itself(link: NetemLink) -> None:
    before = link.settings()["up"]["rate_bytes_per_s"]
    link.follow(LinkTrace.outage(at_s=0.2, for_s=0.5))
    assert link.settings()["up"]["rate_bytes_per_s"] == before
    time.sleep(0.4)
    assert link.settings()["up"]["loss"] == _SHARE
    deadline = time.monotonic() + 10
    while link.settings()["up"]["loss"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert link.settings()["up"]["rate_bytes_per_s"] == before


@netem
def test_it_is_made_in_a_running_event_loop() -> None:
    async def notebook_cell() -> float:
        with NetemLink(PLAIN) as link:
            return link.transfer_s(100, "up")

    assert asyncio.run(notebook_cell()) >= 0.0099


@netem
def test_processes_of_both_sides_meet_over_the_path(link: NetemLink) -> None:
    serve = (
        "import socket; s = socket.create_server(('192.0.2.2', 0)); print(s.getsockname()[1], flush=True);"
        "c, _ = s.accept(); c.sendall(c.recv(9).upper())"
    )
    with tempfile.TemporaryFile() as errors:
        cloud = link.site("cloud").start([sys.executable, "-c", serve], stderr=errors, env=dict(os.environ))
        port = int(cloud.stdout.readline())
        dial = (
            f"import socket; c = socket.create_connection(('192.0.2.2', {port})); c.sendall(b'hello');"
            "print(c.recv(9).decode())"
        )
        edge = link.site("edge").start([sys.executable, "-c", dial], stderr=errors, env=dict(os.environ))
        assert edge.stdout.read() == b"HELLO\n"
        assert (edge.wait(10), cloud.wait(10)) == (0, 0)
        assert edge.poll() == 0
        for process in (edge, cloud):
            process.stdin.close()
            process.stdout.close()


@netem
def test_a_process_can_be_ended_and_ends_with_the_link() -> None:
    with NetemLink(PLAIN) as link, tempfile.TemporaryFile() as errors:
        sleeps = [sys.executable, "-c", "import time; time.sleep(600)"]
        first, second = (
            link.site(place).start(sleeps, stderr=errors, env=dict(os.environ)) for place in ("edge", "cloud")
        )
        first.terminate()
        assert first.wait(10) == -signal.SIGTERM
    assert second.wait(10) == -signal.SIGKILL
    for process in (first, second):
        process.stdin.close()
        process.stdout.close()


@netem
def test_what_is_outside_of_the_path_cannot_be_opened(link: NetemLink) -> None:
    with pytest.raises(LinkError, match=r"127.0.0.1:5 is outside.*192.0.2.2"):
        link.open("tcp://127.0.0.1:5")
    with pytest.raises(LinkError, match="no 'moon'"):
        link.site("moon")


@netem
def test_a_keeper_that_died_is_told(link: NetemLink) -> None:
    os.kill(link.pid, signal.SIGKILL)
    with pytest.raises(LinkError, match="keeper"):
        link.transfer_s(1, "up")


@netem
def test_two_links_are_strangers() -> None:
    with NetemLink(PLAIN) as first, NetemLink(LinkProfile(0.1, 1e6, 1e6)) as second:
        assert first.transfer_s(1, "up") < 0.045
        assert second.transfer_s(1, "up") >= 0.0499


@netem
def test_it_needs_no_root() -> None:
    make = (
        "from workbench.links import make_link; from workbench.profiles import LinkProfile\n"
        "with make_link('netem', LinkProfile(0.02, 8e6, 8e6)) as link: print(link.transfer_s(1, 'up'))"
    )
    done = _without_rights(make)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) >= 0.0099


@pytest.mark.uml
def test_forbidden_namespaces_are_explained() -> None:
    setting = Path("/proc/sys/user/max_user_namespaces")
    before = setting.read_text(encoding="ascii")
    setting.write_text("0", encoding="ascii")
    try:
        done = _without_rights(
            "from workbench.links import make_link; from workbench.profiles import LinkProfile\n"
            "make_link('netem', LinkProfile(0.02, 8e6, 8e6))"
        )
    finally:
        setting.write_text(before, encoding="ascii")
    assert done.returncode != 0
    assert "forbids namespaces" in done.stderr
    assert "link_kind='proxy'" in done.stderr


@pytest.mark.skipif(netem_here(), reason="this kernel has netem: what is said without it is tested elsewhere")
def test_a_kernel_without_netem_is_explained() -> None:
    with pytest.raises(LinkError, match=r"modprobe sch_netem.*'proxy'"):
        make_link("netem", PLAIN)


@netem
@pytest.mark.slow
def test_a_killed_owner_leaves_nothing() -> None:
    assert {f"{at_s:.2f} s": left for at_s in POINTS_S if (left := left_after_kill(at_s))} == {}


def _without_rights(program: str) -> subprocess.CompletedProcess[str]:
    """As root's own files' owner, with none of root's capabilities."""
    drop = ["setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all"]
    return subprocess.run([*drop, sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
