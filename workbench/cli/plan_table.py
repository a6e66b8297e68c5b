"""An answer as cells of text: what the terminal and the page show alike. Every number in it is modelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.cli.text import quantity
from workbench.planner import AIMS, Answer, Prices, Proposal

__all__ = ["Table", "considered", "front_table", "obstacles", "plans_table", "shown"]

_TITLES = {
    "ttft": "TTFT",
    "tpot": "TPOT",
    "total": "total",
    "throughput": "throughput",
    "bytes": "over the user's link",
    "edge_energy": "energy of the user's device",
    "price": "price per token",
    "loss": "loss",
}


@dataclass(frozen=True)
class Table:
    """A header and rows of as many cells."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def shown(answer: Answer) -> dict[str, Proposal]:
    """The best plan, the best split where that is another, and not splitting, each once."""
    found = {f"best: {answer.best.title}": answer.best}
    if answer.best_split is not None and answer.best_split.plan != answer.best.plan:
        found[f"best split: {answer.best_split.title.removeprefix('split ')}"] = answer.best_split
    return found | {name: p for name, p in answer.baselines.items() if p.plan != answer.best.plan}


def plans_table(answer: Answer) -> Table:
    """One row per number, one column per plan."""
    plans = shown(answer)
    rows = [[_TITLES[name], *(_value(p, name) for p in plans.values()), "modelled"] for name in _aims(answer)]
    for place in answer.problem.devices:
        held = [quantity(p.trace.memory_bytes.get(place, 0), "B") for p in plans.values()]
        rows.append([f"memory of {place}", *held, "modelled"])
    rows.append(["keeps every limit", *("no" if p.broken else "yes" for p in plans.values()), ""])
    return Table(["", *plans, "label"], rows)


def front_table(answer: Answer) -> Table:
    """One row per plan of the front."""
    names = answer.problem.front
    rows = [[_plan(p), *(_value(p, name) for name in names)] for p in answer.front]
    return Table(["the front", *(_TITLES[name] for name in names)], rows)


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


def _aims(answer: Answer) -> list[str]:
    """Prices only where there are any."""
    known = [name for name in _TITLES if name in answer.best.values]
    return [name for name in known if name != "price" or answer.problem.prices != Prices()]


def _value(proposal: Proposal, name: str) -> str:
    return quantity(proposal.values[name], AIMS[name].unit)


def _plan(proposal: Proposal) -> str:
    wire = f", wire {proposal.plan.wire}" if proposal.is_split else ""
    return f"{proposal.plan.partition}{wire}"
