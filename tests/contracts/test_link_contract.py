"""What every link guarantees, whichever way it shapes the path."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from workbench.errors import LinkError, UnknownNameError
from workbench.links import LINK_KINDS, Direction, Link, LinkStats, LinkTrace, make_flow, make_link
from workbench.links.measure import transfer_s
from workbench.links.simulated import SimulatedLink
from workbench.links.traces import LinkStep
from workbench.profiles import LinkProfile

PROFILE = LinkProfile(rtt_s=0.02, uplink_bps=8e6, downlink_bps=80e6, name="test")
RATES: dict[Direction, float] = {"up": 8e6, "down": 80e6}
CLOCKS = 0.999  # two clocks of one host may differ by this much


_KINDS = [
    pytest.param(kind, marks=pytest.mark.netem) if kind == "netem" else kind for kind in sorted(LINK_KINDS)
]
_REAL_KINDS = [kind for kind in _KINDS if kind != "simulated"]


@pytest.fixture(params=_KINDS)
def link(request: pytest.FixtureRequest) -> Iterator[Link]:
    with make_link(request.param, PROFILE) as made:
        yield made


@pytest.fixture(params=_REAL_KINDS)
def real_link(request: pytest.FixtureRequest) -> Iterator[Link]:
    """One that carries bytes."""
    with make_link(request.param, PROFILE) as made:
        yield made


def _now_s(link: Link) -> float:
    """By the clock that the link goes by."""
    return link.now_s if isinstance(link, SimulatedLink) else time.monotonic()


def _wait_until(link: Link, moment_s: float) -> None:
    left_s = max(0.0, moment_s - _now_s(link))
    if isinstance(link, SimulatedLink):
        link.wait(left_s)
    else:
        time.sleep(left_s)


def test_a_link_says_what_it_is(link: Link) -> None:
    assert link.kind in LINK_KINDS
    assert isinstance(link, LINK_KINDS[link.kind])
    assert link.profile == PROFILE
    assert "delay" in link.models
    assert link.omits
    assert link.notes == ()


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("n_bytes", [1, 5000, 100_000])
def test_nothing_is_faster_than_delay_and_rate(link: Link, direction: Direction, n_bytes: int) -> None:
    took_s = link.transfer_s(n_bytes, direction)
    assert took_s >= CLOCKS * (PROFILE.rtt_s / 2 + n_bytes * 8 / RATES[direction])


@pytest.mark.parametrize("direction", ["up", "down"])
def test_its_own_model_is_never_slower_than_it(link: Link, direction: Direction) -> None:
    predicted_s = make_flow(link.kind, PROFILE, direction).transfer_s(50_000, 0.0)
    assert link.transfer_s(50_000, direction) >= CLOCKS * predicted_s


def test_what_was_carried_is_counted(link: Link) -> None:
    before = link.stats()
    link.transfer_s(3000, "up")
    link.transfer_s(70, "down")
    link.transfer_s(1, "up")
    up = link.stats().bytes_up - before.bytes_up
    down = link.stats().bytes_down - before.bytes_down
    if link.kind == "netem":  # frames, headers and acknowledgements included
        assert up > 3001
        assert down > 70
    else:
        assert before == LinkStats(0, 0)
        assert (up, down) == (3001, 70)


def test_a_change_holds_from_the_next_byte_on(link: Link) -> None:
    slow = LinkProfile(0.1, 1e6, 1e6, name="slow")
    link.transfer_s(1000, "up")
    link.change(slow)
    assert link.profile == slow
    assert link.transfer_s(10_000, "up") >= CLOCKS * (0.05 + 0.08)
    assert link.transfer_s(1, "down") >= CLOCKS * 0.05


# ---- a path that changes


def test_it_follows_a_trace(link: Link) -> None:
    trace = LinkTrace("steps", (LinkStep(0.0, uplink_bps=2e5), LinkStep(2.0, uplink_bps=8e6)), 3.0)
    began_s = _now_s(link)
    link.follow(trace)
    slow_s = link.transfer_s(30_000, "up")
    assert slow_s >= CLOCKS * (0.01 + 1.2)
    _wait_until(link, began_s + 2.1)
    assert CLOCKS * (0.01 + 0.03) <= link.transfer_s(30_000, "up") < slow_s
    assert link.profile == PROFILE


def test_a_transfer_goes_on_at_the_rate_that_a_trace_changes_to(link: Link) -> None:
    """Slower at first: all of it at the later rate would be too fast, at the first one too slow."""
    trace = LinkTrace("steps", (LinkStep(0.0, downlink_bps=1e5), LinkStep(0.5, downlink_bps=8e7)), 1.0)
    began_s = _now_s(link)
    link.follow(trace)
    link.transfer_s(100_000, "down")
    took_s = _now_s(link) - began_s
    assert took_s >= CLOCKS * (0.5 + (100_000 * 8 - 0.5 * 1e5) / 8e7)
    assert took_s < 100_000 * 8 / 1e5


def test_a_trace_may_loop(link: Link) -> None:
    """Of 2.4 Mbit, 0.9 get through in each round of 0.6 s; without another round 0.8 s would do."""
    trace = LinkTrace("steps", (LinkStep(0.0, uplink_bps=2e5), LinkStep(0.5)), 0.6)
    began_s = _now_s(link)
    link.follow(trace, loop=True)
    for _ in range(3):
        link.transfer_s(100_000, "up")
    assert _now_s(link) - began_s >= CLOCKS * 1.7


def test_its_profile_is_that_of_the_moment(link: Link) -> None:
    steps = (LinkStep(0.0, uplink_bps=1e6, rtt_s=0.05), LinkStep(500.0, loss=0.5))
    link.follow(LinkTrace("steps", steps, 1000.0))
    held = link.profile
    assert (held.uplink_bps, held.rtt_s) == (1e6, 0.05)
    assert (held.downlink_bps, held.loss, held.name) == (PROFILE.downlink_bps, 0.0, PROFILE.name)
    link.follow(LinkTrace("none", (LinkStep(0.0),), 1.0))
    assert link.profile == PROFILE


def test_a_trace_has_outages(link: Link) -> None:
    began_s = _now_s(link)
    link.follow(LinkTrace.outage(0.0, 0.4))
    link.transfer_s(1000, "up")
    assert _now_s(link) - began_s >= CLOCKS * 0.41


def test_an_outage_may_be_of_one_direction(real_link: Link) -> None:
    edge, cloud = real_link.connect()
    with edge, cloud:
        real_link.follow(LinkTrace("deaf", (LinkStep(0.0, downlink_bps=0.0),), 1.0))
        assert transfer_s(edge, cloud, 100) >= CLOCKS * 0.01
        cloud.sendall(b"unheard")
        edge.settimeout(0.3)
        with pytest.raises(TimeoutError):
            edge.recv(1)
        real_link.change(PROFILE)
        edge.settimeout(30.0)
        assert edge.recv(1) == b"u"


def test_a_pause_lasts_until_it_is_resumed(real_link: Link) -> None:
    took_s: list[float] = []
    edge, cloud = real_link.connect()
    with edge, cloud:
        real_link.pause()
        real_link.pause()
        sender = threading.Thread(target=lambda: took_s.append(transfer_s(edge, cloud, 3000)))
        sender.start()
        time.sleep(0.4)
        assert not took_s
        real_link.resume()
        real_link.resume()
        sender.join()
    assert took_s[0] >= 0.35


def test_after_a_pause_it_is_as_before(link: Link) -> None:
    link.pause()
    link.resume()
    assert link.profile == PROFILE
    assert link.transfer_s(1000, "up") >= CLOCKS * 0.011


@pytest.mark.parametrize(
    "end", [lambda link: link.change(PROFILE), lambda link: (link.pause(), link.resume())]
)
def test_a_change_and_a_pause_end_a_trace(link: Link, end: Callable[[Link], object]) -> None:
    link.follow(LinkTrace("slow", (LinkStep(0.0), LinkStep(0.2, uplink_bps=10.0)), 1.0))
    end(link)
    _wait_until(link, _now_s(link) + 0.3)
    assert link.transfer_s(1000, "up") < 1000 * 8 / 10
    assert link.profile == PROFILE


def test_a_change_ends_an_outage(link: Link) -> None:
    link.pause()
    link.change(PROFILE)
    assert link.transfer_s(1000, "down") >= CLOCKS * 0.01
    link.follow(LinkTrace.outage(0.0, 1000.0))
    link.change(PROFILE)
    assert link.transfer_s(1000, "down") >= CLOCKS * 0.01


def test_a_connection_has_two_ends(real_link: Link) -> None:
    edge, cloud = real_link.connect()
    with edge, cloud:
        for source, sink in ((edge, cloud), (cloud, edge)):
            source.sendall(b"hello")
            sink.settimeout(30.0)
            assert sink.recv(5, socket.MSG_WAITALL) == b"hello"
        edge.close()
        assert cloud.recv(1) == b""


def test_a_closed_link_stays_closed(link: Link) -> None:
    link.transfer_s(500, "up")
    link.close()
    link.close()
    for use in (
        lambda: link.transfer_s(1, "up"),
        lambda: link.change(PROFILE),
        lambda: link.follow(LinkTrace.outage(0.0, 1.0)),
        link.pause,
        link.resume,
        link.verify,
    ):
        with pytest.raises(LinkError, match="closed"):
            use()
    with pytest.raises(LinkError):
        link.connect()


def test_it_is_used_from_any_thread(link: Link) -> None:
    took_s: list[float] = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: took_s.append(link.transfer_s(100, "down")))
        thread.start()
        thread.join()
    assert min(took_s) >= CLOCKS * PROFILE.rtt_s / 2


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'proxy'"):
        make_link("proxi", PROFILE)
    with pytest.raises(UnknownNameError, match="link kind"):
        make_flow("", PROFILE, "up")
