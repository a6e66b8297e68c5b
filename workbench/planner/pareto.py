"""Pareto fronts and what they are worth. Points are tuples of numbers, all to be minimised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["front_of", "hypervolume", "non_dominated"]

Point = Sequence[float]


def _dominates(a: Point, b: Point) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


def non_dominated(points: Sequence[Point]) -> list[int]:
    """Indices of the points that no other point dominates; of equal points, the first alone."""
    kept: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (tuple(points[i]), i)):
        # Sorted, a point can only be dominated by, or equal to, one that is already kept.
        if not any(_dominates(points[j], points[i]) or tuple(points[j]) == tuple(points[i]) for j in kept):
            kept.append(i)
    return sorted(kept)


def front_of(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """``non_dominated`` for many points at once: [N, M] in, indices out.

    Each point that stays strikes out what it dominates, the most promising first.
    """
    order = np.lexsort(points.T[::-1])  # by the first objective, then the second: no later one dominates
    kept: list[int] = []
    while len(order):
        first = order[0]
        kept.append(int(first))
        order = order[(points[order] < points[first]).any(axis=1)]
    return np.array(sorted(kept), dtype=np.int64)


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The volume that the points dominate, up to ``reference``; points beyond it count nothing.

    Slices along the last objective (HSO: While et al., IEEE Trans. Evol. Comput. 10(1), 2006): exact,
    and fast enough for fronts of hundreds of points in two to four objectives.
    """
    inside = [tuple(p) for p in points if all(x < r for x, r in zip(p, reference, strict=True))]
    return _volume([inside[i] for i in non_dominated(inside)], tuple(reference))


def _volume(points: list[tuple[float, ...]], reference: tuple[float, ...]) -> float:
    if not points:
        return 0.0
    if len(reference) == 1:
        return reference[0] - min(p[0] for p in points)
    ordered = sorted(points, key=lambda p: p[-1])
    tops = [p[-1] for p in ordered[1:]] + [reference[-1]]
    total = 0.0
    for i, (point, top) in enumerate(zip(ordered, tops, strict=True)):
        if top > point[-1]:
            slab = [p[:-1] for p in ordered[: i + 1]]
            front = [slab[j] for j in non_dominated(slab)]
            total += (top - point[-1]) * _volume(front, reference[:-1])
    return total
