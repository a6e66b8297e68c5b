"""How numbers and tables look in a terminal."""

from __future__ import annotations

import pytest

from workbench.cli.text import quantity, table


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "B", "0 B"),
        (1023, "B", "1023 B"),
        (1536, "B", "1.5 KiB"),
        (80 * 2**30, "B", "80.0 GiB"),
        (0.0123, "s", "12.3 ms"),
        (2.5, "s", "2.50 s"),
        (12e6, "bit/s", "12 Mbit/s"),
        (989e12, "FLOP/s", "989 TFLOP/s"),
        (5_300_000, "parameters", "5.3 M"),
        (31.4159, "tokens/s", "31.4 tokens/s"),
        (0.5, "share", "50.0%"),
    ],
)
def test_a_quantity_has_a_unit_of_its_size(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_columns_are_aligned() -> None:
    lines = table(["name", "size"], [["a", "1"], ["long name", "12345"]]).splitlines()
    assert lines == ["name        size", "---------  -----", "a              1", "long name  12345"]
