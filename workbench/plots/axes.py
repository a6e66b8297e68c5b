"""Axes that several figures share: panels of a figure, and logarithmic scales with readable ticks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Panel", "axis_refs", "log_axis"]


@dataclass(frozen=True)
class Panel:
    """A pair of axes: which, where, and what they are called."""

    axis: str  # plotly's suffix: "" is x and y, "2" is x2 and y2
    x: tuple[float, float]
    y: tuple[float, float]
    title: str

    @property
    def refs(self) -> dict[str, str]:
        """Which axes a trace or shape belongs to."""
        return axis_refs(self.axis)

    def layout(self, x: Mapping[str, object], y: Mapping[str, object]) -> dict[str, object]:
        """Both axes for the layout."""
        return {
            f"xaxis{self.axis}": {"domain": self.x, "anchor": f"y{self.axis}", "automargin": False, **x},
            f"yaxis{self.axis}": {"domain": self.y, "anchor": f"x{self.axis}", **y},
        }

    def heading(self, unit: str = "") -> dict[str, object]:
        """The title with the unit as an annotation over the panel."""
        return {
            "text": f"<b>{self.title}</b>" + (f" ({unit})" if unit else ""),
            "showarrow": False,
            "xref": "paper",
            "yref": "paper",
            "x": self.x[0],
            "xanchor": "left",
            "y": self.y[1],
            "yanchor": "bottom",
            "font": {"size": 13},
        }


def axis_refs(axis: str) -> dict[str, str]:
    return {"xaxis": f"x{axis}", "yaxis": f"y{axis}"}


def log_axis(values: Sequence[float]) -> dict[str, Any]:
    """A range of half a decade at least, with ticks at 1, 2 and 5."""
    low, high = (min(values), max(values)) if values else (10.0, 100.0)
    middle, half = math.log10(low * high) / 2, max(0.28, 0.56 * math.log10(high / low) + 0.08)
    decades = range(math.floor(middle - half), math.ceil(middle + half) + 1)
    ticks = [m * 10.0**d for d in decades for m in ((1, 2, 5) if half < 1.3 else (1,))]
    inside = [t for t in ticks if middle - half <= math.log10(t) <= middle + half]
    return {
        "range": [middle - half, middle + half],
        "tickvals": inside,
        "ticktext": [f"{t:g}" for t in inside],
    }
