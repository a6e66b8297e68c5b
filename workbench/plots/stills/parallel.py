"""Plotly's parallel coordinates: axes from their least to their greatest value, each row a line across."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from workbench.plots.stills.layer import Z_ERRORS, Z_LINES, Layer, faded, write
from workbench.plots.stills.style import TEXT, Numbers, numbers, plain, text_pt

__all__ = ["draw_parallel"]

_LABELS_PX = 34.0  # two lines of them
_LABEL_LETTERS = 11
_TICK_PX = 32.0  # between two ticks at least


def draw_parallel(axes: Axes, layer: Layer, height_px: float) -> None:
    """With room for the texts above, left and right within the axes; they are about so high."""
    shown = [d for d in layer.trace.dimensions if d.visible is not False]
    columns = [numbers(d["values"]) for d in shown]
    ranges = [_reach(d, column) for d, column in zip(shown, columns, strict=True)]
    heights = [(c - low) / (high - low) for c, (low, high) in zip(columns, ranges, strict=True)]
    n = min((c.size for c in columns), default=0)
    rows = [np.column_stack([np.arange(len(shown)), [h[i] for h in heights]]) for i in range(n)]
    colours = [faded(c, 0.75) for c in layer.colours(layer.trace.line.color, n)]
    axes.add_collection(LineCollection(rows, colors=colours, linewidths=1.0, zorder=Z_LINES))
    axes.set(xlim=(-0.35, max(1, len(shown) - 1) + 0.45), ylim=(-0.03, 1.03 + _LABELS_PX / height_px))
    axes.set_axis_off()
    most = max(1, min(6, int(height_px / _TICK_PX))) if n else 0
    for at, (dimension, reach) in enumerate(zip(shown, ranges, strict=True)):
        _draw_dimension(axes, at, dimension, reach, most)


def _reach(dimension: Any, column: Numbers) -> tuple[float, float]:
    known = column[np.isfinite(column)]
    low, high = dimension.range or ((known.min(), known.max()) if known.size else (0.0, 1.0))
    return (float(low), float(high)) if high != low else (float(low) - 0.5, float(low) + 0.5)


def _draw_dimension(axes: Axes, at: int, dimension: Any, reach: tuple[float, float], most: int) -> None:
    low, high = reach
    axes.add_patch(Rectangle((at, 0), 0, 1, linewidth=1.2, edgecolor=TEXT, zorder=Z_ERRORS))
    for value, text in _ticks(dimension, reach, most):
        place = (at, (value - low) / (high - low))
        write(axes, text, place, (1, 0), away=3.0, color=TEXT, size=text_pt(None))
    label = textwrap.fill(plain(dimension.label or ""), _LABEL_LETTERS)
    write(axes, label, (at, 1.03), (0, 1), away=3.0, color=TEXT, size=text_pt(None))


def _ticks(dimension: Any, reach: tuple[float, float], most: int) -> list[tuple[float, str]]:
    if dimension.tickvals is not None:
        texts = dimension.tickvals if dimension.ticktext is None else dimension.ticktext
        ticks = [(float(v), plain(t)) for v, t in zip(dimension.tickvals, texts, strict=False)]
    else:
        places = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(*sorted(reach)) if most else []
        ticks = [(float(v), f"{v:.6g}") for v in places]
    return [(v, t) for v, t in ticks if min(reach) - 1e-9 <= v <= max(reach) + 1e-9]
