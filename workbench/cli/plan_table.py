"""An answer as cells of text: what the terminal and the page show alike. Every number in it is modelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.planner import AIMS, Answer, Proposal
from workbench.planner.quantity import quantity
from workbench.planner.table import TITLES, number_rows

__all__ = ["Table", "considered", "front_table", "obstacles", "plans_table"]

@dataclass(frozen=True)
class Table:
    """A header and rows of as many cells."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def plans_table(answer: Answer) -> Table:
    """One row per number, one column per plan."""
    kept = ["keeps every limit", *("no" if p.broken else "yes" for p in answer.plans.values()), ""]
    return Table(["", *answer.plans, "label"], [*number_rows(answer), kept])


def front_table(answer: Answer) -> Table:
    """One row per plan of the front."""
    names = answer.problem.front
    rows = [[_plan(p), *(_value(p, name) for name in names)] for p in answer.front]
    return Table(["the front", *(TITLES[name] for name in names)], rows)


def obstacles(answer: Answer) -> list[str]:
    """Why a way of not splitting cannot be, where the verdict does not say it."""
    found = [f"{name} cannot be: {'; '.join(p.broken)}" for name, p in answer.baselines.items() if p.broken]
    return [text for text in found if text.lower() not in answer.verdict.lower()]


def considered(answer: Answer, seconds: float) -> str:
    """How much was looked at, and how long it took."""
    return (
        f"{answer.n_plans:,} plans considered by the {answer.planner} planner, {answer.n_feasible:,} keep "
        f"every limit; {quantity(seconds, 's')}"
    )


def _value(proposal: Proposal, name: str) -> str:
    return quantity(proposal.values[name], AIMS[name].unit)


def _plan(proposal: Proposal) -> str:
    wire = f", wire {proposal.plan.wire}" if proposal.is_split else ""
    return f"{proposal.plan.partition}{wire}"
