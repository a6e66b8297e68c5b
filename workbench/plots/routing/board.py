"""Two figures for a live panel: a plan with what it is expected to give, and a replay with its confusions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from workbench.plan import Plan
from workbench.plots.axes import Panel
from workbench.plots.planning.look import Parts
from workbench.plots.routing.confusion import confusion
from workbench.plots.routing.curve import quality_cost_parts
from workbench.plots.routing.picture import plan_picture_parts
from workbench.plots.routing.replay import replay_timeline
from workbench.plots.style import TEMPLATE
from workbench.routing import Expected, Report

__all__ = ["replay_board", "routing_parts"]

_CURVE_PX, _BETWEEN_PX, _ROW_PX = 330, 100, 25
_MARGIN = {"l": 84, "r": 14, "t": 62, "b": 78}
_GAP_PX = 120  # between timeline and confusions: a title and two axes


def routing_parts(
    plan: Plan,
    curves: Mapping[str, Sequence[Expected]],
    here: Expected | None,
    *,
    cost: str = "latency",
    remark: str = "",
) -> Parts:
    """As plain dicts: quality over cost, and below it the plan; always the same traces.

    Args:
        curves, here, cost: see ``quality_cost``; no curves where nothing can be compared.
        remark: what is said in place of the curves where there are none.
    """
    picture_px = _ROW_PX * len(plan.features)
    inner = _CURVE_PX + _BETWEEN_PX + picture_px
    above = Panel("", (0.0, 1.0), (1 - _CURVE_PX / inner, 1.0), "")
    below = Panel("2", (0.0, 1.0), (0.0, picture_px / inner), "")
    curve, picture = quality_cost_parts(curves, here, above, cost=cost), plan_picture_parts(plan, below)
    for trace in picture["data"]:
        trace["legend"] = "legend2"
    said = [{**above.heading(), "y": above.y[0] + 0.1, "text": remark}] if remark else []
    notes = [*picture["layout"].pop("annotations"), *said]
    text = "Quality over cost: answers measured, costs modelled"
    frame = {
        "template": TEMPLATE,
        "height": inner + _MARGIN["t"] + _MARGIN["b"],
        "barmode": "overlay",
        "margin": _MARGIN,
        "title": {"text": text, "y": 0.99, "yref": "container", "font": {"size": 13}},
        "legend": _legend(1.0, "bottom"),
        "legend2": _legend(-46 / inner, "top"),
        "annotations": notes,
        "uirevision": "routing",
    }
    data = [*curve["data"], *picture["data"]]
    return {"data": data, "layout": {**curve["layout"], **picture["layout"], **frame}}


def _legend(y: float, anchor: str) -> dict[str, Any]:
    look = {"orientation": "h", "x": 0, "font": {"size": 11}, "itemwidth": 30, "tracegroupgap": 0}
    return {**look, "y": y, "yanchor": anchor}


def replay_board(report: Report, outages: Sequence[tuple[float, float]] = ()) -> go.Figure:
    """The timeline of a replay, and below it what its requests were taken for."""
    upper, lower = replay_timeline(report, outages), confusion(report)
    heights = upper.layout.height, lower.layout.height
    inner = sum(heights)
    edge = heights[1] / inner
    above = Panel("", (0.0, 1.0), (edge + 0.25 * _GAP_PX / inner, 1.0), "")
    below = Panel("2", (0.0, 0.9), (0.0, edge - 0.75 * _GAP_PX / inner), _heading(lower))
    parts = [_moved(upper, above), _moved(lower, below)]
    fig = go.Figure([trace for part in parts for trace in part["data"]])
    fig.update_layout({k: v for part in parts for k, v in part["layout"].items() if k[1:5] == "axis"})
    notes = [note for part in parts for note in part["layout"].get("annotations", ())]
    legend = {**upper.layout.legend.to_plotly_json(), "y": 1.0, "yanchor": "bottom"}
    return fig.update_layout(
        template=TEMPLATE,
        height=inner,
        title=upper.layout.title.to_plotly_json(),
        legend=legend,
        barmode="overlay",
        margin={**_MARGIN, "l": 112, "t": 122},
        shapes=parts[0]["layout"].get("shapes", ()),
        annotations=[*notes, below.heading()],
        uirevision="replay",
    )


def _heading(figure: go.Figure) -> str:
    title, _, small = figure.layout.title.text.partition("<br>")
    return f"{title}</b>: {small.replace('<sup>', '').replace('</sup>', '')}<b>"


def _moved(figure: go.Figure, panel: Panel) -> Parts:
    """A figure of one pair of axes, in a panel of another."""
    parts = figure.to_dict()
    layout = parts["layout"]
    traces = [{**trace, **panel.refs} for trace in parts["data"]]
    axes = panel.layout(layout.get("xaxis", {}), layout.get("yaxis", {}))
    moved = {name: list(_referring(layout.get(name, ()), panel)) for name in ("annotations", "shapes")}
    return {"data": traces, "layout": {**axes, **moved}}


def _referring(items: Sequence[Mapping[str, Any]], panel: Panel) -> Iterator[dict[str, Any]]:
    for item in items:
        refs = {}
        for letter in ("x", "y"):
            name, _, rest = str(item.get(f"{letter}ref", letter)).partition(" ")
            refs[f"{letter}ref"] = f"{name[0]}{panel.axis} {rest}".strip() if name != "paper" else name
        yield {**item, **refs}
