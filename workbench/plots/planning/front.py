"""The front of an answer: plans that no other beats in everything that was asked for."""

from __future__ import annotations

import plotly.graph_objects as go

from workbench.planner.aims import AIMS
from workbench.planner.answer import Answer, Proposal
from workbench.planner.quantity import quantity
from workbench.plots.planning.look import AIM_TITLES, Look, heading_of, kinds_of
from workbench.plots.style import INK, PALETTE, Scale, figure

__all__ = ["plan_front"]


def plan_front(answer: Answer, *, x: str | None = None, y: str | None = None) -> go.Figure:
    """Plans of the front by two aims, with both ways of not splitting; those that break a limit are open.

    Args:
        answer: to a problem with a ``front``.
        x, y: aims on the axes; None takes the first two of the front.

    Raises:
        ValueError: the problem asks for no front, or an axis is none of its aims.
    """
    names = answer.problem.front
    across, up = x or (names[0] if names else ""), y or (names[1] if len(names) > 1 else "")
    if not {across, up} <= set(AIMS) or across == up:
        raise ValueError(
            f"a front has two aims of {', '.join(AIMS)}: the problem's front is {names or 'empty'}"
        )
    fig = figure(f"{AIM_TITLES[up].capitalize()} against {AIM_TITLES[across]}", heading_of(answer.problem))
    looks, drawn = kinds_of(answer.problem), _Axes(across, up, answer)
    for kind, look in looks.items():
        own = [p for p in answer.front if _kind(p) == kind]
        fig.add_trace(_points(f"{kind}, on the front", own, look, drawn, size=9))
    for name, proposal in answer.baselines.items():
        fig.add_trace(_points(name, [proposal], looks[name], drawn, size=17))
    best = [answer.best]
    ring = _points("best", best, Look("best", "vermilion", symbol="circle-open"), drawn, size=24)
    fig.add_trace(ring.update(marker={"color": PALETTE["vermilion"], "line": {"width": 3}}))
    return fig.update_layout(xaxis=drawn.axis(across), yaxis=drawn.axis(up))


class _Axes:
    """Both aims with their scales."""

    def __init__(self, x: str, y: str, answer: Answer) -> None:
        proposals = [answer.best, *answer.front, *answer.baselines.values()]
        self.names = (x, y)
        self.scales = {n: Scale.of(AIMS[n].unit, max(abs(p.values[n]) for p in proposals)) for n in (x, y)}

    def at(self, proposal: Proposal) -> tuple[float, float]:
        x, y = (proposal.values[name] / self.scales[name].divisor for name in self.names)
        return x, y

    def axis(self, name: str) -> dict[str, object]:
        unit = f" ({self.scales[name].unit})" if self.scales[name].unit else ""
        return {"title": {"text": f"{AIM_TITLES[name]}{unit}"}, "rangemode": "tozero"}


def _points(name: str, proposals: list[Proposal], look: Look, drawn: _Axes, *, size: int) -> go.Scatter:
    points = [drawn.at(p) for p in proposals]
    return go.Scatter(
        name=name,
        mode="markers",
        x=[x for x, _ in points],
        y=[y for _, y in points],
        marker={
            "size": size,
            "color": look.css,
            "symbol": [f"{look.symbol}-open" if p.broken else look.symbol for p in proposals],
            "line": {"width": 1, "color": INK},
        },
        hovertext=[_told(p, drawn) for p in proposals],
        hoverinfo="text",
        showlegend=bool(proposals),
    )


def _told(proposal: Proposal, drawn: _Axes) -> str:
    values = [f"{AIM_TITLES[n]} {quantity(proposal.values[n], AIMS[n].unit)}" for n in drawn.names]
    broken = [f"breaks: {text}" for text in proposal.broken]
    return "<br>".join(
        [f"<b>{proposal.title}</b> (modelled)", *values, f"<i>{proposal.plan.partition}</i>", *broken]
    )


def _kind(proposal: Proposal) -> str:
    return "split" if proposal.is_split else proposal.title
