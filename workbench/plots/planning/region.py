"""Who wins where: a map of two parameters, coloured by the kind of plan that is best, with the frontier."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from workbench import profiles
from workbench.cost import Floats
from workbench.planner.aims import TIE
from workbench.planner.problem import Problem
from workbench.planner.quantity import quantity
from workbench.planner.routes import SPLIT
from workbench.planner.survey import BreakEvenMap, Cell
from workbench.plots.axes import Panel
from workbench.plots.planning.look import AIM_TITLES, DARK, Look, Parts, Ruler, heading_of, kinds_of, tinted
from workbench.plots.style import INK, PALETTE, TEMPLATE
from workbench.profiles import LinkProfile

__all__ = ["break_even", "region_parts"]

_COLUMNS = 110  # that a map is drawn with at least: between cells their values are interpolated
_FILL = 0.5  # opacity of a region
_NAMED_SHARE = 0.07  # of the map: a smaller region has its colour in the legend alone
_APART = (0.13, 0.05)  # shares of the axes that names of links keep from each other
_INSIDE = 0.1  # share of the map's width that names keep from its sides
_FAR = 5.0  # logarithm of an advantage that stands for an infinite one
_LAST = 0.9  # share of the map's width behind which no name has room
_LINKS = ("bandwidth", "rtt")
_NOTE = {"showarrow": False, "bgcolor": "rgba(255,255,255,0.72)", "borderpad": 1}
"""What is written on the map stands on a light ground of its own, to be read in every theme."""


def break_even(found: BreakEvenMap, *, links: Mapping[str, LinkProfile] | None = None) -> go.Figure:
    """A map of who wins, with the line on which splitting begins to pay.

    Every cell was planned; between cells the values of each kind of plan are interpolated. A star is the
    problem's own point. Over round trip and bandwidth, small points are other links: each with its own round
    trip and uplink, all else as in the problem.

    Args:
        found: of ``planner.break_even``.
        links: by name, to show; None shows those that are shipped.
    """
    panel = Panel("", (0.0, 1.0), (0.0, 1.0), "")
    parts = region_parts(found, found.problem, panel, links)
    title = f"Who wins: {AIM_TITLES[found.aim.name]}<br><sup>{heading_of(found.problem)}</sup>"
    parts["layout"] |= {
        "template": TEMPLATE,
        "height": 520,
        "title": {"text": title},
        "margin": {"t": 92, "l": 72},
    }
    parts["layout"]["legend"] = {"orientation": "h", "x": 0, "y": -0.14, "yanchor": "top"}
    return go.Figure(parts)


def region_parts(
    found: BreakEvenMap | None,
    problem: Problem,
    panel: Panel,
    links: Mapping[str, LinkProfile] | None = None,
    *,
    at: Mapping[str, float] | None = None,
) -> Parts:
    """The map as plain dicts: always the same traces for the same places.

    Args:
        found: None where nothing is known yet.
        problem: whose point the star is.
        at: where the star is along some parameters instead, by name.
    """
    looks = kinds_of(problem)
    drawn = None if found is None else _Map(found, list(looks))
    star = _here(drawn, problem, at or {})
    data = [_regions(drawn, looks), *_frontier(drawn), _cells(drawn), _others(drawn, links), star]
    data += [_entry(look, drawn, i) for i, look in enumerate(looks.values())]
    axes: tuple[dict[str, object], dict[str, object]] = ({}, {})
    notes: list[dict[str, object]] = []
    if drawn is not None:
        axes = ({**drawn.x.axis(), "showgrid": False}, {**drawn.y.axis(), "showgrid": False})
        said = [*_link_names(drawn, links, star), *_names(drawn, links)]
        notes = [{**_NOTE, **note, "xref": f"x{panel.axis}", "yref": f"y{panel.axis}"} for note in said]
    layout = {**panel.layout(*axes), "annotations": notes}
    return {"data": [{**trace, **panel.refs} for trace in data], "layout": layout}


class _Map:
    """The map drawn finer: costs of each kind, interpolated by their logarithms, [kinds, Y, X]."""

    def __init__(self, found: BreakEvenMap, kinds: Sequence[str]) -> None:
        self.found, self.kinds = found, kinds
        self.x, self.y = Ruler(found.x_parameter, found.x), Ruler(found.y_parameter, found.y)
        self.times = _times_finer(len(found.x))
        self.fine_x, self.fine_y = _finer(self.x.places, self.times), _finer(self.y.places, self.times)
        costs = np.stack([self._fine(kind) for kind in kinds])
        self.split, self.unsplit = costs[0], costs[1:].min(axis=0)
        self.margin = self._margin()
        other = 1 + costs[1:].argmin(axis=0)
        self.codes = np.where(self.margin > 0, 0, other).astype(float)
        self.codes[np.isinf(costs).all(axis=0)] = np.nan

    def _fine(self, kind: str) -> Floats:
        """Logarithms, smaller is better; infinite where this kind keeps no limit."""
        sign = self.found.aim.sign
        rows = [[cell.values.get(kind, np.nan) for cell in row] for row in self.found.cells]
        logs = sign * np.log(np.maximum(np.array(rows, dtype=float), 1e-12))
        smooth = _stretched(_stretched(logs, self.times, axis=1), self.times, axis=0)
        nearest = logs.repeat(self.times, axis=0).repeat(self.times, axis=1)
        found = np.where(np.isnan(smooth), nearest, smooth)
        return np.where(np.isnan(found), np.inf, found)

    def points(self) -> Iterator[tuple[float, float, Cell]]:
        """What was planned, with where."""
        for y, row in zip(self.found.y, self.found.cells, strict=True):
            for x, cell in zip(self.found.x, row, strict=True):
                yield x, y, cell

    def _margin(self) -> Floats:
        """By how much a split is better than it has to be, as a logarithm; NaN where nothing may be."""
        with np.errstate(invalid="ignore"):
            gain = self.unsplit - self.split
        return np.clip(gain - np.log(TIE), -_FAR, _FAR)


def _times_finer(columns: int) -> int:
    """An odd number, so that every cell has a middle."""
    return max(3, math.ceil(_COLUMNS / columns) | 1)


def _finer(places: Sequence[float], times: int) -> Floats:
    """The middles of cells that are finer, evenly within each cell."""
    at = (np.arange(len(places) * times) + 0.5) / times - 0.5  # in cells
    known = np.arange(len(places))
    inner = np.interp(at, known, places)
    if len(places) == 1:
        return np.asarray(inner + at)
    below, above = places[1] - places[0], places[-1] - places[-2]
    return np.where(
        at < 0, places[0] + at * below, np.where(at > known[-1], places[-1] + (at - known[-1]) * above, inner)
    )


def _stretched(values: Floats, times: int, axis: int) -> Floats:
    """Linear between cells; the outer half of an outer cell is as its middle."""
    n = values.shape[axis]
    at = (np.arange(n * times) + 0.5) / times - 0.5
    return np.apply_along_axis(lambda row: np.interp(at, np.arange(n), row), axis, values)


def _regions(drawn: _Map | None, looks: Mapping[str, Look]) -> Parts:
    """Colours without any hover, which the cells have."""
    n = len(looks)
    steps = [tinted(look.colour, _FILL) for look in looks.values()]
    scale = [[at / n, colour] for i, colour in enumerate(steps) for at in (i, i + 1)]
    trace: Parts = {"type": "heatmap", "name": "regions", "x": [], "y": [], "z": []}
    if drawn is not None:
        codes = [[None if np.isnan(code) else int(code) for code in row] for row in drawn.codes]
        trace |= {"x": drawn.fine_x.tolist(), "y": drawn.fine_y.tolist(), "z": codes}
    look = {"colorscale": scale, "zmin": -0.5, "zmax": n - 0.5, "showscale": False, "hoverinfo": "skip"}
    return {**trace, **look}


def _frontier(drawn: _Map | None) -> Iterator[Parts]:
    """On a light rim: seen on every ground."""
    points: list[tuple[float | None, float | None]] = []
    for (x0, y0), (x1, y1) in [] if drawn is None else _level(drawn.margin, drawn.fine_x, drawn.fine_y):
        points += [(x0, y0), (x1, y1), (None, None)]
    for name, colour, width in (("rim", "#ffffff", 5), ("break-even", INK, 2.2)):
        yield {
            "type": "scatter",
            "name": name,
            "mode": "lines",
            "x": [x for x, _ in points],
            "y": [y for _, y in points],
            "line": {"color": colour, "width": width},
            "showlegend": name != "rim" and bool(points),
            "hoverinfo": "skip",
        }


_Point = tuple[float, float]


def _level(values: Floats, x: Floats, y: Floats) -> Iterator[tuple[_Point, _Point]]:
    """Pieces of the line on which the values are 0, by marching squares."""
    above = values > 0
    mixed = above[:-1, :-1] + 0 + above[1:, :-1] + above[:-1, 1:] + above[1:, 1:]
    known = ~np.isnan(values[:-1, :-1] + values[1:, :-1] + values[:-1, 1:] + values[1:, 1:])
    for i, j in np.argwhere((mixed > 0) & (mixed < 4) & known):
        corners = [(i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j)]
        sides = zip(corners, corners[1:] + corners[:1], strict=True)
        crossed = [_crossing(values, x, y, a, b) for a, b in sides if above[a] != above[b]]
        yield from zip(crossed[::2], crossed[1::2], strict=True)


def _crossing(values: Floats, x: Floats, y: Floats, a: tuple[int, int], b: tuple[int, int]) -> _Point:
    share = values[a] / (values[a] - values[b])
    return (
        float(x[a[1]] + share * (x[b[1]] - x[a[1]])),
        float(y[a[0]] + share * (y[b[0]] - y[a[0]])),
    )


def _cells(drawn: _Map | None) -> Parts:
    """What was planned, cell by cell, under the mouse. Each carries its two values."""
    trace: Parts = {"type": "scatter", "name": "cells", "mode": "markers", "x": [], "y": [], "customdata": []}
    trace |= {"hovertext": [], "hoverinfo": "text", "showlegend": False}
    trace["marker"] = {"size": 16, "symbol": "square", "opacity": 0}
    if drawn is None:
        return trace
    for x, y, cell in drawn.points():
        trace["x"].append(drawn.x.place(x))
        trace["y"].append(drawn.y.place(y))
        trace["customdata"].append([x, y])
        trace["hovertext"].append(_told(drawn, x, y, cell))
    return trace


def _told(drawn: _Map, x: float, y: float, cell: Cell) -> str:
    """A line for each kind; with few tags, because a map has hundreds of these."""
    won = f"{cell.winner(drawn.found.aim)} wins" if cell.values else "nothing keeps the limits"
    lines = [f"{drawn.y.text(y)}, {drawn.x.text(x)}: {won} (modelled)"]
    for kind in (k for k in drawn.kinds if k in cell.values):
        value = quantity(cell.values[kind], drawn.found.aim.unit)
        lines.append(f"{kind}: {value}" + (f", {cell.titles[kind]}" if kind == SPLIT else ""))
    return "<br>".join(lines)


def _others(drawn: _Map | None, links: Mapping[str, LinkProfile] | None) -> Parts:
    """Other links, where the map is about links. Each carries its name."""
    inside = (
        [] if drawn is None else list(_inside(drawn, profiles.link_profiles() if links is None else links))
    )
    return {
        "type": "scatter",
        "name": "other links",
        "mode": "markers",
        "x": [x for _, _, x, _ in inside],
        "y": [y for _, _, _, y in inside],
        "customdata": [name for name, _, _, _ in inside],
        "marker": {"size": 7, "color": "#ffffff", "line": {"width": 1.5, "color": DARK}},
        "hovertext": [f"{link.title}<br>by its round trip and uplink alone" for _, link, _, _ in inside],
        "hoverinfo": "text",
        "showlegend": False,
    }


_Inside = tuple[str, LinkProfile, float, float]


def _inside(drawn: _Map, links: Mapping[str, LinkProfile]) -> Iterator[_Inside]:
    names = (drawn.found.x_parameter.name, drawn.found.y_parameter.name)
    if set(names) != set(_LINKS):
        return
    for name, link in links.items():
        values = {"rtt": link.rtt_s, "bandwidth": link.uplink_bps}
        x, y = (values[each] for each in names)
        if drawn.x.shows(x) and drawn.y.shows(y):
            yield name, link, drawn.x.place(x), drawn.y.place(y)


def _link_names(
    drawn: _Map, links: Mapping[str, LinkProfile] | None, star: Parts
) -> Iterator[dict[str, object]]:
    """Beside each link, but of those that would be written over others or over the star."""
    (left, right), (low, high) = sorted(drawn.x.edges), sorted(drawn.y.edges)
    taken = [
        ((x - left) / (right - left), (y - low) / (high - low))
        for x, y in zip(star["x"], star["y"], strict=True)
    ]
    for name, _, x, y in _inside(drawn, profiles.link_profiles() if links is None else links):
        at = (x - left) / (right - left), (y - low) / (high - low)
        if at[0] < _LAST and all(abs(at[0] - a) > _APART[0] or abs(at[1] - b) > _APART[1] for a, b in taken):
            yield {
                "text": name,
                "x": x,
                "y": y,
                "xanchor": "left",
                "xshift": 7,
                "font": {"size": 11, "color": DARK},
            }
        taken.append(at)


def _here(drawn: _Map | None, problem: Problem, at: Mapping[str, float]) -> Parts:
    """The problem's own point, where the map shows it."""
    found = []
    if drawn is not None:
        knobs = (drawn.found.x_parameter, drawn.found.y_parameter)
        x, y = (at.get(knob.name, knob.get(problem)) for knob in knobs)
        if drawn.x.shows(x) and drawn.y.shows(y):
            found = [(drawn.x.place(x), drawn.y.place(y), _here_text(drawn, problem, x, y))]
    return {
        "type": "scatter",
        "name": "here",
        "mode": "markers",
        "x": [x for x, _, _ in found],
        "y": [y for _, y, _ in found],
        "marker": {
            "symbol": "star",
            "size": 17,
            "color": PALETTE["vermilion"],
            "line": {"width": 1.5, "color": "#ffffff"},
        },
        "hovertext": [text for _, _, text in found],
        "hoverinfo": "text",
        "showlegend": bool(found),
    }


