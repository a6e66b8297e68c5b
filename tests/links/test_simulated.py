"""The arithmetic of TCP, against measurements through netem and against its own limits.

Measured through veth and netem at 100 Mbit and 50 ms each way: 4 MiB and the answer to it took 1004 to 1164
ms on a cold connection, 452 on a warm one, 709 after 2 s idle; 100 KB at 50 Mbit 312 cold and 117 warm.
"""

from __future__ import annotations

import math
import timeit
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import LinkError
from workbench.links import LinkTrace, SimulatedLink, TcpFlow, goodput_bps, link_traces, tcp_transfer_s
from workbench.links.course import Course
from workbench.links.tcp import INITIAL_WINDOW, MSS_BYTES, next_retransmission_s
from workbench.links.traces import LinkStep
from workbench.profiles import LinkProfile, link_profiles

RETURN_S = 0.05
FAST = LinkProfile(0.1, goodput_bps(100e6), goodput_bps(100e6))
HALF = LinkProfile(0.1, goodput_bps(50e6), goodput_bps(50e6))
LARGE = 4 << 20

rates = st.floats(1e4, 1e11)
profiles = st.builds(
    LinkProfile,
    rtt_s=st.floats(0, 2),
    uplink_bps=rates,
    downlink_bps=rates,
    loss=st.just(0.0) | st.floats(0, 0.5),
)
sizes = st.integers(0, 20 * MSS_BYTES) | st.integers(0, 10**9)
windows = st.floats(1, 1e6) | st.just(math.inf)


@pytest.mark.parametrize(
    ("profile", "n_bytes", "window", "measured_s"),
    [
        (FAST, LARGE, INITIAL_WINDOW, 1.004),
        (FAST, LARGE, math.inf, 0.452),
        (HALF, 100_000, INITIAL_WINDOW, 0.312),
        (HALF, 100_000, math.inf, 0.117),
    ],
)
def test_measured_transfers(profile: LinkProfile, n_bytes: int, window: float, measured_s: float) -> None:
    took_s = tcp_transfer_s(n_bytes, profile, "up", window=window) + RETURN_S
    assert took_s == pytest.approx(measured_s, rel=0.01)


def test_a_connection_over_time() -> None:
    """Cold, warm, and after two seconds idle."""
    flow, at_s = TcpFlow(FAST, "up"), 0.0
    for gap_s, measured_s, tolerance in ((0.0, 1.004, 0.01), (0.0, 0.452, 0.01), (2.0, 0.709, 0.05)):
        at_s += gap_s
        took_s = flow.transfer_s(LARGE, at_s) + RETURN_S
        at_s += took_s
        assert took_s == pytest.approx(measured_s, rel=tolerance)


def test_a_long_idle_connection_is_as_cold_as_a_fresh_one() -> None:
    flow = TcpFlow(FAST, "up")
    cold_s = flow.transfer_s(LARGE, 0.0)
    assert flow.transfer_s(LARGE, 1.0) < cold_s
    assert flow.transfer_s(LARGE, 1e4) == pytest.approx(cold_s)


def test_small_messages_do_not_open_the_window() -> None:
    flow = TcpFlow(FAST, "up")
    for step in range(100):
        flow.transfer_s(300, step * 0.15)
    assert flow.window == INITIAL_WINDOW


def test_a_token_takes_half_a_round_trip() -> None:
    assert tcp_transfer_s(100, FAST, "down") == pytest.approx(0.05, rel=1e-3)


@given(profiles, sizes, windows, st.sampled_from(["up", "down"]))
def test_never_faster_than_delay_and_rate(profile: LinkProfile, n: int, window: float, way: str) -> None:
    rate_bps = profile.uplink_bps if way == "up" else profile.downlink_bps
    took_s = tcp_transfer_s(n, profile, way, window=window)  # type: ignore[arg-type]
    assert took_s >= (profile.rtt_s / 2 + n * 8 / rate_bps) * (1 - 1e-9)
    assert math.isfinite(took_s)


