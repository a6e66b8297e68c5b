"""Plotly's words for looks in matplotlib's: texts, colours, dashes, symbols, hatches, scales of colour."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.patheffects import withStroke

from workbench.plots.style import INK, SEQUENTIAL

__all__ = [
    "DPI",
    "GRID",
    "HALO",
    "PT",
    "STROKES",
    "TEXT",
    "Colour",
    "Marker",
    "Numbers",
    "Shade",
    "dash",
    "each",
    "hatch_of",
    "ink",
    "is_numeric",
    "marker_of",
    "numbers",
    "plain",
    "rgba",
    "setting",
    "some",
    "text_pt",
]

Numbers = npt.NDArray[np.float64]
Colour = tuple[float, float, float, float]

DPI = 100
PT = 72 / DPI  # points in one of plotly's pixels
TEXT = "#333333"
GRID = "#dddddd"
HALO = (withStroke(linewidth=2.0, foreground="white"),)  # texts read over lines and hatches
_TEXT_PT = (8.5, 10.0)  # the smallest and the largest text but the title

_DASHES = {
    "dash": (0, (4, 2.5)),
    "dot": (0, (1, 1.8)),
    "dashdot": (0, (4, 2, 1, 2)),
    "longdash": (0, (7, 3)),
    "longdashdot": (0, (7, 3, 1, 3)),
}
# Matplotlib's marker, and how much larger it has to be to look as large.
_SYMBOLS = {
    "circle": ("o", 1.0),
    "square": ("s", 1.0),
    "diamond": ("D", 0.95),
    "cross": ("P", 1.1),
    "x": ("X", 1.1),
    "triangle-up": ("^", 1.1),
    "triangle-down": ("v", 1.1),
    "triangle-left": ("<", 1.1),
    "triangle-right": (">", 1.1),
    "pentagon": ("p", 1.1),
    "hexagon": ("h", 1.1),
    "octagon": ("8", 1.0),
    "star": ("*", 1.5),
    "line-ew": ("_", 1.4),
    "line-ns": ("|", 1.4),
    "cross-thin": ("+", 1.4),
    "x-thin": ("x", 1.0),
}
STROKES = "_|+x"  # matplotlib's markers that have no face
_HATCHES = {"/": "///", "\\": "\\\\\\", "x": "xxx", ".": "..", "-": "---", "|": "|||", "+": "++"}
_RGB = re.compile(r"rgba?\(([^)]+)\)")


def setting(layout: Any, name: str) -> Any:
    """A property of the layout, else what its template says."""
    return layout[name] if layout[name] is not None else layout.template.layout[name]


def plain(text: object) -> str:
    """The text without its tags, on as many lines; a dollar begins no formula."""
    lines = re.sub(r"<br\s*/?>", "\n", str(text))
    return html.unescape(re.sub(r"</?[a-zA-Z][^>]*>", "", lines)).replace("$", r"\$")


def numbers(values: Iterable[Any] | None) -> Numbers:
    """As floats, None as not a number."""
    return np.array([np.nan if v is None else float(v) for v in ([] if values is None else values)])


def each(value: Any, n: int, default: Any = None) -> list[Any]:
    """One value per point, where plotly takes one for all or a list, which may be too short."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [default if value is None else value] * n
    listed = [default if v is None else v for v in value][:n]
    return listed + [default] * (n - len(listed))


def some(value: float | None, default: float) -> float:
    """The value, else the default: zero is a value."""
    return default if value is None else float(value)


def is_numeric(value: Any) -> bool:
    """Whether colours are given as numbers to be looked up in a scale."""
    values = [value] if isinstance(value, str) or not isinstance(value, Iterable) else value
    return any(isinstance(v, int | float | np.number) for v in values)


def rgba(colour: str, opacity: float | None = None) -> Colour:
    """CSS's hex, rgb(), rgba() or name, as matplotlib's; its own opacity times the one given."""
    found = _RGB.fullmatch(colour.strip())
    parts = [float(p) for p in found.group(1).split(",")] if found else []
    red, green, blue, alpha = (
        (*(p / 255 for p in parts[:3]), parts[3] if len(parts) > 3 else 1.0)
        if parts
        else to_rgba("none" if colour == "transparent" else colour)
    )
    return red, green, blue, alpha * (1.0 if opacity is None else opacity)


def ink(colour: str | None) -> Colour:
    """A text's colour; the grey that reads on any ground gives way to the one that reads best on white."""
    return rgba(TEXT if colour in (None, INK) else str(colour))


def text_pt(size_px: float | None) -> float:
    """A text's size, kept to what reads beside the others."""
    return float(np.clip((size_px or 12.5) * PT, *_TEXT_PT))


def dash(style: str | None) -> Any:
    """Matplotlib's line style."""
    return _DASHES.get(style or "solid", "solid")


@dataclass(frozen=True)
class Marker:
    """A marker's shape."""

    symbol: str  # matplotlib's
    factor: float  # times plotly's size
    is_open: bool
    is_stroke: bool  # has no face

    @property
    def faceless(self) -> bool:
        """Whether the marker's colour is that of its line."""
        return self.is_open or self.is_stroke


def marker_of(symbol: object) -> Marker:
    """The marker for one of plotly's symbols; a circle for what matplotlib has not."""
    name = str(symbol or "circle").removesuffix("-dot")
    known, factor = _SYMBOLS.get(name.removesuffix("-open"), _SYMBOLS["circle"])
    return Marker(known, factor, name.endswith("-open"), known in STROKES)


def hatch_of(shape: object) -> str:
    """Matplotlib's hatch for plotly's pattern; each stroke more makes it denser."""
    return _HATCHES.get(str(shape or ""), "")


@dataclass(frozen=True)
class Shade:
    """A scale of colours for numbers, and plotly's settings of the bar that explains it."""

    mappable: ScalarMappable
    bar: Any = None  # None where no bar is shown

    @classmethod
    def of(cls, spec: Any, values: Iterable[Any], layout: Any, shown: bool) -> Shade:
        """From a coloraxis, a marker or a line; the values' own range where it gives none."""
        known = numbers(values)
        known = known[np.isfinite(known)]
        low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
        norm = Normalize(some(spec.cmin, low), some(spec.cmax, high))
        scale: Any = spec.colorscale or layout.template.layout.colorscale.sequential or SEQUENTIAL
        stops = [(float(at), rgba(colour)) for at, colour in scale]
        shades = LinearSegmentedColormap.from_list("", stops)
        shades = shades.reversed() if spec.reversescale else shades
        return cls(ScalarMappable(norm, shades.with_extremes(bad=GRID)), spec.colorbar if shown else None)

    def colours(self, values: Iterable[Any]) -> list[Colour]:
        """One per number."""
        return [tuple(row) for row in self.mappable.to_rgba(numbers(values))]
