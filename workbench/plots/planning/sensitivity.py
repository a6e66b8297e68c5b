"""How the best plans move as one parameter moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby, pairwise

import numpy as np
import plotly.graph_objects as go

from workbench.planner.problem import Problem
from workbench.planner.quantity import quantity
from workbench.planner.routes import SPLIT
from workbench.planner.survey import Sweep
from workbench.plots.axes import Panel, log_axis
from workbench.plots.planning.look import AIM_TITLES, Look, Parts, Ruler, heading_of, kinds_of, tinted
from workbench.plots.style import INK, PALETTE, TEMPLATE

__all__ = ["sensitivity", "sensitivity_parts"]

_SHADE = 0.16  # opacity of who wins
_CUTS = 2  # split points of a plan that are drawn


def sensitivity(found: Sweep) -> go.Figure:
    """The best of each kind of plan over one parameter, and where the best split cuts.

    The ground has the winner's colour. A vertical line is the problem's own value.

    Args:
        found: of ``planner.sweep``.
    """
    top, below = (
        Panel("", (0.0, 1.0), (0.42, 1.0), ""),
        Panel("2", (0.0, 1.0), (0.0, 0.3), "Best split at block"),
    )
    parts = sensitivity_parts(found, found.problem, top, below)
    title = f"{AIM_TITLES[found.aim.name].capitalize()} over {found.parameter.title.lower()}"
    parts["layout"] |= {
        "template": TEMPLATE,
        "height": 480,
        "title": {"text": f"{title}<br><sup>{heading_of(found.problem)}</sup>"},
        "margin": {"t": 96, "l": 72},
        "legend": {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"},
    }
    parts["layout"]["annotations"] = [below.heading()]
    return go.Figure(parts)


def sensitivity_parts(
    found: Sweep | None, problem: Problem, top: Panel, below: Panel, *, at: float | None = None
) -> Parts:
    """Both panels as plain dicts: always the same traces for the same places.

    Args:
        found: None where nothing is known yet.
        problem: whose value is marked.
        at: the value that is marked instead.
    """
    looks = kinds_of(problem)
    data = [
        *(_line(found, look) | top.refs for look in looks.values()),
        *(_cut(found, i) | below.refs for i in range(_CUTS)),
    ]
    if found is None:
        return {"data": data, "layout": {**top.layout({}, {}), **below.layout({}, {}), "shapes": []}}
    ruler = Ruler(found.parameter, found.values)
    x = {**ruler.axis(), "showgrid": False}
    bare = {**x, "title": {"text": ""}, "showticklabels": False}
    blocks = {
        "range": [-0.04 * problem.model.n_blocks, 1.04 * problem.model.n_blocks],
        "title": {"text": "block"},
    }
    layout = {**top.layout(bare, _aim_axis(found)), **below.layout(x, blocks)}
    value = found.parameter.get(problem) if at is None else at
    shapes = [shape for panel in (top, below) for shape in _shapes(found, ruler, value, panel, looks)]
    return {"data": data, "layout": {**layout, "shapes": shapes}}


def _line(found: Sweep | None, look: Look) -> Parts:
    values = [] if found is None else found.series(look.name).tolist()
    at = [] if found is None else Ruler(found.parameter, found.values).places
    return {
        "type": "scatter",
        "name": look.name,
        "mode": "lines+markers",
        "x": at,
        "y": [None if np.isnan(value) or value <= 0 else value for value in values],
        "line": {"color": look.css, "width": 2.5, "dash": look.dash},
        "marker": {"size": 6, "symbol": look.symbol, "color": look.css},
        "hovertext": [] if found is None else [_told(found, look.name, i) for i in range(len(values))],
        "hoverinfo": "text",
    }


def _told(found: Sweep, kind: str, i: int) -> str:
    cell, ruler = found.cells[i], Ruler(found.parameter, found.values)
    if kind not in cell.values:
        return ""
    value = quantity(cell.values[kind], found.aim.unit)
    return f"{ruler.text(found.values[i])}: {kind} {value} (modelled)<br><i>{cell.titles[kind]}</i>"


def _cut(found: Sweep | None, which: int) -> Parts:
    """Split points as steps; a second one where plans have two."""
    cuts = [] if found is None else [(points or ())[which : which + 1] for points in found.split_points]
    return {
        "type": "scatter",
        "name": f"split point {which + 1}",
        "mode": "lines+markers",
        "x": [] if found is None else Ruler(found.parameter, found.values).places,
        "y": [cut[0] if cut else None for cut in cuts],
        "line": {
            "color": PALETTE["orange"],
            "width": 2.5,
            "shape": "hvh",
            "dash": "dash" if which else "solid",
        },
        "marker": {"size": 5, "color": PALETTE["orange"]},
        "hovertext": [] if found is None else [_told(found, SPLIT, i) for i in range(len(cuts))],
        "hoverinfo": "text",
        "showlegend": False,
    }


def _aim_axis(found: Sweep) -> dict[str, object]:
    values = [value for cell in found.cells for value in cell.values.values() if value > 0]
    axis = log_axis(values)
    ticks = axis["tickvals"]
    texts = [quantity(tick, found.aim.unit) for tick in ticks]
    title = {"text": AIM_TITLES[found.aim.name]}
    return {"type": "log", "range": axis["range"], "tickvals": ticks, "ticktext": texts, "title": title}


def _shapes(
    found: Sweep, ruler: Ruler, value: float, panel: Panel, looks: Mapping[str, Look]
) -> Iterator[dict[str, object]]:
    """The ground in the winner's colour, and a line at the problem's own value."""
    refs = {"xref": f"x{panel.axis}", "yref": f"y{panel.axis} domain", "y0": 0, "y1": 1}
    borders = _borders(ruler)
    for winner, run in groupby(range(len(found.values)), key=lambda i: found.winners[i]):
        cells = list(run)
        if winner:
            fill = tinted(looks[winner].colour, _SHADE)
            ends = {"x0": borders[cells[0]], "x1": borders[cells[-1] + 1]}
            yield {"type": "rect", **refs, **ends, "line": {"width": 0}, "fillcolor": fill, "layer": "below"}
    if ruler.shows(value):
        at = ruler.place(value)
        yield {
            "type": "line",
            **refs,
            "x0": at,
            "x1": at,
            "line": {"width": 1.5, "dash": "dot", "color": INK},
        }


def _borders(ruler: Ruler) -> list[float]:
    """Where one value's part of the axis ends and the next begins."""
    places = ruler.places
    low, high = ruler.edges
    return [low, *((a + b) / 2 for a, b in pairwise(places)), high]
