"""An answer as a table: its plans beside each other, every number with its unit and label."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from workbench.planner.aims import AIMS
from workbench.planner.problem import Prices
from workbench.planner.quantity import quantity

if TYPE_CHECKING:
    from workbench.planner.answer import Answer, Proposal

__all__ = ["TITLES", "answer_html", "answer_rows", "number_rows"]

TITLES: Mapping[str, str] = {
    "ttft": "TTFT",
    "tpot": "TPOT",
    "total": "total",
    "throughput": "throughput",
    "bytes": "over the user's link",
    "edge_energy": "energy of the user's device",
    "price": "price per token",
    "loss": "loss",
}
_LABEL = "modelled"
_VERDICT = "border-left:4px solid #0072B2;padding:4px 10px;background:rgba(86,180,233,.14);margin:2px 0 6px"


def answer_rows(answer: Answer) -> tuple[list[str], list[list[str]]]:
    """A header, and a row for each number; a column for each plan, the label last."""
    plans = answer.plans
    what = ["plan", *(_plan(p) for p in plans.values()), ""]
    breaks = ["breaks", *(_broken(p) for p in plans.values()), ""]
    return ["", *plans, "label"], [what, *number_rows(answer), breaks]


def number_rows(answer: Answer) -> list[list[str]]:
    """The rows that hold numbers: aims, and memory by place."""
    plans = answer.plans
    rows = [[TITLES[name], *(_value(p, name) for p in plans.values()), _LABEL] for name in _known(answer)]
    for place in answer.problem.devices:
        held = [quantity(p.trace.memory_bytes.get(place, 0), "B") for p in plans.values()]
        rows.append([f"memory of {place}", *held, _LABEL])
    return rows


def _known(answer: Answer) -> list[str]:
    """Aims that have a value; a price only where there are prices."""
    priced = answer.problem.prices != Prices()
    return [name for name in TITLES if name in answer.best.values and (priced or name != "price")]


def _value(proposal: Proposal, name: str) -> str:
    return quantity(proposal.values[name], AIMS[name].unit)


def _plan(proposal: Proposal) -> str:
    wire = f", {proposal.plan.wire}" if proposal.is_split else ""
    return f"{proposal.plan.partition}{wire}"


def _broken(proposal: Proposal) -> str:
    if not proposal.broken:
        return "no limit"
    more = f" and {len(proposal.broken) - 1} more" if len(proposal.broken) > 1 else ""
    return proposal.broken[0] + more


def answer_html(answer: Answer) -> str:
    """Verdict, table and what was looked at, for notebooks."""
    head, rows = answer_rows(answer)
    top = "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr><th scope='row' style='text-align:left'>{escape(row[0])}</th>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    looked = f"{answer.n_plans:,} plans considered, {answer.n_feasible:,} keep every limit"
    notes = "; ".join([looked, *answer.notes])
    return (
        f"<div style='{_VERDICT}'>{escape(answer.verdict)}</div><table><thead><tr>{top}</tr></thead>"
        f"<tbody>{body}</tbody></table><small>{escape(notes)}</small>"
    )
