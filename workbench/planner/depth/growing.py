"""Labels grown block by block along one route: here on its first place, there on its second.

A label crosses at a split point, with a codec, and never comes back. Labels that cannot keep a limit any
more go at once; what a limit still has room for whatever follows makes no label better than another.

n blocks, C criteria; K, W, B as in ``criteria``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from workbench.cost import Floats
from workbench.planner.depth.criteria import Criteria
from workbench.planner.depth.families import Family
from workbench.planner.depth.labels import Labels, kept

__all__ = ["Growing"]


_CELLS = tuple(2**n for n in range(14, 3, -1))


@dataclass
class Growing:
    """One route of one or two places.

    Where more labels than ``most`` are left, those go that another one beats on a grid: its step is the
    least that leaves so many, and ``blur`` adds the steps up, so that no sum of the true front is missed by
    more.
    """

    criteria: Criteria
    families: Sequence[Family]
    n_blocks: int
    most: int = 20_000
    blur: Floats = field(init=False)  # [C] in units; 0 where the front is exact

    def __post_init__(self) -> None:
        self.blur = np.zeros(len(self.criteria.names))

    def labels(self) -> Labels:
        """Every way to cut, to encode and to pack that no other beats within the limits."""
        here, there = self._start(), self._start()[np.arange(0)]
        for block in range(max(self.criteria.cuts) + 1):
            if block in self.criteria.cuts:
                there = self._left(there + self._crossed(here, block), 1, block)
            if block < self.n_blocks:
                here, there = self._grown(here, 0, block), self._grown(there, 1, block)
        for block in range(max(self.criteria.cuts) + 1, self.n_blocks):
            there = self._grown(there, 1, block)
        return there[there.met | (there.cut == self.n_blocks)]

    def _start(self) -> Labels:
        return Labels.start(self.n_blocks, len(self.criteria.names))

    def _crossed(self, here: Labels, point: int) -> Labels:
        """The labels that may end their first stage at a split point, each with every codec."""
        done = here[here.met | (point == 0)]
        fixed = self.criteria.fixed[self.criteria.cuts.index(point)]  # [W, C]
        label, wire = (axis.ravel() for axis in np.indices((len(done), len(fixed))))
        crossed = done[label]
        return Labels(
            crossed.sums + fixed[wire],
            crossed.widths,
            np.full(len(label), point),
            wire,
            np.zeros(len(label), dtype=bool),
        )

    def _grown(self, labels: Labels, place: int, block: int) -> Labels:
        """One block more on a place, with each of its widths."""
        if not len(labels):
            return labels
        family = self.families[place]
        grown, parent, choice = labels.grown(family.widths, self.criteria.blocks[place][block], family.needed)
        index = self._best(grown, place, block + 1)
        widths = labels.widths[parent[index]]
        widths[:, block] = np.array(family.widths, dtype=np.uint8)[choice[index]]
        return Labels(grown.sums[index], widths, grown.cut[index], grown.wire[index], grown.met[index])

    def _left(self, labels: Labels, place: int, settled: int) -> Labels:
        return labels[self._best(labels, place, settled)]

    def _best(self, labels: Labels, place: int, settled: int) -> NDArray[np.int64]:
        """Labels that can keep every limit and are beaten by none, when so many blocks are settled."""
        criteria = self.criteria
        least, most = (bounds[place][settled] for bounds in (self._least, self._most))
        low, high = criteria.floors - 0.5, criteria.rooms + 0.5
        inside = (labels.sums + least <= high) & (labels.sums + most >= low)
        possible = np.flatnonzero(inside.all(axis=1))
        sums = labels.sums[possible]
        limits = ~criteria.is_goal & criteria.compared
        sums[:, limits] = np.maximum(sums[:, limits], (criteria.rooms - most)[limits])
        sums = sums[:, criteria.compared]
        met = labels.met[possible]
        left = _fronts(sums, met)
        if len(left) > self.most:
            left = left[self._blurred(sums[left], met[left])]
        return possible[left]

    def _blurred(self, sums: Floats, met: NDArray[np.bool_]) -> NDArray[np.int64]:
        """At most so many labels, by the finest grid over the goals that leaves no more."""
        goals = self.criteria.is_goal[self.criteria.compared]
        span = np.where(goals, np.ptp(sums, axis=0), 0.0)
        for cells in _CELLS:
            step = np.where(span > 0, span / cells, 1.0)
            left = _fronts(np.where(goals, np.floor(sums / step), sums), met)
            if len(left) <= self.most:
                break
        self.blur[self.criteria.compared] += np.where(span > 0, step, 0.0)
        return left

    @cached_property
    def _least(self) -> tuple[Floats, Floats]:
        """By place and by how many blocks are settled, the least that is still to come: [n + 1, C]."""
        return self._to_come(np.minimum, np.inf)

    @cached_property
    def _most(self) -> tuple[Floats, Floats]:
        return self._to_come(np.maximum, -np.inf)

    def _to_come(self, pick: np.ufunc, none: float) -> tuple[Floats, Floats]:
        criteria, n = self.criteria, self.n_blocks
        here, there = np.full((n + 1, len(criteria.names)), none), np.zeros((n + 1, len(criteria.names)))
        for block in reversed(range(n + 1)):
            if block < n and len(self.families) > 1:
                there[block] = there[block + 1] + pick.reduce(criteria.blocks[1][block], axis=0)
            if block < n:
                here[block] = here[block + 1] + pick.reduce(criteria.blocks[0][block], axis=0)
            if block in criteria.cuts:
                fixed = pick.reduce(criteria.fixed[criteria.cuts.index(block)], axis=0)
                here[block] = pick(here[block], fixed + there[block])
        return here, there


def _fronts(sums: Floats, met: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of the labels that have what their stage needs, and of those that have not yet: [N, C], to indices."""
    groups = (np.flatnonzero(met), np.flatnonzero(~met))
    return np.concatenate([group[kept(sums[group])] for group in groups])