def _here_text(drawn: _Map, problem: Problem, x: float, y: float) -> str:
    return f"here: {drawn.y.text(y)}, {drawn.x.text(x)}<br>{problem.links[0].title}"


def _entry(look: Look, drawn: _Map | None, code: int) -> Parts:
    """A kind's entry in the legend, where it wins anywhere."""
    return {
        "type": "scatter",
        "name": f"{look.name} wins",
        "mode": "markers",
        "x": [None],
        "y": [None],
        "marker": {"symbol": "square", "size": 12, "color": tinted(look.colour, 0.7)},
        "hoverinfo": "skip",
        "showlegend": drawn is not None and bool((drawn.codes == code).any()),
    }


def _names(drawn: _Map, links: Mapping[str, LinkProfile] | None) -> Iterator[dict[str, object]]:
    """A name in the middle of each region that is large enough, apart from names of links."""
    taken = _taken(drawn, links)
    codes = drawn.codes[::2, ::2]  # fine enough to find a middle
    for code, kind in [*enumerate(drawn.kinds), (np.nan, "nothing keeps the limits")]:
        own = np.isnan(codes) if np.isnan(code) else codes == code
        if own.mean() > _NAMED_SHARE:
            i, j = _middle(own, taken)
            text = kind if np.isnan(code) else f"<b>{kind}</b>"
            yield {
                "text": text,
                "x": _kept_inside(float(drawn.fine_x[2 * j]), drawn.x),
                "y": float(drawn.fine_y[2 * i]),
                "font": {"size": 13, "color": DARK},
            }


