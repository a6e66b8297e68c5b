"""Which modules fit a place together: every largest set of them, found by branching.

With a set of modules settled, features choose independently of each other's memory. A set within a larger one
that leaves room for the same requests offers nothing more, so that only the largest are solved.

F features, M modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from workbench.planner.placing.table import Bools, Table

__all__ = ["masks_that_fit"]


def masks_that_fit(table: Table, allowed: Bools) -> list[Bools]:
    """For each largest set of modules that fits every place, the pairs that it leaves, [F, M].

    A choice fits if, and only if, one of them has all its pairs.
    """
    found = list(_Branching(table, allowed, _heaviest_first(table, allowed)).leaves(table.loaded, 0))
    largest: list[Bools] = []
    for mask in sorted(found, key=lambda mask: -int(mask.sum())):
        if not any((mask <= other).all() for other in largest):
            largest.append(mask)
    return largest


@dataclass(frozen=True)
class _Branching:
    """Takes the heaviest module first, with it and without."""

    table: Table
    allowed: Bools
    order: list[int]  # modules that some feature may choose

    def leaves(self, taken: Bools, depth: int) -> Iterator[Bools]:
        order = self.order
        rest = taken.copy()
        rest[order[depth:]] = True
        pairs = self.allowed & rest
        if not pairs.any(axis=1).all():
            return
        roomy = self._roomy(rest)
        if depth == len(order) or roomy[pairs].all():
            if (pairs & roomy).any(axis=1).all():
                yield pairs & roomy
            return
        with_it = taken.copy()
        with_it[order[depth]] = True
        if all(shelf.weights(with_it) <= shelf.capacity for shelf in self.table.shelves):
            yield from self.leaves(with_it, depth + 1)
        yield from self.leaves(taken, depth + 1)

    def _roomy(self, modules: Bools) -> Bools:
        found: Bools = np.logical_and.reduce([shelf.roomy(modules) for shelf in self.table.shelves])
        return found


def _heaviest_first(table: Table, allowed: Bools) -> list[int]:
    weights = np.sum([shelf.pieces @ shelf.n_bytes for shelf in table.shelves], axis=0)
    return sorted(np.flatnonzero(allowed.any(axis=0)).tolist(), key=lambda m: -float(weights[m]))
