"""What figures of plans share: colours of places and kinds, titles, where a parameter's values lie."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.planner.parameters import Parameter
from workbench.planner.problem import Problem
from workbench.plots.style import PALETTE

__all__ = [
    "AIM_TITLES",
    "DARK",
    "Look",
    "Parts",
    "Ruler",
    "allowed_bytes",
    "heading_of",
    "kinds_of",
    "places_of",
    "tinted",
]

Parts = dict[str, Any]
"""``data``, a list of traces, and ``layout``, as plotly's JSON has them."""
DARK = "#333333"  # of what is written or drawn on a light ground of its own

AIM_TITLES = {
    "total": "total time",
    "ttft": "time to the first token",
    "tpot": "time per output token",
    "edge_energy": "energy of the user's device",
    "throughput": "throughput",
    "price": "price per token",
    "bytes": "bytes over the user's link",
    "loss": "loss of accuracy",
}
"""By aim, as an axis says it."""
_LINE = 118  # characters of small print across a figure
_BETWEEN = ("purple", "sky", "yellow")  # places between the user's and the farthest


@dataclass(frozen=True)
class Look:
    """How one kind of plan, or one place, is drawn."""

    name: str
    colour: str  # of the palette
    dash: str = "solid"
    symbol: str = "circle"

    @property
    def css(self) -> str:
        return PALETTE[self.colour]


def places_of(problem: Problem) -> dict[str, Look]:
    """By place: the user's device is green and the farthest blue, as in every figure."""
    places = problem.chain.places
    middle = {place: _BETWEEN[i % len(_BETWEEN)] for i, place in enumerate(places[1:-1])}
    ends = {places[-1]: "blue", places[0]: "green"}
    return {place: Look(place, (middle | ends)[place]) for place in places}


def kinds_of(problem: Problem) -> dict[str, Look]:
    """By kind of plan: splits, then not splitting at each place, told apart by line and symbol too."""
    dashes, symbols = ("dash", "dot", "dashdot", "longdash"), ("square", "diamond", "cross", "triangle-up")
    found = {"split": Look("split", "orange")}
    for i, look in enumerate(places_of(problem).values()):
        name = f"{look.name}-only"
        found[name] = Look(name, look.colour, dashes[i % len(dashes)], symbols[i % len(symbols)])
    return found


def tinted(colour: str, opacity: float) -> str:
    """A colour of the palette that lets the ground through."""
    red, green, blue = (int(PALETTE[colour][i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def heading_of(problem: Problem) -> str:
    """Model, devices and request in small print, with where all numbers come from."""
    request = problem.request
    devices = ", ".join(device.title for device in problem.devices.values())
    tokens = f"{request.prompt_tokens} + {request.new_tokens} tokens"
    batch = f", batch {request.batch}" if request.batch > 1 else ""
    pins = f"; pinned: {', '.join(map(str, problem.pins))}" if problem.pins else ""
    said = f"modelled; {problem.model.name}, {tokens}{batch}; {devices}{pins}"
    return "<br>".join(textwrap.wrap(said, _LINE))


def allowed_bytes(problem: Problem, place: str) -> float:
    """What a plan may hold at a place: its device's memory, or less where a limit says so."""
    return min(problem.devices[place].memory_bytes, problem.limits.memory_bytes.get(place, math.inf))


_UNITS: Mapping[str, tuple[float, str]] = {"s": (1e3, "ms"), "bit/s": (1e-6, "Mbit/s")}
_WIDE = 2.0  # a range of at least this factor is logarithmic


@dataclass(frozen=True)
class Ruler:
    """Where a parameter's values lie along an axis: by their logarithms, where they reach far.

    The axis itself is linear: then shapes, texts and cells all go by the same places.
    """

    parameter: Parameter
    values: tuple[float, ...]

    @property
    def is_log(self) -> bool:
        return min(self.values) > 0 and max(self.values) >= _WIDE * min(self.values)

    @property
    def per(self) -> float:
        """What a value is multiplied with to be shown."""
        return _UNITS.get(self.parameter.unit, (1.0, ""))[0]

    @property
    def unit(self) -> str:
        return _UNITS.get(self.parameter.unit, (1.0, self.parameter.unit))[1]

    @property
    def title(self) -> str:
        return f"{self.parameter.title} ({self.unit})"

    def place(self, value: float) -> float:
        """Where a value lies; below every place where it has none."""
        if not self.is_log:
            return value * self.per
        return math.log10(value * self.per) if value > 0 else -math.inf

    def text(self, value: float) -> str:
        return f"{value * self.per:.3g} {self.unit}"

    @property
    def places(self) -> list[float]:
        return [self.place(value) for value in self.values]

    @property
    def edges(self) -> tuple[float, float]:
        """Half a step beyond both ends, where the outer cells end."""
        places = self.places
        if len(places) == 1:
            return places[0] - 0.5, places[0] + 0.5
        return 1.5 * places[0] - 0.5 * places[1], 1.5 * places[-1] - 0.5 * places[-2]

    def shows(self, value: float) -> bool:
        """Whether a value is within the axis."""
        low, high = sorted(self.edges)
        return low <= self.place(value) <= high

    def axis(self) -> dict[str, object]:
        """Range, ticks and title for a layout."""
        low, high = sorted(self.edges)
        found: dict[str, object] = {"range": [low, high], "title": {"text": self.title}, "tickangle": 0}
        if not self.is_log:
            return found
        decades = range(math.floor(low), math.ceil(high) + 1)
        steps = (1, 2, 5) if high - low < 2 else (1, 3) if high - low < 3.6 else (1,)
        ticks = [math.log10(step) + decade for decade in decades for step in steps]
        inside = [tick for tick in ticks if low <= tick <= high]
        return {
            **found,
            "tickvals": inside,
            "ticktext": [f"{float(f'{10**tick:.3g}'):,g}" for tick in inside],
        }
