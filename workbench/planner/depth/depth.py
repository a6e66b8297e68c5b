"""The planner for weight bits of every block: dynamic programming over labels, exact.

n blocks with B widths each can be packed in B**n ways at every cut. What a plan takes, loses and holds are
sums over its blocks, so labels that another one beats in all of them can go block by block, and those that
are left at the end are the whole front. Blocks that are alike keep labels few: 80 blocks of three widths can
be packed in 3**80 ways, which come to some thousand different sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from workbench.cost import Floats
from workbench.errors import InputError
from workbench.planner.aims import AIMS
from workbench.planner.answer import Answer
from workbench.planner.depth.criteria import Criteria, Goals, check_aims
from workbench.planner.depth.families import Family, families_of
from workbench.planner.depth.growing import Growing
from workbench.planner.depth.labels import Labels, kept
from workbench.planner.depth.mixed import MixedPlans, mixed_plans
from workbench.planner.landscape import Landscape, Plans
from workbench.planner.limits import bounds_of, excess_of
from workbench.planner.problem import Problem
from workbench.planner.quantity import quantity
from workbench.planner.routes import Route, routes_of
from workbench.planner.score import TIMES, Score
from workbench.planner.search import Search

__all__ = ["Depth"]


@dataclass(frozen=True)
class Depth:
    """Exact for two places, one cut and any widths of any blocks.

    Without a front in the problem it is that of its heaviest time against the loss.

    Args:
        most: proposals in the answer's front; of a larger one, these are spread evenly along it.
        labels: ways to choose the widths of some blocks that are kept at a time. Only blocks that all differ,
            in a memory that binds, have more; then the answer's notes say how far off its front may be.
    """

    most: int = 200
    labels: int = 20_000
    name: str = field(default="depth", init=False)

    def plan(self, problem: Problem) -> Answer:
        """The best plan, the front, and both baselines at one width each.

        Raises:
            InfeasibleError: no plan keeps every limit; says which binds, and by how much.
            InputError: there are more places than two, a U-shape, no losses, or an aim that does not add up.
        """
        problem = _with_front(problem)
        landscape = Landscape(problem)
        search = Search(problem, _unsplit(landscape))
        found = list(self.fronts(problem))
        for plans in (*self._chosen(problem, search.score, found), *self._best(problem, search.score)):
            search.look(plans)
        if not search.n_feasible:
            for others in landscape.plans():  # enough to say why
                search.look(others)
        answer = search.answer(self.name)
        n = sum(map(len, found))
        return replace(answer, n_plans=n, n_feasible=n, notes=(*answer.notes, *_notes(landscape, found)))

    def fronts(self, problem: Problem) -> Iterator[MixedPlans]:
        """By route and family of stages: the front of the plans that keep every limit, unthinned.

        A plan of one batch may be beaten by one of another.

        Raises:
            InputError: as ``plan``.
        """
        problem = _with_front(problem)
        return self._plans(problem, {name: {name: 1.0} for name in problem.front})

    def _chosen(self, problem: Problem, score: Score, found: list[MixedPlans]) -> Iterator[MixedPlans]:
        """Of each batch, the best by score and what is shown of the front over all."""
        points = np.concatenate([np.zeros((0, len(problem.front))), *(_points(problem, p) for p in found)])
        shown = _spread(points, kept(points), self.most)
        first = 0
        for plans in found:
            own = shown[(shown >= first) & (shown < first + len(plans))] - first
            first += len(plans)
            if len(plans):
                yield plans.taken(np.unique([*own, np.argmin(score.of(plans.numbers))]))

    def _best(self, problem: Problem, score: Score) -> Iterator[MixedPlans]:
        """The best by score, where the front does not have it already."""
        if set(score.weights) - set(problem.front):
            weights = {aim: _weight(score, aim) for aim in score.weights}
            for plans in self._plans(problem, {"score": weights}):
                if len(plans):
                    yield plans.taken(np.array([np.argmin(score.of(plans.numbers))]))

    def _plans(self, problem: Problem, goals: Goals) -> Iterator[MixedPlans]:
        for route in routes_of(problem.chain.places, u_shaped=False):
            for families in product(*(families_of(problem, place) for place in route.places)):
                for plans in _along(problem, families, goals, self.labels):
                    yield plans.taken(np.flatnonzero(excess_of(bounds_of(problem, plans)) <= 0))


def _weight(score: Score, aim: str) -> float:
    """What one of an aim's unit adds to the score."""
    return float(score.of({name: np.array([float(name == aim)]) for name in score.weights})[0])


