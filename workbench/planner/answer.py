"""What every planner gives back: plans with their predicted requests, both baselines, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from workbench.cost import predict
from workbench.plan import Plan
from workbench.planner.landscape import Plans
from workbench.planner.limits import WITHIN, bounds_of
from workbench.planner.problem import Problem
from workbench.planner.table import answer_html
from workbench.trace import RequestTrace

__all__ = ["Answer", "Proposal", "traced"]


@dataclass(frozen=True)
class Proposal:
    """One plan with what it is predicted to take."""

    problem: Problem = field(repr=False)
    plan: Plan
    values: Mapping[str, float]  # by aim
    broken: tuple[str, ...] = ()  # limits that it does not keep, each with by how much

    @classmethod
    def of(cls, problem: Problem, plans: Plans, index: int) -> Proposal:
        """Plan ``index`` of a batch."""
        bounds = bounds_of(problem, plans)
        broken = tuple(bound.said(index) for bound in bounds if bound.excess[index] > WITHIN)
        values = {name: float(column[index]) for name, column in plans.numbers.items()}
        plan = plans.plan(problem.model.name, index)
        return cls(problem, plan, values, broken)

    @cached_property
    def trace(self) -> RequestTrace:
        """The plan's request, span by span."""
        return traced(self.problem, self.plan)

    @property
    def is_split(self) -> bool:
        return bool(self.plan.partition.split_points)

    @property
    def title(self) -> str:
        """A plan in a few words."""
        partition = self.plan.partition
        if not self.is_split:
            return f"{partition.places[0]}-only"
        return f"split at {', '.join(map(str, partition.split_points))}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "title": self.title,
            "plan": self.plan.to_dict(),
            "values": dict(self.values),
            "label": "modelled",
            "broken": list(self.broken),
            "trace": self.trace.to_dict(),
        }


@dataclass(frozen=True)
class Answer:
    """What a planner found."""

    problem: Problem
    planner: str
    best: Proposal
    best_split: Proposal | None  # the best plan that does split; None where none keeps the limits
    baselines: Mapping[str, Proposal]  # not splitting, by name, whether or not it keeps the limits
    front: tuple[Proposal, ...] = ()  # by ``Problem.front``
    n_plans: int = 0  # that were considered
    n_feasible: int = 0
    verdict: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def splits(self) -> bool:
        """Whether splitting is the answer."""
        return self.best.is_split

    @property
    def plans(self) -> dict[str, Proposal]:
        """The best plan, the best split where that is another, and not splitting: each once, by title."""
        found = {f"best: {self.best.title}": self.best}
        if self.best_split is not None and self.best_split.plan != self.best.plan:
            found[f"best {self.best_split.title}"] = self.best_split
        return found | {name: p for name, p in self.baselines.items() if p.plan != self.best.plan}

    def __str__(self) -> str:
        return f"{self.best.plan}\n{self.verdict}"

    def __repr__(self) -> str:
        return f"<Answer: {self.verdict}>"  # all of it would fill pages

    def _repr_html_(self) -> str:
        return answer_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "planner": self.planner,
            "verdict": self.verdict,
            "best": self.best.to_dict(),
            "best_split": self.best_split and self.best_split.to_dict(),
            "baselines": {name: proposal.to_dict() for name, proposal in self.baselines.items()},
            "front": [proposal.to_dict() for proposal in self.front],
            "n_plans": self.n_plans,
            "n_feasible": self.n_feasible,
            "notes": list(self.notes),
        }


def traced(problem: Problem, plan: Plan) -> RequestTrace:
    """The plan's request, span by span."""
    request = problem.request
    return predict(
        plan,
        problem.model,
        problem.devices,
        problem.links,
        prompt_tokens=request.prompt_tokens,
        new_tokens=request.new_tokens,
        batch=request.batch,
        link_kind=problem.link_kind,
        must_fit=False,
    )
