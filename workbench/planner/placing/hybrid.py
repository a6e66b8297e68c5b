"""Placing with cascades: what modules on the edge are not sure of is passed on to the default.

F features, M modules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from workbench.errors import InputError, UnknownNameError
from workbench.plan import EDGE
from workbench.planner.placing.answer import Placed
from workbench.planner.placing.cascade import Cascade
from workbench.planner.placing.exact import best_first, exact_front
from workbench.planner.placing.table import Table

__all__ = ["Cascades", "escalating", "hybrid_front"]

Cascades = Mapping[tuple[str, str], Cascade]
"""By feature and module: how sure that module is, and how often it and the default are right."""


def escalating(table: Table, cascades: Cascades, thresholds: Mapping[str, float]) -> Table:
    """The table where pairs with a cascade pass on what they are less sure of than their feature's threshold.

    A request that is passed on takes what its module takes and what the default takes. Features without a
    threshold, or bound to the edge, pass on nothing.

    Raises:
        InputError: the problem names no default, or one on the edge: nothing to pass on to.
        UnknownNameError: a cascade of no feature, or of no module.
    """
    problem = table.problem
    if problem.default is None or problem.candidates[problem.default].is_local:
        raise InputError(f"a cascade passes on to a default that is not on the edge: got {problem.default!r}")
    default = problem.modules.index(problem.default)
    numbers, local = {name: column.copy() for name, column in table.numbers.items()}, table.local.copy()
    for (feature, module), cascade in cascades.items():
        f, m = _index("feature", feature, problem.features), _index("module", module, problem.modules)
        bound = problem.bound_of(feature)
        if feature not in thresholds or m == default or (bound is not None and bound.place == EDGE):
            continue
        curve = cascade.curve(thresholds[feature])
        share = float(curve.escalated[0])
        for name, column in numbers.items():
            column[f, m] += share * table.numbers[name][f, default]
        numbers["quality"][f, m] = curve.quality[0]
        local[f, m] *= 1.0 - share
    return replace(table, numbers=numbers, local=local)


def hybrid_front(table: Table, cascades: Cascades, thresholds: Sequence[float]) -> tuple[Placed, ...]:
    """The exact front over one module per feature and one threshold for them all, the aim's best first.

    Raises:
        InputError: as ``escalating``, or no threshold is given.
    """
    if not len(thresholds):
        raise InputError("a cascade needs a threshold: give at least one")
    found, sums = list[Placed](), []
    for threshold in thresholds:
        at = dict.fromkeys(table.problem.features, float(threshold))
        one = escalating(table, cascades, at)
        front = exact_front(one)
        for choice in front.choices.tolist():
            names = one.names(choice)
            passing = {f: at[f] for f, m in names.items() if (f, m) in cascades}
            found.append(Placed(names, one.values(choice), one.broken(choice), passing))
        sums.append(front.sums)
    points = np.concatenate(sums)
    return tuple(found[i] for i in best_first(points))


def _index(kind: str, name: str, known: Sequence[str]) -> int:
    if name not in known:
        raise UnknownNameError(kind, name, known)
    return known.index(name)
