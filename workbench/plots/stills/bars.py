"""Plotly's bars as matplotlib's: grouped, stacked or one over another, with hatches, errors and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from workbench.plots.stills.axes import Panel
from workbench.plots.stills.layer import Z_BARS, Layer, draw_errors, faded, slots, spacing, write
from workbench.plots.stills.style import (
    PT,
    TEXT,
    Colour,
    Numbers,
    each,
    hatch_of,
    ink,
    numbers,
    plain,
    setting,
    some,
    text_pt,
)

__all__ = ["draw_bars", "looks_of_bars"]

_STROKE_PT = 0.9  # of hatches


@dataclass(frozen=True)
class _Bars:
    """A trace's bars as numbers: across is along the axis of positions, up along that of values."""

    layer: Layer
    across: Numbers
    width: Numbers
    foot: Numbers
    length: Numbers

    @property
    def lies(self) -> bool:
        """Whether bars lie instead of standing."""
        return self.layer.trace.orientation == "h"


def draw_bars(panel: Panel, layers: Sequence[Layer], layout: Any) -> None:
    """Grouped, stacked or one over another, as the layout says."""
    given = [_given(panel, layer) for layer in layers]
    mode = layout.barmode or "group"
    turns = slots(layers) if mode == "group" else [0] * len(given)
    gap = some(setting(layout, "bargap"), 0.2)
    full = (1 - gap) * spacing(panel, [g.across for g in given], lies=any(g.lies for g in given))
    size = full / (max(turns, default=0) + 1)
    feet: dict[tuple[float, bool], float] = {}
    for bars, turn in zip(given, turns, strict=True):
        placed = _placed(bars, turn * size - full / 2, size, layout.bargroupgap or 0.0)
        stacks = mode in ("stack", "relative") and bars.layer.trace.base is None
        _draw(panel, _stacked(placed, feet) if stacks else placed)


def _given(panel: Panel, layer: Layer) -> _Bars:
    trace = layer.trace
    at, value = (trace.y, trace.x) if trace.orientation == "h" else (trace.x, trace.y)
    places, values = (panel.y, panel.x) if trace.orientation == "h" else (panel.x, panel.y)
    length = values.numbers(value)
    across = np.arange(float(length.size)) if at is None else places.numbers(at)
    n = min(across.size, length.size)
    return _Bars(
        layer, across[:n], numbers(each(trace.width, n)), numbers(each(trace.base, n, 0.0)), length[:n]
    )


def _placed(bars: _Bars, start: float, size: float, gap: float) -> _Bars:
    """In their slot, as wide as they say or as it is."""
    width = np.where(np.isnan(bars.width), size * (1 - gap), bars.width)
    offset = numbers(each(bars.layer.trace.offset, bars.across.size))
    middle = np.where(np.isnan(offset), start + size / 2, offset + width / 2)
    return _Bars(bars.layer, bars.across + middle, width, bars.foot, bars.length)


def _stacked(bars: _Bars, feet: dict[tuple[float, bool], float]) -> _Bars:
    """On top of those before; what is negative hangs below."""
    foot = np.zeros_like(bars.length)
    for i, (at, length) in enumerate(zip(bars.across, bars.length, strict=True)):
        key = round(float(at), 9), bool(length < 0)
        foot[i] = feet.get(key, 0.0)
        feet[key] = foot[i] + (0.0 if np.isnan(length) else float(length))
    return _Bars(bars.layer, bars.across, bars.width, foot, bars.length)


def _draw(panel: Panel, bars: _Bars) -> None:
    axes, trace = panel.axes, bars.layer.trace
    draw = axes.barh if bars.lies else axes.bar
    patches = draw(bars.across, bars.length, bars.width, bars.foot, zorder=Z_BARS)
    for patch, look in zip(patches, looks_of_bars(bars.layer, bars.across.size), strict=True):
        look.dress(patch)
    tips = bars.foot + bars.length
    draw_errors(axes, bars.layer, *((tips, bars.across) if bars.lies else (bars.across, tips)))
    if trace.text is not None and trace.textposition != "none":
        _write_on_bars(axes, bars, tips)


@dataclass(frozen=True)
class BarLook:
    """How one bar looks."""

    face: Colour
    edge: Colour
    edge_pt: float
    hatch: str
    hatch_colour: Colour

    def dress(self, patch: Patch) -> None:
        """Makes a patch look so."""
        patch.set(facecolor=self.face, edgecolor=self.edge, linewidth=self.edge_pt)
        patch.set(hatch=self.hatch, hatchcolor=self.hatch_colour, hatch_linewidth=_STROKE_PT)


def looks_of_bars(layer: Layer, n: int) -> list[BarLook]:
    """Of the first n bars of a trace."""
    trace, marker = layer.trace, layer.trace.marker
    whole = some(trace.opacity, 1.0)
    opacities = [whole * o for o in each(marker.opacity, n, 1.0)]
    faces = [faded(c, o) for c, o in zip(layer.colours(marker.color, n), opacities, strict=True)]
    edges = [faded(c, o) for c, o in zip(each(marker.line.color, n, TEXT), opacities, strict=True)]
    widths = [w * PT for w in each(marker.line.width, n, 0.0)]
    hatches = [_hatched(marker.pattern, i, n, faces[i]) for i in range(n)]
    return [
        BarLook(ground, edge, width, shape, stroke)
        for (ground, shape, stroke), edge, width in zip(hatches, edges, widths, strict=True)
    ]


def _hatched(pattern: Any, i: int, n: int, face: Colour) -> tuple[Colour, str, Colour]:
    """Ground, hatch and its colour: strokes over the bar's own colour, or in its colour instead of it."""
    shape = hatch_of(each(pattern.shape, n)[i])
    stroke = each(pattern.fgcolor, n)[i]
    if pattern.fillmode == "overlay" or not shape:
        return face, shape, faded(stroke or "white", face[3])
    ground = faded(each(pattern.bgcolor, n, "transparent")[i], face[3])
    return ground, shape, faded(stroke, face[3]) if stroke else face


def _write_on_bars(axes: Axes, bars: _Bars, tips: Numbers) -> None:
    trace, n = bars.layer.trace, tips.size
    texts, places = each(trace.text, n, ""), each(trace.textposition, n, "auto")
    for i in (i for i in range(n) if texts[i] != "" and np.isfinite(tips[i])):
        outside = places[i] == "outside"
        font = trace.outsidetextfont if outside else trace.insidetextfont
        at = tips[i] if outside else bars.foot[i] + bars.length[i] / 2
        sign = (-1 if bars.length[i] < 0 else 1) if outside else 0
        write(
            axes,
            plain(texts[i]),
            (at, bars.across[i]) if bars.lies else (bars.across[i], at),
            (sign, 0) if bars.lies else (0, sign),
            away=4.0,
            color=ink(font.color or trace.textfont.color),
            size=text_pt(trace.textfont.size),
        )
