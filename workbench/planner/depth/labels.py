"""Labels: ways to choose the widths of some blocks, each with the sums that it has come to; and which may go.

A label that another one beats, or equals, in every sum stays beaten whatever the other blocks do, because
the sums only add up (the principle of optimality for several criteria; for knapsacks Nemhauser and Ullmann,
Management Science 15(9), 1969; for labels on paths Martins, EJOR 16(2), 1984). So what is left at the end is
the whole front.

N labels, C criteria, n blocks, B widths.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from workbench.cost import Floats
from workbench.planner.pareto import front_of

__all__ = ["Labels", "kept"]

_Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """Several of them, column by column."""

    sums: Floats  # [N, C] whole numbers of each criterion's unit
    widths: NDArray[np.uint8]  # [N, n] bits of the blocks that are settled, else 0
    cut: _Ints  # [N] where the second place begins
    wire: _Ints  # [N] which codec
    met: NDArray[np.bool_]  # [N] whether the present stage has one of the widths that it needs

    @classmethod
    def start(cls, n_blocks: int, n_criteria: int) -> Labels:
        """The one label that nothing is settled in."""
        return cls(
            np.zeros((1, n_criteria)),
            np.zeros((1, n_blocks), dtype=np.uint8),
            np.zeros(1, dtype=np.int64),
            np.zeros(1, dtype=np.int64),
            np.zeros(1, dtype=bool),
        )

    def __len__(self) -> int:
        return len(self.sums)

    def __getitem__(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Labels:
        return Labels(*(getattr(self, f.name)[index] for f in fields(self)))

    def __add__(self, other: Labels) -> Labels:
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Labels(*(np.concatenate(pair) for pair in pairs))

    def grown(
        self, widths: Sequence[int], more: Floats, needed: frozenset[int]
    ) -> tuple[Labels, _Ints, _Ints]:
        """Each label with each width of one more block: without their widths yet, with whom they come from.

        Args:
            more: [B, C], what the block adds.

        Returns:
            The labels, the label that each came from, and the number of its width.
        """
        parent = np.repeat(np.arange(len(self)), len(widths))
        choice = np.tile(np.arange(len(widths)), len(self))
        enough = np.array([bits in needed for bits in widths])
        sums = self.sums[parent] + more[choice]
        return (
            Labels(
                sums,
                np.zeros((len(parent), 0), dtype=np.uint8),
                self.cut[parent],
                self.wire[parent],
                self.met[parent] | enough[choice],
            ),
            parent,
            choice,
        )


def kept(points: Floats) -> _Ints:
    """The points that no other beats or equals in every coordinate, less being better: [N, M], to indices."""
    varying = points[:, np.ptp(points, axis=0) > 0] if len(points) else points
    n_columns = varying.shape[1]
    if len(points) < 2 or n_columns == 0:
        return np.arange(min(1, len(points)))
    if n_columns == 1:
        return np.array([int(np.argmin(varying[:, 0]))])
    order = np.lexsort(varying.T[::-1])
    ordered = varying[order]
    if n_columns == 2:
        return order[_below_all_before(ordered[:, 1])]
    if n_columns == 3:
        first = np.flatnonzero(np.any(np.diff(ordered[:, :2], axis=0, prepend=np.inf) != 0, axis=1))
        return order[first[_staircase(ordered[first, 1].tolist(), ordered[first, 2].tolist())]]
    return front_of(varying)


def _below_all_before(values: Floats) -> NDArray[np.bool_]:
    before = np.concatenate([[np.inf], np.minimum.accumulate(values)[:-1]])
    return values < before


def _staircase(seconds: list[float], thirds: list[float]) -> list[int]:
    """Points in the order of their first coordinate: those that none before them beats in the other two.

    (Kung, Luccio and Preparata, J. ACM 22(4), 1975.)
    """
    found, x, y = list[int](), list[float](), list[float]()  # x grows and y falls along the stairs
    for index, (a, b) in enumerate(zip(seconds, thirds, strict=True)):
        at = bisect_right(x, a)
        if at and y[at - 1] <= b:
            continue
        first = bisect_left(x, a)
        last = first
        while last < len(x) and y[last] >= b:
            last += 1
        x[first:last], y[first:last] = [a], [b]
        found.append(index)
    return found
