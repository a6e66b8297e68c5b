"""Runs something again and again and writes down how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

__all__ = ["WAIT_S", "Round", "quantile", "repeat", "spread", "timed"]

WAIT_S = 0.02  # a pause as a mobile link makes it: a core goes idle, and what others do takes its caches
_ALONE = 0.95  # processor time over time of a repetition that nothing interrupted

Round = Callable[[], Sequence[float]]
"""One repetition: the seconds of each thing that it timed."""


def repeat(
    once: Round,
    each_s: float,
    *,
    wait_s: float = 0.0,
    least: int = 3,
    most: int = 40,
    warm_ups: int = 2,
) -> list[list[float]]:
    """Seconds of each thing that ``once`` times, over repetitions that take ``each_s`` in all.

    Repetitions in which another program had the core do not count, as long as as many as ``least`` are left.

    Args:
        wait_s: a pause before each repetition.
        least, most: repetitions, whatever time they take.
        warm_ups: repetitions that do not count: the first passes allocate.
    """
    for _ in range(warm_ups):
        once()
    rows: list[tuple[float, Sequence[float]]] = []
    until_s = time.perf_counter() + each_s
    while len(rows) < most and (len(rows) < least or time.perf_counter() < until_s):
        if wait_s:
            time.sleep(wait_s)
        began_s, cpu_s = time.perf_counter(), time.process_time()
        row = once()
        rows.append(((time.process_time() - cpu_s) / (time.perf_counter() - began_s), row))
    return [list(column) for column in zip(*_undisturbed(rows, least), strict=True)]


def _undisturbed(rows: Sequence[tuple[float, Sequence[float]]], least: int) -> list[Sequence[float]]:
    """Those with the core to themselves; all, where these are few."""
    alone = [row for share, row in rows if share >= _ALONE]
    return alone if len(alone) >= least else [row for _, row in rows]


def timed(run: Callable[[], Any]) -> Round:
    """A repetition that times one thing."""

    def once() -> Sequence[float]:
        started_s = time.perf_counter()
        run()
        return (time.perf_counter() - started_s,)

    return once


def spread(seconds: Sequence[float]) -> float:
    """Half of the 10th to the 90th percentile over the median."""
    return (quantile(seconds, 0.9) - quantile(seconds, 0.1)) / 2 / median(seconds)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which a share of them lies, interpolated linearly."""
    ordered, place = sorted(values), share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
