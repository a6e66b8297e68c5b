"""Keeps the best of the plans that a planner looks at: within the limits, by score, and the front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.cost import Floats
from workbench.planner.aims import AIMS
from workbench.planner.answer import Answer, Proposal
from workbench.planner.infeasible import Refusals
from workbench.planner.landscape import Plans
from workbench.planner.limits import bounds_of, excess_of
from workbench.planner.pareto import front_of
from workbench.planner.problem import Problem
from workbench.planner.reason import reasoned
from workbench.planner.routes import SPLIT
from workbench.planner.score import Score

__all__ = ["Search"]


@dataclass
class _Found:
    """The best plan of a kind so far."""

    rank: tuple[float, float] = (np.inf, np.inf)  # excess over the limits, score
    plans: Plans | None = None
    index: int = 0

    def offer(self, excess: Floats, scores: Floats, plans: Plans) -> None:
        """Take the best of a batch, where it is better than what was found before: limits first."""
        if not len(scores):
            return
        index = int(np.lexsort((scores, excess))[0])
        rank = (float(excess[index]), float(scores[index]))
        if rank < self.rank:
            self.rank, self.plans, self.index = rank, plans, index

    def proposal(self, problem: Problem) -> Proposal | None:
        return None if self.plans is None else Proposal.of(problem, self.plans, self.index)


class Search:
    """One problem, looked through once: unsplit plans first, then whatever a planner comes up with."""

    def __init__(self, problem: Problem, unsplit: Sequence[Plans]) -> None:
        self.problem = problem
        self.score = Score(problem, unsplit)
        self.best = _Found()
        self.kinds: dict[str, _Found] = {}  # the best of each kind of route
        self.refusals = Refusals()
        self.n = self.n_feasible = 0
        self._front: list[tuple[Floats, Plans, int]] = []
        for plans in unsplit:
            self.look(plans)

    def look(self, plans: Plans) -> None:
        """Compare some plans with what was found before."""
        bounds = bounds_of(self.problem, plans)
        excess, scores = excess_of(bounds), self.score.of(plans.numbers)
        fits = excess <= 0
        self.kinds.setdefault(plans.route.kind, _Found()).offer(excess, scores, plans)
        if fits.any():
            self.best.offer(excess, scores, plans)
        self.n, self.n_feasible = self.n + len(plans), self.n_feasible + int(fits.sum())
        if not self.n_feasible:
            self.refusals.note(bounds, plans)
        self._keep_front(plans, np.flatnonzero(fits))

    def _keep_front(self, plans: Plans, fitting: NDArray[np.int64]) -> None:
        if not self.problem.front or not len(fitting):
            return
        points = self._points(plans)
        for index in fitting[front_of(points[fitting])]:
            self._front.append((points[index], plans, int(index)))

    def _points(self, plans: Plans) -> Floats:
        return np.stack([AIMS[name].sign * plans.numbers[name] for name in self.problem.front], axis=1)

    def answer(self, planner: str) -> Answer:
        """What was found.

        Raises:
            InfeasibleError: no plan keeps every limit.
        """
        best = self.best.proposal(self.problem)
        if best is None:
            raise self.refusals.error(self.problem, self.n)
        found = {name: kind.proposal(self.problem) for name, kind in self.kinds.items()}
        split = found.pop(SPLIT, None)
        answer = Answer(
            problem=self.problem,
            planner=planner,
            best=best,
            best_split=None if split is None or split.broken else split,
            baselines={name: proposal for name, proposal in found.items() if proposal is not None},
            front=self._proposals(),
            n_plans=self.n,
            n_feasible=self.n_feasible,
        )
        return reasoned(answer, self.problem.main_aim)

    def _proposals(self) -> tuple[Proposal, ...]:
        if not self._front:
            return ()
        kept = front_of(np.stack([point for point, _, _ in self._front]))
        found = [self._front[i] for i in kept]
        found.sort(key=lambda row: tuple(row[0]))
        return tuple(Proposal.of(self.problem, plans, index) for _, plans, index in found)
