"""Packets that keep their order are late by the latest of them."""

from __future__ import annotations

import random
import statistics

import pytest

from workbench.links.jitter import lateness_s
from workbench.links.tcp import TcpFlow
from workbench.profiles import LinkProfile, OneWay


def _drawn_s(way: OneWay, packets: int) -> float:
    """The same by dice: all are there at once, each comes a frame's time after the one before or later."""
    dice, frame_s, late = random.Random(1), 1514 * 8 / way.rate_bps, []
    for _ in range(4000):
        last = -1.0
        for _ in range(packets):
            last = max(last, dice.gauss(0.0, way.jitter_s)) + frame_s
        late.append(last - packets * frame_s)
    return statistics.fmean(late)


@pytest.mark.parametrize("packets", [2, 3, 10, 70])
@pytest.mark.parametrize("rate_bps", [2e6, 12e6, 200e6])
def test_it_is_the_mean_of_many_draws(packets: int, rate_bps: float) -> None:
    way = OneWay(rate_bps, 0.035, jitter_s=0.005)
    assert lateness_s(way, packets) == pytest.approx(_drawn_s(way, packets), rel=0.05, abs=2e-4)


def test_a_single_packet_is_as_often_early_as_late() -> None:
    assert lateness_s(OneWay(1e7, 0.03, jitter_s=0.005), 1) == 0.0


@pytest.mark.parametrize(
    "way", [OneWay(1e7, 0.03), OneWay(1e7, 0.03, jitter_s=0.005, jitter_correlation=0.999)]
)
def test_what_packets_have_in_common_holds_up_nobody(way: OneWay) -> None:
    assert lateness_s(way, 50) < 4e-4


def test_a_message_of_several_packets_pays_for_it() -> None:
    calm = LinkProfile(0.07, 12e6, 12e6)
    rough = LinkProfile(0.07, 12e6, 12e6, jitter_s=0.005)
    late_s = [
        TcpFlow(rough, "up").transfer_s(n, 0.0) - TcpFlow(calm, "up").transfer_s(n, 0.0)
        for n in (1, 4096, 100_000)
    ]
    assert late_s[0] == pytest.approx(0.0, abs=1e-9)
    assert 0.5 * 0.005 < late_s[1] < 0.005
    assert late_s[2] > 2 * late_s[1]
