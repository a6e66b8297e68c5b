"""Plotly's scatter traces: lines and steps, points, errors and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from workbench.plots.stills.axes import Axis, Panel
from workbench.plots.stills.layer import Z_LINES, Z_POINTS, Layer, draw_errors, faded, slots, spacing, write
from workbench.plots.stills.style import (
    PT,
    STROKES,
    Colour,
    Marker,
    Numbers,
    dash,
    each,
    ink,
    marker_of,
    plain,
    rgba,
    setting,
    some,
    text_pt,
)

__all__ = ["draw_points", "look_of_line", "looks_of_points", "mode_of"]


def draw_points(panel: Panel, layers: Sequence[Layer], layout: Any) -> None:
    """Lines, then errors, then points, then texts; side by side where the layout groups them."""
    places = [_grid(panel.x, panel.y, layer) for layer in layers]
    turns = slots(layers)
    gap = some(layout.scattergap, some(setting(layout, "bargap"), 0.2))
    full = spacing(panel, [x for x, _ in places]) * (1 - gap) if layout.scattermode == "group" else 0.0
    size = full / (max(turns, default=0) + 1)
    for layer, turn, (x, y) in zip(layers, turns, places, strict=True):
        _draw_points(panel.axes, layer, x - full / 2 + (turn + 0.5) * size, y)


def _grid(across: Axis, up: Axis, layer: Layer) -> tuple[Numbers, Numbers]:
    trace = layer.trace
    y = up.numbers(trace.y)
    x = np.arange(float(y.size)) if trace.x is None else across.numbers(trace.x)
    y = np.arange(float(x.size)) if trace.y is None else y
    n = min(x.size, y.size)
    return x[:n], y[:n]


def mode_of(trace: Any) -> str:
    """Plotly's own choice where the trace makes none: points on a line while they are few."""
    few = len(trace.x if trace.x is not None else () if trace.y is None else trace.y) < 20
    return str(trace.mode or ("lines+markers" if few else "lines"))


def _draw_points(axes: Axes, layer: Layer, x: Numbers, y: Numbers) -> None:
    mode = mode_of(layer.trace)
    if "lines" in mode:
        _draw_line(axes, layer, x, y)
    draw_errors(axes, layer, x, y)
    if "markers" in mode:
        _draw_markers(axes, layer, x, y)
    if "text" in mode and layer.trace.text is not None:
        _write_at_points(axes, layer, x, y)


def _draw_line(axes: Axes, layer: Layer, x: Numbers, y: Numbers) -> None:
    line = layer.trace.line
    steps = {"hv": "steps-post", "vh": "steps-pre", "hvh": "steps-mid"}
    axes.plot(x, y, drawstyle=steps.get(line.shape, "default"), zorder=Z_LINES, **look_of_line(layer))


def look_of_line(layer: Layer) -> dict[str, Any]:
    """Colour, width and dashes, for the line and for its entry in the legend."""
    line = layer.trace.line
    return {
        "color": rgba(line.color or layer.colour, layer.trace.opacity),
        "linewidth": some(line.width, 2.0) * PT,
        "linestyle": dash(line.dash),
    }


def _draw_markers(axes: Axes, layer: Layer, x: Numbers, y: Numbers) -> None:
    """Shape by shape, because matplotlib takes one at a time."""
    looks = looks_of_points(layer, x.size)
    drawn = np.isfinite(x) & np.isfinite(y)
    for symbol in dict.fromkeys(look.shape.symbol for look in looks):
        own = [i for i, look in enumerate(looks) if look.shape.symbol == symbol and drawn[i]]
        axes.scatter(
            x[own],
            y[own],
            s=[looks[i].size_pt ** 2 for i in own],
            marker=symbol,
            facecolors=[looks[i].face for i in own],
            edgecolors=None if symbol in STROKES else [looks[i].edge for i in own],
            linewidths=[looks[i].edge_pt for i in own],
            zorder=Z_POINTS,
            clip_on=layer.trace.cliponaxis is not False,
        )


class PointLook(NamedTuple):
    """How one point looks."""

    shape: Marker
    size_pt: float
    face: Colour
    edge: Colour
    edge_pt: float


def looks_of_points(layer: Layer, n: int) -> list[PointLook]:
    """Of the first n points of a trace."""
    trace, marker = layer.trace, layer.trace.marker
    given = zip(
        [marker_of(s) for s in each(marker.symbol, n, "circle")],
        each(marker.size, n, 6.0),
        layer.colours(trace.line.color if marker.color is None else marker.color, n),
        each(marker.opacity, n, 1.0),
        each(marker.line.color, n),
        each(marker.line.width, n),
        strict=True,
    )
    return [_look(*one, whole=some(trace.opacity, 1.0)) for one in given]


def _look(
    shape: Marker, size: float, colour: Any, opacity: float, edge: Any, width: float | None, *, whole: float
) -> PointLook:
    """A stroke has but a face; an open shape has its colour along the edge."""
    own = faded(colour, opacity * whole)
    rim = faded(edge, opacity * whole) if edge else own
    edge_pt = some(width, 1.2 if shape.faceless else 0.0) * PT
    if shape.is_stroke:
        face, rim = (own, own) if shape.is_open else (rim, rim)
    elif shape.is_open:
        face, rim = rgba("transparent"), own
    else:
        face = own
    return PointLook(shape, size * shape.factor * PT, face, rim, edge_pt)


def _write_at_points(axes: Axes, layer: Layer, x: Numbers, y: Numbers) -> None:
    trace, n = layer.trace, x.size
    sizes = each(trace.marker.size, n, 6.0) if "markers" in mode_of(trace) else [0.0] * n
    for i, text in enumerate(each(trace.text, n, "")):
        up, _, across = (each(trace.textposition, n, "middle center")[i]).partition(" ")
        side = {"left": -1, "right": 1}.get(across, 0), {"top": 1, "bottom": -1}.get(up, 0)
        away = sizes[i] / 2 * PT + 2
        look = {"color": ink(trace.textfont.color), "size": text_pt(trace.textfont.size)}
        if np.isfinite(x[i]) and np.isfinite(y[i]):
            write(axes, plain(text), (x[i], y[i]), side, away=away, **look)
