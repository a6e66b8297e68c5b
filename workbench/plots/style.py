"""One look for all figures: the Okabe–Ito palette, no ground of their own, shapes beside colours.

The palette is that of M. Okabe and K. Ito, "Color Universal Design", 2008: it stays apart under all
common forms of colour blindness. Text is a grey that reads on white and on JupyterLab's dark ground.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from workbench.trace import RequestTrace

__all__ = [
    "INK",
    "PALETTE",
    "PIECES",
    "SEQUENTIAL",
    "TEMPLATE",
    "Piece",
    "Scale",
    "figure",
    "hatch",
    "label_of",
    "pieces_in",
    "wrapped",
]

PALETTE = {
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
    "grey": "#999999",
}
INK = "#787878"  # 4.4 : 1 on white, 4.3 : 1 on #111111
SEQUENTIAL = [[0.0, PALETTE["blue"]], [0.5, PALETTE["green"]], [1.0, PALETTE["orange"]]]
"""Of rising lightness, and apart from white and from black at both ends, which Cividis is not."""
_GRID = "rgba(128,128,128,0.22)"
_CLEAR = "rgba(0,0,0,0)"


def _axis() -> dict[str, object]:
    return {
        "automargin": True,
        "gridcolor": _GRID,
        "linecolor": _GRID,
        "zerolinecolor": _GRID,
        "showline": True,
        "title": {"standoff": 8, "font": {"size": 13}},
    }


TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 13, "color": INK},
        "title": {"font": {"size": 16}, "x": 0, "xref": "paper", "xanchor": "left", "yanchor": "top"},
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _CLEAR,
        "colorway": [PALETTE[c] for c in ("blue", "orange", "green", "vermilion", "purple", "sky", "grey")],
        "colorscale": {"sequential": SEQUENTIAL},
        "xaxis": _axis(),
        "yaxis": _axis(),
        "legend": {"bgcolor": _CLEAR, "orientation": "v", "yanchor": "top", "y": 1, "x": 1.02},
        "hoverlabel": {"font": {"size": 12}},
        "margin": {"l": 64, "r": 24, "t": 72, "b": 52},
        "bargap": 0.25,
    }
)


def hatch(shape: str | list[str]) -> dict[str, object]:
    """White strokes over a bar's own colour, in one of plotly's pattern shapes; "" for none."""
    return {"shape": shape, "fillmode": "overlay", "fgcolor": "#ffffff", "size": 9, "solidity": 0.25}


@dataclass(frozen=True)
class Piece:
    """How one kind of time is drawn, in every figure alike."""

    place: str  # of its spans; "" for any
    kind: str  # of its spans
    title: str
    colour: str
    pattern: str = ""  # plotly's pattern shapes: what tells it apart without colour

    def seconds(self, trace: RequestTrace, phase: str | None) -> float:
        """The time that a trace's phase spends so."""
        sums = trace.seconds_by(phase=phase)
        return sum(v for (place, kind), v in sums.items() if kind == self.kind and self.place in ("", place))

    @property
    def marker(self) -> dict[str, object]:
        """A bar's marker."""
        return {"color": PALETTE[self.colour], "pattern": hatch(self.pattern), "line": {"width": 0}}


PIECES = (
    Piece("", "tokenize", "tokenize", "yellow"),
    Piece("edge", "compute", "edge blocks", "green"),
    Piece("", "encode", "encode", "purple"),
    Piece("", "uplink", "uplink", "orange", "/"),
    Piece("", "decode_wire", "decode from wire", "purple", "x"),
    Piece("cloud", "compute", "cloud blocks", "blue", "."),
    Piece("", "downlink", "downlink", "vermilion", "\\"),
    Piece("", "sample", "sample", "sky"),
    Piece("", "stream", "hand a token on", "sky", "x"),
    Piece("", "wait", "wait", "grey", "-"),
)
"""In the order in which a request meets them."""


def pieces_in(traces: Iterable[RequestTrace]) -> tuple[Piece, ...]:
    """The pieces that take any time in any of the traces."""
    traces = list(traces)
    return tuple(p for p in PIECES if any(p.seconds(t, None) > 0 for t in traces))


@dataclass(frozen=True)
class Scale:
    """A unit that keeps numbers readable: what seconds or bytes are divided by, and its name."""

    divisor: float
    unit: str

    @classmethod
    def seconds(cls, largest: float) -> Scale:
        """s, ms or µs."""
        steps = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
        return next((cls(d, u) for d, u in steps if largest >= d), cls(*steps[-1]))

    @classmethod
    def bytes(cls, largest: float) -> Scale:
        """GB, MB, kB or B, in powers of 1,000."""
        steps = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
        return next((cls(d, u) for d, u in steps if largest >= d), cls(*steps[-1]))

    @classmethod
    def of(cls, unit: str, largest: float) -> Scale:
        """The scale for an objective's unit."""
        if unit == "s":
            return cls.seconds(largest)
        return cls.bytes(largest) if unit == "B" else cls(1.0, unit)

    def text(self, value: float) -> str:
        """The number with its unit, three digits."""
        return f"{value / self.divisor:.3g} {self.unit}"


def label_of(trace: RequestTrace) -> str:
    """Where a trace's times come from, e.g. ``modelled`` or ``measured, wall clock``."""
    return trace.label if trace.clock == "none" else f"{trace.label}, {trace.clock} clock"


def wrapped(title: str) -> str:
    """A tick label on two lines, so that labels stay level."""
    return title.replace("-only", "-<br>only").replace(" ", "<br>", 1)


def figure(title: str, subtitle: str = "", *, height: int = 420) -> go.Figure:
    """An empty figure in the workbench's look. The title says what, the subtitle where it comes from."""
    under = f"<br><sup>{subtitle}</sup>" if subtitle else ""
    return go.Figure(layout={"template": TEMPLATE, "title": {"text": title + under}, "height": height})
