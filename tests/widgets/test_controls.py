"""A slider and its box say one value; the box holds it exactly, the slider as near as its steps allow."""

from __future__ import annotations

from typing import Any

import ipywidgets
import pytest
import traitlets
from hypothesis import given
from hypothesis import strategies as st

from workbench.widgets.controls import Choice, NumberRow, button, group


@st.composite
def rows(draw: st.DrawFn) -> tuple[NumberRow, float]:
    """A row of any kind, and a value in its range."""
    kind = draw(st.sampled_from(["whole", "log", "linear"]))
    if kind == "whole":
        low = draw(st.integers(0, 10))
        high = low + draw(st.integers(1, 2000))
        values = st.integers(low, high)
        return NumberRow("n", "tokens", low, low, high, whole=True), draw(values)
    low = draw(st.floats(1e-3, 10))
    high = low * draw(st.floats(2, 1e6))
    made = NumberRow("x", "ms", low, low, high, log=kind == "log")
    return made, draw(st.floats(low, high))


@given(rows())
def test_what_is_typed_stays_as_it_is_and_the_slider_comes_near(drawn: tuple[NumberRow, float]) -> None:
    row, value = drawn
    row.box.value = value
    assert row.value == value
    assert 0 <= row.slider.value <= row.slider.max
    low, high = row.box.min, row.box.max
    step = row.slider.value / row.slider.max
    if row.slider.max == high - low:
        assert low + row.slider.value == value
    else:
        assert (step == 0) <= (value < high)
        assert (step == 1) <= (value > low)


@given(rows(), st.data())
def test_a_step_of_the_slider_says_its_value_and_keeps_its_place(
    drawn: tuple[NumberRow, float], data: st.DataObject
) -> None:
    row, value = drawn
    row.value = value
    step = data.draw(st.integers(0, row.slider.max))
    told: list[Any] = []
    row.on_change(lambda change: told.append(change["new"]))
    moved = row.slider.value != step
    row.slider.value = step
    assert row.box.min <= row.value <= row.box.max
    assert told == ([row.value] if moved and row.value != value else [])
    assert abs(row.slider.value - step) <= 1  # a value's digits are finer than a step


@given(rows())
def test_a_slider_climbs_with_its_value(drawn: tuple[NumberRow, float]) -> None:
    row, _ = drawn
    values = []
    for step in range(0, row.slider.max + 1, max(1, row.slider.max // 20)):
        row.slider.value = step
        values.append(row.value)
    assert values == sorted(values)


def test_out_of_range_becomes_the_nearest_and_no_number_is_refused() -> None:
    row = NumberRow("Loss", "%", 0, 0, 30)
    row.value = 31
    assert row.value == 30
    with pytest.raises(traitlets.TraitError):
        row.value = "much"  # type: ignore[assignment]
    assert row.value == 30


def test_both_parts_are_described_and_switched_together() -> None:
    row = NumberRow("Round trip", "ms", 50, 0.01, 3000, log=True, hint="RTT without load")
    assert row.slider.description == "Round trip"
    assert row.slider.tooltip == "RTT without load"
    assert row.box.tooltip == "Round trip, in ms. RTT without load"
    row.enabled = False
    assert (row.slider.disabled, row.box.disabled, row.enabled) == (True, True, False)


def test_a_choice_and_a_button_say_what_they_are_for() -> None:
    choice = Choice("Shape", ("a", "b"), "a")
    told: list[str] = []
    choice.on_change(lambda change: told.append(change["new"]))
    choice.value = "b"
    pressed = button("Go", lambda: told.append("pressed"), hint="Goes")
    pressed.click()
    assert told == ["b", "pressed"]
    assert (pressed.tooltip, choice.widget.tooltip) == ("Goes", "Shape")
    assert isinstance(group("Title", [choice, pressed]), ipywidgets.VBox)
