"""The exact front of a table: every set of modules that fits, the front of each, and the front of those."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.cost import Floats
from workbench.planner.depth.labels import kept
from workbench.planner.placing.labels import Choices, merged
from workbench.planner.placing.subsets import masks_that_fit
from workbench.planner.placing.table import Bools, Table

__all__ = ["Front", "best_first", "exact_front"]

_SAME = 1e-10  # of the largest sum: what rounding may make of equals


@dataclass(frozen=True)
class Front:
    """Choices that no other beats, from the best of the first aim on.

    L choices, F features.
    """

    sums: Floats  # [L, aims], to be minimised
    choices: Choices  # [L, F]
    n_sets: int = 1  # of modules that were solved

    def __len__(self) -> int:
        return len(self.sums)


def exact_front(
    table: Table,
    aims: Sequence[Floats] | None = None,
    *,
    without: Iterable[str] = (),
    mask: Bools | None = None,
) -> Front:
    """The front of a problem's aim and its rival; empty where nothing keeps the limits.

    Args:
        aims: what each pair adds, [F, M] each, instead; less is better.
        without: limits to leave out, by the names of ``Ceiling``, ``Table.masks`` and ``Shelf``.
        mask: pairs to choose from besides, [F, M].
    """
    left_out = set(without)
    free = table.without_memory(left_out)
    allowed = table.allowed(left_out) & (True if mask is None else mask)
    problem = table.problem
    columns = aims or [table.weighted(name) for name in (problem.aim, problem.rival_aim)]
    ceilings = [ceiling for ceiling in table.ceilings if ceiling.name not in left_out]
    parts = [merged(columns, ceilings, fitting) for fitting in masks_that_fit(free, allowed)]
    sums = np.concatenate([np.zeros((0, len(columns))), *(s for s, _ in parts)])
    choices = np.concatenate(
        [np.zeros((0, len(allowed)), dtype=np.int64), *(choices for _, choices in parts)]
    )
    order = best_first(sums)
    return Front(sums[order], choices[order], len(parts))


def best_first(sums: Floats) -> Choices:
    """Numbers of the sums that no other beats, by the first aim, equals once: [L, aims] to [K].

    Equals up to rounding: else the last digit of the aim would decide, and not the rival.
    """
    if not len(sums):
        return np.zeros(0, dtype=np.int64)
    largest = np.abs(sums).max(axis=0)
    whole = np.rint(sums / np.where(largest > 0, largest * _SAME, 1.0))
    order = np.lexsort(whole.T[::-1])
    found: Choices = order[np.sort(kept(whole[order]))]
    return found
