"""The bottleneck's clock, without sockets."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import asdict
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.links.relay import Bottleneck, Chunk
from workbench.profiles import JITTER_DISTRIBUTIONS, OneWay

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


def _way(rate_bps: float, delay_s: float = 0.0, **more: object) -> dict[str, object]:
    return asdict(OneWay(rate_bps, delay_s, **more))  # type: ignore[arg-type]


def _admit(path: Bottleneck, queue: deque[Chunk], came_s: float, n_bytes: int) -> None:
    due_s = path.admit(came_s, n_bytes)
    queue.append(Chunk(path.free_s, due_s, memoryview(bytes(1))))


def test_an_outage_makes_everything_later_and_nothing_faster() -> None:
    path, queue = Bottleneck(8e6, delay_s=0.1), deque[Chunk]()
    _admit(path, queue, 0.0, 1000)  # leaves at 1 ms
    _admit(path, queue, 0.0, 4000)  # at 5 ms
    path.change(None, 0.002, [queue])
    path.change(None, 3.0, [queue])  # an outage goes on
    assert path.reads_from_s() == math.inf
    path.change(_way(8e6, 0.1), 5.002, [queue])
    assert [chunk.due_s for chunk in queue] == pytest.approx([5.101, 5.105])
    assert path.admit(5.002, 1000) == pytest.approx(5.106)
    idle = Bottleneck(8e6)
    idle.change(None, 1.0, [])
    idle.change(_way(8e6), 7.0, [])
    assert idle.admit(6.5, 1000) == pytest.approx(7.001)  # what came in the outage leaves after it


def test_what_has_not_left_yet_leaves_at_the_new_rate() -> None:
    path, queue = Bottleneck(8e3, delay_s=0.1), deque[Chunk]()
    for _ in range(3):
        _admit(path, queue, 0.0, 1000)  # leave at 1, 2 and 3 s
    path.change(_way(8e6, 0.1), 1.5, [queue])
    assert [chunk.due_s for chunk in queue] == pytest.approx([1.1, 1.5005 + 0.1, 1.5015 + 0.1])
    assert path.free_s == pytest.approx(1.5015)
    assert path.last_s == queue[-1].due_s
    path.change(_way(8e3, 0.1), 1.5, [queue])  # and back
    assert [chunk.due_s for chunk in queue] == pytest.approx([1.1, 2.1, 3.1])


def test_a_new_delay_holds_for_what_has_not_left_yet() -> None:
    path, queue = Bottleneck(8e3, delay_s=1.0), deque[Chunk]()
    for _ in range(2):
        _admit(path, queue, 0.0, 1000)
    path.change(_way(8e3, 0.25), 1.5, [queue])
    assert [chunk.due_s for chunk in queue] == pytest.approx([2.0, 2.25])
    path.change(_way(8e3, 0.0), 1.5, [queue])
    assert [chunk.due_s for chunk in queue] == pytest.approx([2.0, 2.0])  # no earlier than what is before it


changes = st.lists(
    st.tuples(st.floats(0, 0.2), st.integers(1, 50_000), st.none() | st.floats(1e4, 1e9), st.floats(0, 0.1)),
    min_size=1,
    max_size=40,
)


@given(changes)
def test_changes_never_beat_the_rates_nor_change_the_order(
    events: list[tuple[float, int, float | None, float]],
) -> None:
    """Bits that have left by a moment are at most the area below the rate until then."""
    path, queue, now_s, most_bits, sent_bits = Bottleneck(1e6), deque[Chunk](), 0.0, 0.0, 0.0
    for gap_s, n_bytes, rate_bps, delay_s in events:
        most_bits += gap_s * (path.rate_bps if path.stopped_s is None else 0.0)
        now_s += gap_s
        path.change(_way(rate_bps, delay_s) if rate_bps else None, now_s, [queue])
        if path.stopped_s is None:
            _admit(path, queue, now_s, n_bytes)
            sent_bits += n_bytes * 8
        assert [chunk.due_s for chunk in queue] == sorted(chunk.due_s for chunk in queue)
        assert all(chunk.due_s >= chunk.leaves_s for chunk in queue)
        if path.stopped_s is None:
            still_to_leave = max(0.0, path.free_s - now_s) * path.rate_bps
            assert sent_bits - still_to_leave <= most_bits * (1 + 1e-9) + 1e-3


@pytest.mark.parametrize("distribution", JITTER_DISTRIBUTIONS)
@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_any_jitter_has_the_spread_and_the_correlation(distribution: str, correlation: float) -> None:
    path = Bottleneck(1e12)
    path.change(
        _way(1e12, 1.0, jitter_s=0.01, jitter_distribution=distribution, jitter_correlation=correlation),
        0.0,
        [],
    )
    found = [path.admit(10.0 * step, 1) - 10.0 * step - 1.0 for step in range(1, 8001)]
    mean = sum(found) / len(found)
    variance = sum((x - mean) ** 2 for x in found) / len(found)
    together = sum((x - mean) * (y - mean) for x, y in pairwise(found)) / len(found)
    assert mean == pytest.approx(0.0, abs=0.001)
    assert variance**0.5 == pytest.approx(0.01, rel=0.15)
    assert together / variance == pytest.approx(correlation, abs=0.1)


@pytest.mark.parametrize("rate_bps", [1e4, 1e6, 1e8, 1e10])
def test_chunks_are_short_and_not_tiny(rate_bps: float) -> None:
    assert 1448 <= Bottleneck(rate_bps).chunk_bytes <= 1 << 18
