"""The bottleneck's clock, without sockets."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.links.relay import Bottleneck

chunks = st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 1 << 18)), min_size=1, max_size=60)


@given(chunks, st.floats(1e4, 1e10), st.floats(0, 1), st.floats(0, 0.1))
def test_order_and_rate_hold_whatever_comes(
    arrivals: list[tuple[float, int]], rate_bps: float, delay_s: float, jitter_s: float
) -> None:
    path = Bottleneck(rate_bps, delay_s, jitter_s)
    now_s, left_s, before_s = 0.0, 0.0, 0.0
    for gap_s, n_bytes in arrivals:
        now_s += gap_s
        left_s = max(now_s, left_s) + n_bytes * 8 / rate_bps
        there_s = path.admit(now_s, n_bytes)
        assert there_s >= before_s
        assert path.free_s == pytest.approx(left_s)
        assert there_s >= now_s + n_bytes * 8 / rate_bps - 1e-9
        if jitter_s == 0:
            assert there_s == pytest.approx(left_s + delay_s)
        before_s = there_s
    assert path.n_bytes == sum(n for _, n in arrivals)


@given(chunks, st.floats(1e5, 1e9), st.floats(1e5, 1e9))
def test_a_change_never_beats_the_faster_rate(
    arrivals: list[tuple[float, int]], one_bps: float, other_bps: float
) -> None:
    path = Bottleneck(one_bps)
    for index, (_, n_bytes) in enumerate(arrivals):
        path.rate_bps = (one_bps, other_bps)[index % 2]
        path.admit(0.0, n_bytes)
    total = 8 * sum(n for _, n in arrivals)
    assert total / max(one_bps, other_bps) <= path.free_s * (1 + 1e-9)
    assert path.free_s <= total / min(one_bps, other_bps) * (1 + 1e-9)


def test_jitter_has_the_spread_that_was_asked_for() -> None:
    path = Bottleneck(1e12, delay_s=0.1, jitter_s=0.01)
    delays = [path.admit(float(step), 1) - step for step in range(2000)]
    mean = sum(delays) / len(delays)
    spread = (sum((d - mean) ** 2 for d in delays) / len(delays)) ** 0.5
    assert mean == pytest.approx(0.1, rel=0.02)
    assert spread == pytest.approx(0.01, rel=0.1)
    assert min(delays) >= 0


def test_a_burst_keeps_one_jitter() -> None:
    path = Bottleneck(8e6, delay_s=0.1, jitter_s=0.01)
    arrivals = [path.admit(0.0, 1000) for _ in range(50)]
    gaps = [b - a for a, b in pairwise(arrivals)]
    assert gaps == pytest.approx([0.001] * 49)


def test_an_outage_makes_everything_later_and_nothing_faster() -> None:
    path = Bottleneck(8e6, delay_s=0.1)
    path.admit(0.0, 1000)
    path.shift(5.0, now_s=5.0)
    assert path.admit(5.0, 1000) == pytest.approx(5.0 + 0.001 + 0.001 + 0.1)
    idle = Bottleneck(8e6)
    idle.shift(5.0, now_s=7.0)
    assert idle.admit(6.5, 1000) == pytest.approx(7.001)


@pytest.mark.parametrize("rate_bps", [1e4, 1e6, 1e8, 1e10])
def test_chunks_are_short_and_not_tiny(rate_bps: float) -> None:
    assert 1448 <= Bottleneck(rate_bps).chunk_bytes <= 1 << 18