def _kept_inside(x: float, ruler: Ruler) -> float:
    low, high = sorted(ruler.edges)
    room = _INSIDE * (high - low)
    return min(high - room, max(low + room, x))


def _taken(drawn: _Map, links: Mapping[str, LinkProfile] | None) -> NDArray[np.int64]:
    """Where links and their names stand, as every other row and column of the fine map."""
    x, y = drawn.fine_x[::2], drawn.fine_y[::2]
    inside = _inside(drawn, profiles.link_profiles() if links is None else links)
    found = [(np.abs(y - b).argmin(), np.abs(x - a).argmin()) for _, _, a, b in inside]
    behind = [(i, j + round(_APART[0] * len(x) / 2)) for i, j in found]
    return np.array([*found, *behind], dtype=np.int64).reshape(-1, 2)


def _middle(own: NDArray[np.bool_], taken: NDArray[np.int64]) -> tuple[int, int]:
    """The place of a region that is farthest from everything else, the map's edges included."""
    wide = np.pad(own, 1)
    away = np.concatenate([np.argwhere(~wide), taken + 1])
    inside = np.argwhere(wide)
    far = np.array([np.min(np.sum((away - at) ** 2, axis=1)) for at in inside])
    i, j = inside[int(far.argmax())] - 1
    return int(i), int(j)
