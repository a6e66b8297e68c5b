"""Plotly's heat maps: cells coloured by a scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap, Normalize

from workbench.plots.stills.axes import Panel
from workbench.plots.stills.style import Numbers, numbers, rgba

__all__ = ["draw_map"]

_SHADES = 256
_Z_MAP = 0.5


def draw_map(panel: Panel, trace: Any) -> None:
    """Cells around their middles; those without a value stay empty."""
    if trace.z is None or not len(trace.z):
        return
    values = np.array([numbers(row) for row in trace.z])
    shades = ListedColormap([_colour(trace.colorscale, at) for at in (np.arange(_SHADES) + 0.5) / _SHADES])
    panel.axes.pcolormesh(
        _edges(panel.x.numbers(trace.x)),
        _edges(panel.y.numbers(trace.y)),
        np.ma.masked_invalid(values),
        cmap=shades,
        norm=Normalize(trace.zmin, trace.zmax),
        zorder=_Z_MAP,
    )


def _edges(middles: Numbers) -> Numbers:
    """Where cells end, half-way between their middles."""
    if middles.size == 1:
        return np.array([middles[0] - 0.5, middles[0] + 0.5])
    inner = (middles[1:] + middles[:-1]) / 2
    return np.concatenate([[2 * middles[0] - inner[0]], inner, [2 * middles[-1] - inner[-1]]])


def _colour(scale: Any, at: float) -> tuple[float, ...]:
    """Of a share of the scale: between the two stops around it."""
    places, stops = np.array([float(p) for p, _ in scale]), np.array([rgba(colour) for _, colour in scale])
    return tuple(float(np.interp(at, places, stops[:, i])) for i in range(4))
