"""Quality over cost: a hybrid as its threshold moves, between what it has to beat and what it cannot pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from workbench.errors import UnknownNameError
from workbench.plots.axes import Panel
from workbench.plots.planning.look import Parts
from workbench.plots.style import INK, PALETTE, TEMPLATE, Scale
from workbench.routing.outlook import Expected

__all__ = ["COSTS", "CURVES", "Cost", "quality_cost", "quality_cost_parts"]

_WHOLE = Panel("", (0.0, 1.0), (0.0, 1.0), "Quality over cost")
_ROOM = 0.08  # of the range, around the points
_LEAST_SPAN, _MOST = 4.0, 100.5  # per cent of quality that an axis shows at least, and where it ends


@dataclass(frozen=True)
class Cost:
    """What the axis across counts."""

    title: str
    unit: str  # s, J, B or %
    of: Callable[[Expected], float]

    def scale(self, largest: float) -> Scale:
        """A unit that keeps numbers readable."""
        if self.unit == "J":
            return Scale(1e-3, "mJ") if largest < 1 else Scale(1.0, "J")
        return Scale(0.01, "%") if self.unit == "%" else Scale.of(self.unit, largest)

    def text(self, value: float) -> str:
        """One value with its unit."""
        return self.scale(value).text(value) if value > 0 or self.unit == "%" else "0"


COSTS = {
    "latency": Cost("mean latency", "s", lambda e: e.latency_s),
    "p95": Cost("latency of the slowest 5 %", "s", lambda e: e.latency_p95_s),
    "energy": Cost("energy of the edge and its radio", "J", lambda e: e.energy_j),
    "bytes": Cost("bytes over the link", "B", lambda e: e.n_bytes),
    "cloud": Cost("requests that use the cloud", "%", lambda e: 1.0 - e.edge_share),
}
"""By name; all of them means per request but for the percentile."""


@dataclass(frozen=True)
class _Look:
    colour: str
    dash: str = "solid"
    symbol: str = ""  # of a point; "" for a line
    width: float = 2.0
    side: str = "middle right"  # of its name


CURVES: Mapping[str, _Look] = {
    "random": _Look("grey", "dot"),
    "oracle": _Look("sky", "dashdot"),
    "cascade": _Look("purple", "dash"),
    "hybrid": _Look("orange", width=3.5),
    "edge-only": _Look("green", symbol="square", side="bottom right"),
    "cloud-only": _Look("blue", symbol="diamond", side="bottom right"),
}
"""What is drawn by each name: lines over a threshold or a share, and single points."""
_TOLD = {
    "random": "random mixture of both",
    "oracle": "oracle: knows who is right",
    "cascade": "cascade: all on the edge first",
    "hybrid": "hybrid: the plan, its threshold moved",
}


def quality_cost(
    curves: Mapping[str, Sequence[Expected]], *, here: Expected | None = None, cost: str = "latency"
) -> go.Figure:
    """Quality over one cost for every way to route.

    Args:
        curves: by the names of ``CURVES``; what is missing is left out.
        here: the threshold that is set, marked on the curve.
        cost: one of ``COSTS``.

    Raises:
        UnknownNameError: no curve or cost is called so.
    """
    parts = quality_cost_parts(curves, here, _WHOLE, cost=cost)
    fig = go.Figure(parts["data"], layout=parts["layout"])
    title = f"Quality over {COSTS[cost].title}"
    return fig.update_layout(
        template=TEMPLATE,
        height=430,
        title={"text": f"{title}<br><sup>{_source(curves)}</sup>"},
        legend={"orientation": "h", "x": 0, "y": -0.2},
    )


def quality_cost_parts(
    curves: Mapping[str, Sequence[Expected]], here: Expected | None, panel: Panel, *, cost: str = "latency"
) -> Parts:
    """The same as plain dicts, always in the same traces."""
    for name in curves:
        if name not in CURVES:
            raise UnknownNameError("curve", name, CURVES)
    if cost not in COSTS:
        raise UnknownNameError("cost", cost, COSTS)
    axis = COSTS[cost]
    points = [e for rows in curves.values() for e in rows] + ([here] if here else [])
    scale = axis.scale(max((axis.of(e) for e in points), default=1.0))
    drawn = _Drawn(axis, scale, panel)
    data = [drawn.trace(name, curves.get(name, ())) for name in CURVES]
    data.append(drawn.here(here))
    across = {
        "title": {"text": f"{axis.title} ({scale.unit})"},
        "range": _range([drawn.x(e) for e in points], 0.0),
    }
    quality = _range([100 * e.quality for e in points], _LEAST_SPAN)
    up = {"title": {"text": "quality (%)"}, "range": [quality[0], min(quality[1], _MOST)]}
    return {"data": data, "layout": panel.layout(across, up)}


def _source(curves: Mapping[str, Sequence[Expected]]) -> str:
    labels = sorted({e.label for rows in curves.values() for e in rows})
    return f"answers measured, costs {' and '.join(labels) or 'modelled'}, one request at a time"


def _range(values: Sequence[float], least: float) -> list[float]:
    """With room around all that is drawn."""
    if not values:
        return [0.0, 1.0]
    low, high = min(values), max(values)
    span = max(high - low, least, 1e-9 + 0.02 * abs(high))
    middle = (low + high) / 2
    reach = span * (0.5 + _ROOM)
    return [middle - reach, middle + reach]


@dataclass(frozen=True)
class _Drawn:
    """How expectations become places."""

    cost: Cost
    scale: Scale
    panel: Panel

    def x(self, expected: Expected) -> float:
        return self.cost.of(expected) / self.scale.divisor

    def trace(self, name: str, rows: Sequence[Expected]) -> dict[str, Any]:
        look = CURVES[name]
        colour = PALETTE[look.colour]
        found: dict[str, Any] = {
            "type": "scatter",
            "name": _TOLD.get(name, name),
            "x": [self.x(e) for e in rows],
            "y": [100 * e.quality for e in rows],
            "hovertext": [self.told(name, e) for e in rows],
            "hoverinfo": "text",
            "showlegend": bool(rows) and not look.symbol,
            **self.panel.refs,
        }
        if look.symbol:
            marker = {"symbol": look.symbol, "size": 13, "color": colour, "line": {"width": 1, "color": INK}}
            text = {"text": [name] * len(rows), "textposition": look.side, "textfont": {"color": colour}}
            return {**found, "mode": "markers+text", "marker": marker, "cliponaxis": False, **text}
        return {**found, "mode": "lines", "line": {"color": colour, "dash": look.dash, "width": look.width}}

    def here(self, expected: Expected | None) -> dict[str, Any]:
        rows = [] if expected is None else [expected]
        colour = PALETTE["vermilion"]
        return {
            "type": "scatter",
            "name": "here",
            "mode": "markers+text",
            "x": [self.x(e) for e in rows],
            "y": [100 * e.quality for e in rows],
            "text": [f"<b>threshold {e.threshold:.2f}</b>" if e.threshold is not None else "" for e in rows],
            "textposition": "top left",
            "textfont": {"color": colour},
            "marker": {"symbol": "circle-open", "size": 17, "color": colour, "line": {"width": 3}},
            "hovertext": [self.told("the plan now", e) for e in rows],
            "hoverinfo": "text",
            "showlegend": False,
            "cliponaxis": False,
            **self.panel.refs,
        }

    def told(self, name: str, e: Expected) -> str:
        """All numbers of a point."""
        at = "" if e.threshold is None else f", threshold {e.threshold:.2f}"
        cost = f"{self.cost.title} {self.scale.text(self.cost.of(e))}"
        shares = f"{e.edge_share:.0%} answered by the edge alone, {e.escalated:.0%} asked again"
        quality = f"quality {e.quality:.1%} (measured answers)"
        return f"<b>{name}{at}</b><br>{quality}<br>{cost} ({e.label})<br>{shares}"