@given(profiles, sizes, sizes, windows)
def test_more_takes_longer(profile: LinkProfile, n: int, more: int, window: float) -> None:
    less_s = tcp_transfer_s(n, profile, "up", window=window)
    assert tcp_transfer_s(n + more, profile, "up", window=window) >= less_s * (1 - 1e-9)


@given(profiles, sizes, windows, windows)
def test_a_wider_window_is_at_least_as_fast(profile: LinkProfile, n: int, one: float, other: float) -> None:
    narrow_s = tcp_transfer_s(n, profile, "up", window=min(one, other))
    wide_s = tcp_transfer_s(n, profile, "up", window=max(one, other))
    # The last round of a narrow window may end within the first of a wide one: one segment's time apart.
    assert wide_s <= narrow_s * (1 + 1e-9) + 2 * MSS_BYTES * 8 / profile.uplink_bps


@given(profiles, sizes)
def test_loss_never_helps(profile: LinkProfile, n: int) -> None:
    lossless = LinkProfile(profile.rtt_s, profile.uplink_bps, profile.downlink_bps)
    assert tcp_transfer_s(n, profile, "up") >= tcp_transfer_s(n, lossless, "up")


def test_one_percent_loss_takes_seconds() -> None:
    """Mathis et al. (1997): about 1.22 MSS / (RTT sqrt(p)), 1.4 Mbit/s here."""
    lossy = LinkProfile(0.1, goodput_bps(100e6), 1e6, loss=0.01)
    mathis_s = LARGE * 8 / (1.22 * MSS_BYTES * 8 / (0.1 * math.sqrt(0.01)))
    assert tcp_transfer_s(LARGE, lossy, "up") == pytest.approx(mathis_s, rel=0.15)


def test_loss_adds_its_timeout_to_a_single_segment() -> None:
    lossy = LinkProfile(0.1, 1e9, 1e9, loss=0.01)
    assert tcp_transfer_s(100, lossy, "up") == pytest.approx(0.05 + 0.01 * 0.3, rel=1e-3)


@given(profiles, sizes)
def test_a_path_without_tcp_is_delay_and_rate(profile: LinkProfile, n: int) -> None:
    took_s = tcp_transfer_s(n, profile, "down", slow_start=False)
    assert took_s == profile.rtt_s / 2 + n * 8 / profile.downlink_bps


@pytest.mark.parametrize(("n_bytes", "window"), [(-1, 10.0), (1, 0.0), (1, math.nan)])
def test_what_cannot_be_is_refused(n_bytes: int, window: float) -> None:
    with pytest.raises(LinkError, match="window"):
        tcp_transfer_s(n_bytes, FAST, "up", window=window)


def test_the_simulated_link_keeps_its_own_time() -> None:
    with SimulatedLink(FAST) as link:
        cold_s = link.transfer_s(LARGE, "up")
        assert link.now_s == cold_s
        link.wait(2.0)
        restarted_s = link.transfer_s(LARGE, "up")
        assert FAST.rtt_s / 2 + LARGE * 8 / FAST.uplink_bps < restarted_s < cold_s
        assert link.now_s == pytest.approx(cold_s + 2.0 + restarted_s)
        assert link.transfer_s(LARGE, "down") == pytest.approx(cold_s)  # each direction has its window


@pytest.mark.parametrize("name", sorted(link_profiles()))
def test_every_shipped_link_gives_a_time(name: str) -> None:
    profile = link_profiles()[name]
    assert 0 < tcp_transfer_s(100, profile, "up") <= tcp_transfer_s(LARGE, profile, "up") < 200


# ---- messages that queue behind each other


message_sizes = st.lists(st.integers(1, 3000) | st.integers(1, 200_000), min_size=1, max_size=60)
some_traces = st.lists(
    st.tuples(
        st.floats(0.01, 2), st.none() | st.just(0.0) | st.floats(1e5, 1e9), st.none() | st.floats(0, 0.3)
    ),
    min_size=1,
    max_size=8,
)


