"""Controls: each with a description, a unit and a way to type the number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

import ipywidgets

from workbench.errors import InputError

__all__ = ["LABEL_WIDTH", "Choice", "NumberRow", "Tick", "button", "group", "heading"]

Changed = Callable[[Any], None]
LABEL_WIDTH = "92px"
_STEPS, _STEPS_A_DECADE = 300, 40  # of a slider of fractions


class NumberRow:
    """A slider and a number box of one value, with what it is and its unit.

    The box holds the value. The slider counts steps: a slider of fractions would send its own rounding of
    each value back as if somebody had moved it.
    """

    def __init__(
        self,
        description: str,
        unit: str,
        value: float,
        low: float,
        high: float,
        *,
        whole: bool = False,
        log: bool = False,
        hint: str = "",
    ) -> None:
        self._steps = _Steps(low, high, whole, log)
        self.slider = ipywidgets.IntSlider(
            value=self._steps.of(value),
            min=0,
            max=self._steps.count,
            description=description,
            readout=False,
            tooltip=hint or description,
            style={"description_width": LABEL_WIDTH},
            layout={"flex": "1 1 auto", "width": "auto", "min_width": "190px"},
        )
        self.box = _box(unit, value, low, high, whole, f"{description}, in {unit}. {hint}".strip())
        self.slider.observe(self._slid, "value")
        self.box.observe(self._typed, "value")
        self.widget = ipywidgets.HBox([self.slider, self.box])
        self.widget.add_class("wb-row")

    def _typed(self, change: Any) -> None:
        self.slider.value = self._steps.of(change["new"])

    def _slid(self, change: Any) -> None:
        if change["new"] != self._steps.of(self.box.value):
            self.box.value = self._steps.value(change["new"])

    @property
    def value(self) -> Any:
        return self.box.value

    @value.setter
    def value(self, value: float) -> None:
        """Raises traitlets.TraitError for no number; one out of range becomes the nearest in range."""
        self.box.value = value

    def check(self, name: str, value: float, instead: str) -> None:
        """Raises InputError where a value of that name is out of reach; says what to use instead."""
        low, high, unit = self.box.min, self.box.max, self.box.description
        if not low <= value <= high:
            raise InputError(
                f"the control of {name} reaches from {low:g} to {high:g} {unit}, not to {value:g}: "
                f"use {instead} for that"
            )

    @property
    def enabled(self) -> bool:
        return not self.slider.disabled

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        self.slider.disabled = self.box.disabled = not enabled

    def on_change(self, act: Changed) -> None:
        """Call ``act`` at each change, by slider, box or code."""
        self.box.observe(act, "value")


@dataclass(frozen=True)
class _Steps:
    """The values that a slider reaches, counted from 0."""

    low: float
    high: float
    whole: bool
    log: bool

    @property
    def count(self) -> int:
        if self.whole:
            return int(self.high - self.low)
        return round(_STEPS_A_DECADE * log10(self.high / self.low)) if self.log else _STEPS

    def of(self, value: float) -> int:
        """The step nearest to a value."""
        if self.whole:
            return int(value - self.low)
        share = log10(value / self.low) / log10(self.high / self.low) if self.log else self._share(value)
        return min(self.count, max(0, round(share * self.count)))

    def _share(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def value(self, step: int) -> Any:
        """The value of a step, rounded to what the steps tell apart."""
        if self.whole:
            return int(self.low + step)
        share = step / self.count
        linear = self.low + share * (self.high - self.low)
        found = self.low * (self.high / self.low) ** share if self.log else linear
        digits = 3 if self.log else 4  # fewer would put several of 300 even steps on one value
        return min(self.high, max(self.low, float(f"{found:.{digits}g}")))


def _box(unit: str, value: float, low: float, high: float, whole: bool, hint: str) -> ipywidgets.Widget:
    make = ipywidgets.BoundedIntText if whole else ipywidgets.BoundedFloatText
    box = make(
        value=value,
        min=low,
        max=high,
        description=unit,
        tooltip=hint,
        style={"description_width": "46px"},
        layout={"width": "116px", "flex": "0 0 auto"},
    )
    if not whole:
        box.step = None
    box.add_class("wb-unit")
    return box


class Choice:
    """One of several named things."""

    def __init__(self, description: str, options: Sequence[Any], value: Any, *, hint: str = "") -> None:
        self.widget = ipywidgets.Dropdown(
            options=options,
            value=value,
            description=description,
            tooltip=hint or description,
            style={"description_width": LABEL_WIDTH},
            layout={"width": "auto"},
        )

    @property
    def value(self) -> Any:
        return self.widget.value

    @value.setter
    def value(self, value: Any) -> None:
        self.widget.value = value

    @property
    def enabled(self) -> bool:
        return not self.widget.disabled

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        self.widget.disabled = not enabled

    def on_change(self, act: Changed) -> None:
        """Call ``act`` at each change."""
        self.widget.observe(act, "value")


class Tick:
    """Yes or no."""

    def __init__(self, description: str, value: bool, *, hint: str = "") -> None:
        self.widget = ipywidgets.Checkbox(
            value=value,
            description=description,
            tooltip=hint or description,
            indent=False,
            layout={"width": "auto"},
        )

    @property
    def value(self) -> bool:
        return bool(self.widget.value)

    @value.setter
    def value(self, value: bool) -> None:
        self.widget.value = value

    def on_change(self, act: Changed) -> None:
        """Call ``act`` at each change."""
        self.widget.observe(act, "value")


def button(description: str, act: Callable[[], None], *, hint: str, style: str = "") -> ipywidgets.Button:
    """A button whose click calls ``act``, which is to return at once."""
    made = ipywidgets.Button(
        description=description, tooltip=hint, button_style=style, layout={"width": "auto"}
    )
    made.add_class("wb-left")
    made.on_click(lambda _: act())
    return made


def heading(text: str) -> ipywidgets.HTML:
    """The title of a group of controls."""
    return ipywidgets.HTML(f"<div class='wb-heading'>{text}</div>")


def group(title: str, rows: Sequence[Any]) -> ipywidgets.VBox:
    """Controls under a title."""
    return ipywidgets.VBox([heading(title), *(getattr(row, "widget", row) for row in rows)])