def _notes(landscape: Landscape, found: list[MixedPlans]) -> Iterator[str]:
    """How far from exact the front may be, and why."""
    if len(landscape.crossings(landscape.problem.choices.wires[0]).pauses) > 1:
        yield (
            "messages of later tokens are larger than a first window: split plans whose step is all but so "
            "long that the connection starts again may be missing"
        )
    for name in sorted({name for plans in found for name in plans.blur}):
        off = max(plans.blur.get(name, 0.0) for plans in found)
        unit = AIMS[name].unit if name in AIMS else "s"
        yield f"too many sums to keep apart: plans with {quantity(off, unit)} less {name} may be missing"


def _with_front(problem: Problem) -> Problem:
    """Raises ``InputError`` where the planner is not for this problem."""
    if len(problem.chain.places) != 2 or problem.choices.u_shaped:
        raise InputError("widths along depth are planned for two places and one cut: use the chain planner")
    if problem.losses is None:
        raise InputError(
            f"what fewer bits cost {problem.model.name!r} in accuracy was never measured: without it the "
            "narrowest widths win; let `workbench model sensitivity` measure it"
        )
    times = {name: weight for name, weight in problem.aims.items() if name in TIMES and weight}
    usual = (max(times, key=lambda name: times[name], default="total"), "loss")
    check_aims([*problem.front, *(name for name, weight in problem.aims.items() if weight)])
    return problem if problem.front else problem.with_(front=usual)


def _unsplit(landscape: Landscape) -> list[Plans]:
    """Both baselines, at one width each."""
    choices, n = landscape.problem.choices, landscape.problem.model.n_blocks
    return [
        landscape.along(Route((p,)), np.array([[0, n]]), {p: choices.bits_of(p)}, choices.wires[:1])
        for p in landscape.problem.chain.places
    ]


def _along(problem: Problem, families: tuple[Family, ...], goals: Goals, most: int) -> Iterator[MixedPlans]:
    """Along one route, with stages of some families, for each length of pause between messages."""
    devices = {**problem.devices, **{family.place: family.device for family in families}}
    landscape, is_split = Landscape(problem.with_(devices=devices)), len(families) > 1
    wires = tuple(problem.choices.wires)[: None if is_split else 1]
    for pause in range(len(landscape.crossings(wires[0]).pauses) if is_split else 1):
        criteria = Criteria.of(landscape, families, goals, wires, pause)
        if criteria is not None:
            growing = Growing(criteria, families, problem.model.n_blocks, most)
            labels = growing.labels()
            if not len(labels):
                continue
            cuts = _cuts(labels, is_split=is_split)
            plans = mixed_plans(landscape, families, cuts, labels.widths, wires, labels.wire)
            blur = zip(criteria.names, growing.blur * criteria.units, strict=True)
            yield replace(plans, blur={name: float(off) for name, off in blur if off > 0})


def _cuts(labels: Labels, *, is_split: bool) -> NDArray[np.int64]:
    """Of each label, from 0 to n: [N, L + 1]."""
    inner, n = [labels.cut] if is_split else [], labels.widths.shape[1]
    return np.stack([np.zeros_like(labels.cut), *inner, np.full_like(labels.cut, n)], axis=1)


def _points(problem: Problem, plans: MixedPlans) -> Floats:
    return np.stack([plans.numbers[name] for name in problem.front], axis=1)


def _spread(points: Floats, front: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many points of a front, both ends with them."""
    if len(front) <= most:
        return front
    ordered = front[np.lexsort(points[front].T[::-1])]
    return ordered[np.unique(np.linspace(0, len(front) - 1, most).round().astype(int))]
