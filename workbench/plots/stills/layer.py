"""A trace with what it takes from its figure; the texts and errors that all kinds of marks have alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from workbench.plots.stills.axes import Panel
from workbench.plots.stills.style import (
    HALO,
    PT,
    TEXT,
    Colour,
    Numbers,
    Shade,
    each,
    is_numeric,
    numbers,
    rgba,
    some,
)

__all__ = [
    "Z_BARS",
    "Z_ERRORS",
    "Z_LINES",
    "Z_POINTS",
    "Layer",
    "draw_errors",
    "faded",
    "slots",
    "spacing",
    "write",
]

Z_BARS, Z_LINES, Z_ERRORS, Z_POINTS, _Z_TEXTS = 2.0, 3.0, 3.2, 3.5, 5.0


@dataclass(frozen=True)
class Layer:
    """A trace with what it takes from its figure."""

    trace: Any
    colour: str  # the turn of the figure's colours that is its own
    shade: Shade | None = None  # where its colours are numbers

    def colours(self, given: Any, n: int) -> list[Any]:
        """One colour per point, as CSS or RGBA."""
        if self.shade is not None and is_numeric(given):
            return list(self.shade.colours(each(given, n)))
        return each(given, n, self.colour)


def faded(colour: Any, opacity: float | None) -> Colour:
    """RGBA, from CSS or from a shade."""
    if isinstance(colour, str):
        return rgba(colour, opacity)
    return (*colour[:3], colour[3] * (1.0 if opacity is None else opacity))


def write(
    axes: Axes, text: str, at: tuple[float, float], side: tuple[int, int], *, away: float, **look: Any
) -> None:
    """A text beside a place: to its left (-1) or right (1), below (-1) or above (1)."""
    axes.annotate(
        text,
        at,
        (away * side[0], away * side[1]),
        textcoords="offset points",
        ha={-1: "right", 0: "center", 1: "left"}[side[0]],
        va={-1: "top", 0: "center", 1: "bottom"}[side[1]],
        zorder=_Z_TEXTS,
        annotation_clip=False,
        path_effects=HALO,
        **look,
    )


def draw_errors(axes: Axes, layer: Layer, x: Numbers, y: Numbers) -> None:
    """Bars of error at each place, along either axis."""
    for letter, values in (("x", x), ("y", y)):
        error = layer.trace[f"error_{letter}"]
        if error.visible is False or (error.array is None and error.value is None):
            continue
        reaches = _reaches(error, values)
        axes.errorbar(
            x,
            y,
            xerr=reaches if letter == "x" else None,
            yerr=reaches if letter == "y" else None,
            fmt="none",
            ecolor=rgba(error.color or _own_colour(layer)),
            elinewidth=some(error.thickness, 2.0) * PT,
            capsize=some(error.width, 4.0) * PT,
            capthick=some(error.thickness, 2.0) * PT,
            zorder=Z_ERRORS,
        )


def _own_colour(layer: Layer) -> str:
    """What plotly gives errors: on bars a dark grey, else the points' or the line's colour."""
    if layer.trace.type == "bar":
        return TEXT
    named = [c for c in (layer.trace.marker.color, layer.trace.line.color) if isinstance(c, str)]
    return named[0] if named else layer.colour


def _reaches(error: Any, values: Numbers) -> Numbers:
    """How far each error reaches to below and above its value."""
    n = values.size
    if error.array is None:
        far = (
            np.abs(values) * error.value / 100 if error.type in (None, "percent") else np.full(n, error.value)
        )
        return np.stack([far, far])
    up = numbers(each(error.array, n))
    down = up if error.arrayminus is None or error.symmetric else numbers(each(error.arrayminus, n))
    return np.nan_to_num(np.stack([down, up]))


def spacing(panel: Panel, places: Sequence[Numbers], *, lies: bool = False) -> float:
    """The least distance between two positions, one between categories."""
    known = np.unique(np.concatenate([np.empty(0), *places]))
    apart = np.diff(known[np.isfinite(known)])
    named = (panel.y if lies else panel.x).categories is not None
    return float(apart.min()) if apart.size and not named else 1.0


def slots(layers: Sequence[Layer]) -> list[int]:
    """Whose place beside the others each trace has: its own, or that of its offset group."""
    groups = [layer.trace.offsetgroup or str(i) for i, layer in enumerate(layers)]
    order = list(dict.fromkeys(groups))
    return [order.index(g) for g in groups]
