"""The front over one module per feature, exactly: labels merged feature by feature.

Means add up over the features, so that a choice for some of them that another choice beats or equals in every
sum stays beaten whatever the others get (the principle of optimality for several criteria; for knapsacks
Nemhauser and Ullmann, Management Science 15(9), 1969). A limit on a mean is one more sum; where a label is
sure to keep it, or sure not to, that is settled at once.

L labels, C sums, F features, M modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.cost import Floats
from workbench.planner.depth.labels import kept
from workbench.planner.limits import WITHIN
from workbench.planner.placing.table import Bools, Ceiling

__all__ = ["Choices", "merged"]

Choices = NDArray[np.int64]
"""[L, F] the number of each feature's module."""


@dataclass(frozen=True)
class _Sum:
    """One criterion: what each pair adds, and what may be added by the features not yet merged."""

    column: Floats  # [F, M]
    allowed: float  # infinite where it is an aim without a limit
    is_aim: bool
    least: Floats  # [F + 1] of the features from f on
    most: Floats  # [F + 1]

    @classmethod
    def of(cls, column: Floats, mask: Bools, allowed: float, *, is_aim: bool) -> _Sum:
        low = np.where(mask, column, np.inf).min(axis=1)
        high = np.where(mask, column, -np.inf).max(axis=1)
        scale = abs(allowed) if np.isfinite(allowed) else 0.0
        return cls(column, allowed + WITHIN * (scale or 1.0), is_aim, _after(low), _after(high))

    def possible(self, sums: Floats, merged: int) -> Bools:
        """Labels that some completion lets keep the limit."""
        found: Bools = sums + self.least[merged] <= self.allowed
        return found

    def settled(self, sums: Floats, merged: int) -> Floats:
        """The same sums where it is open whether the limit is kept; all that surely keep it are alike."""
        if self.is_aim or not np.isfinite(self.allowed):
            return sums
        found: Floats = np.maximum(sums, self.allowed - self.most[merged])
        return found


def merged(aims: Sequence[Floats], ceilings: Sequence[Ceiling], mask: Bools) -> tuple[Floats, Choices]:
    """Every way that no other beats in all aims, of those that keep all ceilings.

    Args:
        aims: what each pair adds to each aim, [F, M]; less is better.
        mask: pairs to choose from, [F, M].

    Returns:
        Sums of the aims, [L, aims], and the choices, [L, F], from the best of the first aim on; none where
        nothing keeps the ceilings.
    """
    n_features, n_aims = len(mask), len(aims)
    if not mask.any(axis=1).all():
        return np.zeros((0, n_aims)), np.zeros((0, n_features), dtype=np.int64)
    criteria = _criteria(aims, ceilings, mask)
    sums, choices = np.zeros((1, len(criteria))), np.zeros((1, 0), dtype=np.int64)
    for f in range(n_features):
        options = np.flatnonzero(mask[f])
        added = np.stack([c.column[f, options] for c in criteria], axis=1)  # [M, C]
        options, added = options[best := kept(added)], added[best]
        sums = (sums[:, None] + added).reshape(-1, len(criteria))
        choices = np.concatenate(
            [np.repeat(choices, len(options), axis=0), np.tile(options, len(choices))[:, None]], axis=1
        )
        sums, choices = _pruned(sums, choices, criteria, f + 1)
    order = np.lexsort(sums[:, :n_aims].T[::-1])
    order = order[np.sort(kept(sums[order, :n_aims]))]
    return sums[order, :n_aims], choices[order]


def _criteria(aims: Sequence[Floats], ceilings: Sequence[Ceiling], mask: Bools) -> list[_Sum]:
    """The aims, each with the ceilings on it, then the ceilings on anything else."""
    own = [[c for c in ceilings if np.array_equal(c.column, column)] for column in aims]
    others = [c for c in ceilings if not any(c is found for some in own for found in some)]
    return [
        *(
            _Sum.of(column, mask, min((c.allowed for c in some), default=np.inf), is_aim=True)
            for column, some in zip(aims, own, strict=True)
        ),
        *(_Sum.of(c.column, mask, c.allowed, is_aim=False) for c in others),
    ]


def _pruned(
    sums: Floats, choices: Choices, criteria: Sequence[_Sum], n_merged: int
) -> tuple[Floats, Choices]:
    possible = np.logical_and.reduce([c.possible(sums[:, i], n_merged) for i, c in enumerate(criteria)])
    sums, choices = sums[possible], choices[possible]
    open_ = np.stack([c.settled(sums[:, i], n_merged) for i, c in enumerate(criteria)], axis=1)
    stays = kept(open_)
    return sums[stays], choices[stays]


def _after(column: Floats) -> Floats:
    """Sums of each entry and those behind it, and a last 0."""
    return np.concatenate([np.cumsum(column[::-1])[::-1], [0.0]])
