"""TCP packet by packet: as the arithmetic has it where that is exact, and within its limits elsewhere."""

from __future__ import annotations

import random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from workbench.errors import LinkError
from workbench.links import LinkTrace, SimulatedLink, TcpFlow, goodput_bps
from workbench.links.events import PacketFlow
from workbench.links.jitter import Loss
from workbench.links.traces import LinkStep
from workbench.profiles import LinkProfile, OneWay

FAST = LinkProfile(0.1, goodput_bps(100e6), goodput_bps(100e6))
LARGE = 4 << 20


@pytest.mark.parametrize("n_bytes", [1, 100, 1448, 20_000, 100_000, 1_000_000, LARGE])
@pytest.mark.parametrize(
    ("rtt_s", "rate_bps"),
    [(0.002, 1e8), (0.01, 2e7), (0.03, 1e6), (0.03, 1e8), (0.1, 2e7), (0.1, 1e8), (0.3, 1e6)],
)
def test_without_loss_it_is_the_arithmetic(n_bytes: int, rtt_s: float, rate_bps: float) -> None:
    profile = LinkProfile(rtt_s, rate_bps, rate_bps, queue_bytes=1 << 23)
    modelled_s = TcpFlow(profile, "up").transfer_s(n_bytes, 0.0)
    assert PacketFlow(profile, "up").transfer_s(n_bytes, 0.0) == pytest.approx(modelled_s, rel=0.03)


def test_a_connection_over_time_is_the_arithmetic() -> None:
    modelled, packets, at_s = TcpFlow(FAST, "up"), PacketFlow(FAST, "up"), 0.0
    for n_bytes, gap_s in ((50_000, 0.0), (50_000, 0.3), (300, 0.5), (400_000, 0.1), (50_000, 20.0)):
        at_s += gap_s
        took_s = modelled.transfer_s(n_bytes, at_s)
        assert packets.transfer_s(n_bytes, at_s) == pytest.approx(took_s, rel=0.03)
        at_s += took_s


@hypothesis_settings(max_examples=40)
@given(st.lists(st.integers(1, 30_000), min_size=1, max_size=20), st.floats(0, 0.2), st.integers(0, 1000))
def test_everything_arrives_in_order_whatever_is_lost(sizes: list[int], loss: float, seed: int) -> None:
    profile = LinkProfile(0.05, 5e6, 5e6, loss=loss, jitter_s=0.01, queue_bytes=15_000)
    flow = PacketFlow(profile, "up", seed=seed)
    for at_s in (0.0, 3.0):
        arrivals = flow.arrivals_s(sizes, at_s)
        assert len(arrivals) == len(sizes)
        assert arrivals == sorted(arrivals)
        assert arrivals[-1] >= at_s + sum(sizes) * 8 / 5e6


def test_a_seed_is_an_outcome() -> None:
    lossy = LinkProfile(0.1, 1e7, 1e7, loss=0.02)
    took_s = [PacketFlow(lossy, "up", seed=seed).transfer_s(300_000, 0.0) for seed in (1, 1, 2, 3)]
    assert took_s[0] == took_s[1]
    assert len(set(took_s)) > 1


@pytest.mark.parametrize(
    ("loss", "n_bytes", "runs"), [(0.001, 100_000, 200), (0.01, 100_000, 300), (0.03, LARGE, 6)]
)
def test_the_average_is_that_of_the_arithmetic(loss: float, n_bytes: int, runs: int) -> None:
    lossy = LinkProfile(0.1, goodput_bps(100e6), 1e8, loss=loss)
    mean_s = sum(PacketFlow(lossy, "up", seed=seed).transfer_s(n_bytes, 0.0) for seed in range(runs)) / runs
    assert mean_s == pytest.approx(TcpFlow(lossy, "up").transfer_s(n_bytes, 0.0), rel=0.2)


def test_a_lost_segment_costs_a_round_trip_and_the_last_one_a_timeout() -> None:
    """A path that loses one packet for sure: the third of four, or the only one."""
    for sizes, which, late_s in (([1448] * 4, 2, 0.1), ([100], 0, 0.3)):
        flow = PacketFlow(FAST, "up")
        flow._loss = _Losing({which})  # type: ignore[assignment]
        plain_s = PacketFlow(FAST, "up").arrivals_s(sizes, 0.0)[-1]
        assert flow.arrivals_s(sizes, 0.0)[-1] - plain_s == pytest.approx(late_s, rel=0.02)


def test_a_probe_finds_a_lost_tail() -> None:
    """Two round trips after the last answer (RFC 8985), where a timeout would take longer."""
    quick = LinkProfile(0.02, 1e8, 1e8)
    flow = PacketFlow(quick, "up")
    flow._loss = _Losing({2, 3})  # type: ignore[assignment]
    assert flow.arrivals_s([1448] * 4, 0.0)[-1] < 0.02 + 0.2


