"""A still from top to bottom: title, panels with all that is in them, bars of colour, legend, foot."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from itertools import chain
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import IdentityTransform
from PIL import Image  # which matplotlib needs too

from workbench.plots.stills.axes import CARTESIAN, finish, pair_of
from workbench.plots.stills.bars import draw_bars
from workbench.plots.stills.layer import Layer
from workbench.plots.stills.legend import add_legend
from workbench.plots.stills.maps import draw_map
from workbench.plots.stills.notes import SHAPES, draw_notes, draw_shapes
from workbench.plots.stills.parallel import draw_parallel
from workbench.plots.stills.points import draw_points
from workbench.plots.stills.scales import draw_scales
from workbench.plots.stills.sheet import Box, Sheet
from workbench.plots.stills.style import PT, TEXT, Shade, is_numeric, plain, setting, some
from workbench.plots.stills.tidy import tidy

__all__ = ["drawn", "png"]

_EDGE_PX = 12.0
_TITLE_PT, _SUBTITLE_PT = 12.0, 9.0


def drawn(figure: go.Figure, width_px: int, height_px: int) -> Figure:
    """The figure as matplotlib's, laid out and ready to be saved."""
    sheet = Sheet.of(figure, width_px, height_px)
    layers = list(_layers(figure))
    _draw_panels(sheet, layers, figure.layout)
    _draw_parallels(sheet, layers)
    draw_shapes(sheet, figure.layout)
    finish(list(sheet.panels.values()))
    draw_notes(sheet, figure.layout)
    draw_scales(sheet, layers)
    room = _head(sheet, figure.layout.title)
    room = add_legend(sheet, layers, figure.layout, _foot(sheet, _missing(figure), room))
    sheet.fit(room)
    tidy(sheet)
    sheet.fit(room)
    return sheet.page


def png(page: Figure) -> bytes:
    """The page as a PNG of 256 colours, which is a third as large: a notebook holds many."""
    canvas = FigureCanvasAgg(page)
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    few = pixels.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(held := BytesIO(), "png", optimize=True)
    return held.getvalue()


def _layers(figure: go.Figure) -> Iterator[Layer]:
    """The traces that can be drawn."""
    colours = setting(figure.layout, "colorway") or [TEXT]
    shades = _shared_shades(figure)
    for i, trace in enumerate(figure.data):
        if _is_drawn(trace):
            yield Layer(
                trace,
                colours[i % len(colours)],
                _shade_of(trace, figure, shades),
            )


def _shade_of(trace: Any, figure: go.Figure, shared: Mapping[str, Shade]) -> Shade | None:
    """A map has colours of its own for its cells, and none for points."""
    if trace.type == "heatmap":
        return None
    return shared.get(_painted(trace).coloraxis) or _shade(trace, figure)


def _is_drawn(trace: Any) -> bool:
    return trace.visible in (None, True) and trace.type in (*CARTESIAN, "parcoords")


def _painted(trace: Any) -> Any:
    """What of the trace takes its colours from numbers, point by point."""
    return trace.line if trace.type == "parcoords" else trace.marker


def _shared_shades(figure: go.Figure) -> dict[str, Shade]:
    """By coloraxis: its range spans the values of every trace that uses it."""
    values: dict[str, list[Any]] = {}
    for paint in (_painted(t) for t in figure.data if _is_drawn(t) and t.type != "heatmap"):
        if paint.coloraxis and is_numeric(paint.color):
            values.setdefault(paint.coloraxis, []).extend(paint.color)
    specs = {name: figure.layout[name] for name in values}
    return {n: Shade.of(s, values[n], figure.layout, s.showscale is not False) for n, s in specs.items()}


def _shade(trace: Any, figure: go.Figure) -> Shade | None:
    paint = _painted(trace)
    if not is_numeric(paint.color):
        return None
    return Shade.of(paint, paint.color, figure.layout, bool(paint.showscale))


def _draw_panels(sheet: Sheet, layers: Sequence[Layer], layout: Any) -> None:
    for pair, panel in sheet.panels.items():
        own = [la for la in layers if la.trace.type in CARTESIAN and pair_of(la.trace) == pair]
        for layer in (la for la in own if la.trace.type == "heatmap"):
            draw_map(panel, layer.trace)
        draw_bars(panel, [la for la in own if la.trace.type == "bar"], layout)
        draw_points(panel, [la for la in own if la.trace.type == "scatter"], layout)


def _draw_parallels(sheet: Sheet, layers: Sequence[Layer]) -> None:
    for layer in (la for la in layers if la.trace.type == "parcoords"):
        x, y = (layer.trace.domain[letter] or (0.0, 1.0) for letter in "xy")
        frame = sheet.add_frame(Box(x[0], y[0], x[1], y[1]))
        draw_parallel(frame, layer, (y[1] - y[0]) * sheet.plot_px[1])


def _head(sheet: Sheet, title: Any) -> Box:
    """Title and subtitle; gives the room below them."""
    edges = sheet.box
    room = Box(_EDGE_PX, _EDGE_PX, edges.right - _EDGE_PX, edges.top - _EDGE_PX)
    first, _, small = (title.text or "").partition("<sup>")
    size_pt = some(title.font.size, _TITLE_PT / PT) * PT
    for text, size in ((plain(first).strip(), size_pt), (plain(small).strip(), _SUBTITLE_PT)):
        if text:
            top = _line(sheet, _filled(text, size, room), size, (room.left, room.top), "top")
            room = room._replace(top=room.top - top - 4)
    return room._replace(top=room.top - 6) if title.text else room


def _filled(text: str, size: float, room: Box) -> str:
    """On as many lines as the width asks for."""
    letters = max(10, int((room.right - room.left) * PT / (0.56 * size)))
    return "\n".join(chain.from_iterable(textwrap.wrap(line, letters) for line in text.split("\n")))


def _line(sheet: Sheet, text: str, size: float, at: tuple[float, float], va: Any) -> float:
    """Writes at a place in pixels, and gives the height."""
    written = sheet.page.text(
        *at, text, size=size, color=TEXT, ha="left", va=va, transform=IdentityTransform()
    )
    return float(written.get_window_extent(sheet.renderer).height)


def _missing(figure: go.Figure) -> list[str]:
    """What the figure has and a still cannot show."""
    traces = {t.type for t in figure.data if t.type not in (*CARTESIAN, "parcoords")}
    shapes = {f"{s.type} shape" for s in figure.layout.shapes if s.type not in SHAPES}
    return sorted(traces | shapes)


def _foot(sheet: Sheet, missing: Sequence[str], room: Box) -> Box:
    """Names what is missing; gives the room above."""
    if not missing:
        return room
    text = _filled(f"not shown here: {', '.join(missing)}", 8.0, room)
    return room._replace(bottom=room.bottom + 6 + _line(sheet, text, 8.0, (room.left, room.bottom), "bottom"))