def _trace(rows: list[tuple[float, float | None, float | None]]) -> LinkTrace:
    """Of gaps, rates and round trips; the last row has no outage."""
    at_s, made = 0.0, []
    for gap_s, rate_bps, rtt_s in rows:
        made.append(LinkStep(at_s, uplink_bps=rate_bps, rtt_s=rtt_s))
        at_s += gap_s
    return LinkTrace("some", (*made, LinkStep(at_s)), at_s + 1)


@given(profiles, windows, st.integers(1, 10**6), message_sizes, st.floats(0, 10))
def test_many_are_as_one_after_the_other(
    profile: LinkProfile, window: float, before: int, sizes: list[int], at_s: float
) -> None:
    together, alone = TcpFlow(profile, "up", window), TcpFlow(profile, "up", window)
    assert together.transfer_s(before, 0.0) == alone.transfer_s(before, 0.0)
    arrivals = together.arrivals_s(sizes, at_s)
    assert arrivals == pytest.approx([at_s + alone.transfer_s(n, at_s) for n in sizes], rel=1e-6)
    assert arrivals == sorted(arrivals)


@given(message_sizes, st.floats(0, 10), some_traces, st.booleans())
def test_many_are_as_one_after_the_other_over_a_trace(
    sizes: list[int], at_s: float, rows: list[tuple[float, float | None, float | None]], loop: bool
) -> None:
    """With a window that is never in the way, and no outage, after which it would be."""
    trace, base = _trace([(gap_s, rate_bps or None, rtt_s) for gap_s, rate_bps, rtt_s in rows]), FAST
    together, alone = TcpFlow(base, "up", math.inf), TcpFlow(base, "up", math.inf)
    together.course = alone.course = Course(base, "up", trace, loop=loop, started_s=1.0)
    arrivals = together.arrivals_s(sizes, at_s)
    assert arrivals == pytest.approx([at_s + alone.transfer_s(n, at_s) for n in sizes], rel=1e-6)
    assert arrivals == sorted(arrivals)


@given(profiles, message_sizes, st.floats(0, 10), some_traces, st.booleans())
def test_over_any_trace_messages_arrive_in_order_and_no_sooner_than_the_line_allows(
    profile: LinkProfile,
    sizes: list[int],
    at_s: float,
    rows: list[tuple[float, float | None, float | None]],
    loop: bool,
) -> None:
    trace, flow = _trace(rows), TcpFlow(profile, "up")
    flow.course = Course(profile, "up", trace, loop=loop)
    arrivals = flow.arrivals_s(sizes, at_s)
    assert arrivals == sorted(arrivals)
    let_through = trace.delivered_bytes(profile, "up", at_s, arrivals[-1], loop=loop)
    assert let_through >= sum(sizes) * (1 - 1e-6)


@given(profiles, message_sizes)
def test_the_last_of_many_arrives_as_one_message_would(profile: LinkProfile, sizes: list[int]) -> None:
    profile = replace(profile, loss=0.0)
    many_s = TcpFlow(profile, "up").arrivals_s(sizes, 0.0)[-1]
    one_s = TcpFlow(profile, "up").transfer_s(sum(sizes), 0.0)
    header_s = (1514 - MSS_BYTES) * 8 / profile.uplink_bps
    assert many_s == pytest.approx(one_s, rel=1e-6, abs=header_s + 2 * MSS_BYTES * 8 / profile.uplink_bps)


def test_what_is_in_flight_takes_room_in_the_window() -> None:
    flow = TcpFlow(FAST, "up")
    flow.transfer_s(10 * MSS_BYTES, 0.0)
    waited_s = flow.transfer_s(10 * MSS_BYTES, 0.01)  # nothing is acknowledged before 0.1 s
    assert waited_s == pytest.approx(0.09 + 0.05, rel=0.05)
    assert flow.window == pytest.approx(20.0)