class _Losing:
    """Loses the packets with these numbers, by when they were sent."""

    def __init__(self, lost: set[int]) -> None:
        self._lost, self._count = lost, -1

    def draw(self, way: OneWay) -> bool:
        self._count += 1
        return self._count in self._lost


def test_a_short_queue_overflows() -> None:
    """Without room for what slow start sends too much, packets are lost and it takes longer."""
    roomy, tight = (LinkProfile(0.1, 2e7, 2e7, queue_bytes=n) for n in (1 << 22, 8 * 1514))
    roomy_s, tight_s = (PacketFlow(profile, "up").transfer_s(2_000_000, 0.0) for profile in (roomy, tight))
    assert tight_s > 1.2 * roomy_s


def test_jitter_delays_and_keeps_the_order() -> None:
    shaky = LinkProfile(0.1, 1e8, 1e8, jitter_s=0.02)
    took_s = [PacketFlow(shaky, "up", seed=seed).transfer_s(100, 0.0) for seed in range(400)]
    assert sum(took_s) / 400 == pytest.approx(0.05, rel=0.1)
    assert max(took_s) - min(took_s) > 0.06
    assert min(took_s) > 0


@pytest.mark.parametrize(("loss", "burst"), [(0.05, 1.0), (0.05, 4.0), (0.3, 10.0)])
def test_losses_have_the_share_and_the_length_that_were_asked_for(loss: float, burst: float) -> None:
    dice, way = Loss(random.Random(1)), OneWay(1e6, 0.01, loss=loss, loss_burst=burst)
    lost = [dice.draw(way) for _ in range(200_000)]
    starts = sum(now and not before for before, now in zip([False, *lost], lost, strict=False))
    assert sum(lost) / len(lost) == pytest.approx(loss, rel=0.1)
    assert sum(lost) / starts == pytest.approx(burst if burst > 1 else 1 / (1 - loss), rel=0.1)


def test_bursts_are_rarer_than_as_many_losses_apart() -> None:
    apart, together = (LinkProfile(0.05, 1e7, 1e7, loss=0.01, loss_burst=burst) for burst in (1.0, 5.0))
    took_s = [
        median(PacketFlow(profile, "up", seed=seed).transfer_s(500_000, 0.0) for seed in range(30))
        for profile in (apart, together)
    ]
    assert took_s[1] < took_s[0]


# ---- a path that changes


def test_a_link_may_go_packet_by_packet() -> None:
    with SimulatedLink(FAST, packets=True, seed=3) as link:
        assert "queue overflow" in link.models
        assert "queue overflow" not in link.omits
        took_s = link.transfer_s(100_000, "up")
        assert link.now_s == took_s == pytest.approx(TcpFlow(FAST, "up").transfer_s(100_000, 0.0), rel=0.01)
        assert link.transfer_many([10, 20], "down")[-1] == link.now_s
        assert (link.stats().bytes_up, link.stats().bytes_down) == (100_000, 30)


def test_the_rate_changes_under_way() -> None:
    trace = LinkTrace("steps", (LinkStep(0.0, uplink_bps=8e5), LinkStep(1.0, uplink_bps=8e6)), 2.0)
    with SimulatedLink(LinkProfile(0.002, 1e6, 1e6, queue_bytes=1 << 23), packets=True) as link:
        link.follow(trace)
        assert link.transfer_s(1_100_000, "up") == pytest.approx(2.0, rel=0.02)


def test_an_outage_ends_with_a_retransmission() -> None:
    with SimulatedLink(FAST, packets=True) as link, SimulatedLink(FAST) as modelled:
        for one in (link, modelled):
            one.follow(LinkTrace.outage(0.0, 1.0))
        assert link.transfer_s(1000, "up") == pytest.approx(modelled.transfer_s(1000, "up"), rel=0.01)


def test_an_outage_in_the_middle_is_survived() -> None:
    with SimulatedLink(FAST, packets=True) as link:
        link.follow(LinkTrace.outage(0.3, 2.0))
        assert 2.3 < link.transfer_s(LARGE, "up") < 10
        assert link.transfer_s(100, "up") == pytest.approx(0.05, rel=0.01)


def test_an_outage_that_does_not_end_is_said() -> None:
    with SimulatedLink(FAST, packets=True) as link:
        link.pause()
        with pytest.raises(LinkError, match="does not end"):
            link.transfer_s(100, "up")
        link.resume()
        assert link.transfer_s(100, "up") == pytest.approx(0.05, rel=0.01)
        link.follow(LinkTrace("end", (LinkStep(0.0), LinkStep(0.2, loss=1.0)), 1.0))
        with pytest.raises(LinkError, match="does not end"):
            link.transfer_s(LARGE, "up")
        link.change(FAST)
        assert link.transfer_s(100, "up") < 60
