"""Axes that figures of links share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

__all__ = ["axis_refs", "log_axis"]


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