def test_a_link_transfers_many_on_its_clock() -> None:
    with SimulatedLink(FAST) as link, SimulatedLink(FAST) as other:
        arrivals = link.transfer_many([500, 70_000, 20], "up")
        assert arrivals[0] == pytest.approx(other.transfer_s(500, "up"))
        assert link.now_s == arrivals[-1]
        assert link.stats().bytes_up == 70_520
        assert link.transfer_many([100], "down", at_s=0.0) == pytest.approx([0.05], rel=1e-3)
        assert link.now_s == arrivals[-1]
        assert link.transfer_many([], "up") == []
        with pytest.raises(LinkError, match="at least one byte"):
            link.transfer_many([3, 0], "up")


# ---- a path that changes


@given(some_traces, st.booleans(), st.floats(0, 20))
def test_a_course_is_the_trace(rows: list[tuple[float, float, float]], loop: bool, at_s: float) -> None:
    trace, base = _trace(rows), LinkProfile(0.05, 5e6, 20e6)
    course = Course(base, "up", trace, loop=loop, started_s=3.0)
    for moment in (at_s, 20 - at_s, at_s):
        leg = course.at(moment)
        step = trace.at(max(0.0, moment - 3.0), loop=loop)
        assert leg.until_s > moment
        near_change = any(
            abs((moment - 3.0 - other.at_s) % (trace.duration_s if loop else math.inf)) < 1e-9
            for other in trace.steps
        )
        if not near_change:
            assert leg.is_outage == step.is_outage("up")
            assert leg.way == step.over(base).way("up")


@given(some_traces, st.booleans(), st.integers(1, 10**7), st.floats(0, 3))
def test_a_line_delivers_what_the_trace_says(
    rows: list[tuple[float, float, float]], loop: bool, n_bytes: int, at_s: float
) -> None:
    trace, base = _trace(rows), LinkProfile(0.05, 5e6, 20e6)
    leaves_s = Course(base, "up", trace, loop=loop).leaves_s(at_s, n_bytes * 8)
    assert trace.delivered_bytes(base, "up", at_s, leaves_s, loop=loop) == pytest.approx(n_bytes, rel=1e-6)


@pytest.mark.parametrize("name", sorted(link_traces()))
def test_a_long_transfer_takes_what_the_trace_lets_through(name: str) -> None:
    trace, base = link_traces()[name], LinkProfile(0.0, 5e6, 20e6)
    lossless = LinkTrace(
        name, tuple(LinkStep(s.at_s, s.uplink_bps, s.downlink_bps) for s in trace.steps), trace.duration_s
    )
    n_bytes = int(lossless.delivered_bytes(base, "down", 0.0, 40.0))
    with SimulatedLink(base) as link:
        link.follow(lossless)
        took_s = link.transfer_s(n_bytes, "down")
    assert 40.0 - 1e-6 <= took_s < 60.0  # after each outage it waits for a retransmission


def test_a_transfer_goes_on_through_changes_of_the_rate() -> None:
    trace = LinkTrace("steps", (LinkStep(0.0, uplink_bps=8e5), LinkStep(1.0, uplink_bps=8e6)), 2.0)
    with SimulatedLink(LinkProfile(0.0, 1e6, 1e6)) as link:
        link.follow(trace)
        assert link.transfer_s(1_100_000, "up") == pytest.approx(2.0, rel=1e-3)  # 0.1 MB, then 1 MB
        link.follow(trace, loop=True)
        assert link.transfer_s(2_200_000, "up") == pytest.approx(4.0, rel=1e-3)
        assert link.profile.uplink_bps == 8e5


def test_an_outage_ends_with_a_retransmission() -> None:
    """RFC 6298: after 0.3 s, then each time after twice as long."""
    with SimulatedLink(FAST) as link:
        link.follow(LinkTrace.outage(0.0, 1.0))
        assert link.transfer_s(1000, "up") == pytest.approx(0.3 + 0.6 + 1.2 + 0.05, rel=0.01)
        link.wait(0.1)
        assert link.transfer_s(1000, "up") == pytest.approx(0.05, rel=0.01)
    assert next_retransmission_s(0.0, 0.3, 0.0) == 0.0
    assert next_retransmission_s(5.0, 200.0, 1000.0) == 5.0 + 200 + 120 * 7


def test_after_an_outage_a_connection_starts_slowly() -> None:
    with SimulatedLink(FAST) as link:
        cold_s = link.transfer_s(LARGE, "up")
        warm_s = link.transfer_s(LARGE, "up")
        link.follow(LinkTrace.outage(0.05, 0.1))
        assert link.transfer_s(LARGE, "up") > warm_s + cold_s - 0.3


def test_nothing_arrives_in_a_pause() -> None:
    with SimulatedLink(FAST) as link:
        link.pause()
        for use in (lambda: link.transfer_s(1, "up"), lambda: link.transfer_many([1, 2], "down")):
            with pytest.raises(LinkError, match="does not end"):
                use()
        link.wait(5.0)
        link.resume()
        assert link.transfer_s(1, "up") == pytest.approx(0.05, rel=1e-3)
        assert link.now_s > 5.0


def test_a_shorter_delay_does_not_let_messages_overtake() -> None:
    trace = LinkTrace("nearer", (LinkStep(0.0, rtt_s=1.0), LinkStep(0.1, rtt_s=0.02)), 1.0)
    with SimulatedLink(FAST) as link:
        link.follow(trace)
        first = link.transfer_many([100], "up", at_s=0.09)[0]
        second = link.transfer_many([100], "up", at_s=0.11)[0]
        assert first == second == pytest.approx(0.59, rel=1e-3)


# ---- loss in bursts, and what it says of itself


@given(st.floats(1e-4, 0.05), st.floats(1.5, 20), sizes)
def test_losses_in_bursts_cost_less_than_as_many_apart(loss: float, burst: float, n: int) -> None:
    apart = LinkProfile(0.05, 1e7, 1e7, loss=loss)
    together = LinkProfile(0.05, 1e7, 1e7, loss=loss, loss_burst=burst)
    assert tcp_transfer_s(n, together, "up") <= tcp_transfer_s(n, apart, "up") * (1 + 1e-9)


def test_a_spoilt_packet_is_a_lost_one() -> None:
    lost = tcp_transfer_s(LARGE, LinkProfile(0.1, 1e8, 1e8, loss=0.01), "up")
    assert tcp_transfer_s(LARGE, LinkProfile(0.1, 1e8, 1e8, corrupt=0.01), "up") == pytest.approx(lost)


@pytest.mark.parametrize("name", sorted(link_profiles()))
def test_it_verifies_itself_and_says_so(name: str) -> None:
    with SimulatedLink(link_profiles()[name]) as link:
        found = link.verify()
    assert found.label == "modelled"
    assert found.ok
    assert {check.name for check in found.checks} == {"round trip", "rate up", "rate down"}


def test_what_it_does_not_reproduce_is_noted() -> None:
    odd = LinkProfile(0.1, 1e6, 1e6, uplink={"reorder": 0.1}, downlink={"duplicate": 0.2}, name="odd")
    with SimulatedLink(odd) as link:
        assert [note.split(" of ")[0] for note in link.notes] == [
            "a simulated link reorders nothing: the 10.00% reordering",
            "a simulated link duplicates nothing: the 20.00% duplication",
        ]


def test_it_carries_nothing() -> None:
    with SimulatedLink(FAST) as link:
        for use in (link.connect, lambda: link.open("tcp://127.0.0.1:5555")):
            with pytest.raises(LinkError, match="carries no bytes"):
                use()


def test_a_thousand_messages_are_cheap() -> None:
    """Under a millisecond on a host with nothing else to do; this test may run on a busy one."""
    for profile in (FAST, LinkProfile(0.1, 1e8, 1e8, loss=0.01)):
        once_s = min(
            timeit.repeat(lambda p=profile: SimulatedLink(p).transfer_many([300] * 1000, "up"), number=1)
        )
        assert once_s < 0.05


def test_it_is_arithmetic() -> None:
    """No loop over segments: a terabyte costs what a megabyte does."""
    once_s = timeit.timeit(lambda: tcp_transfer_s(10**12, FAST, "up"), number=100) / 100
    assert once_s < 0.01
