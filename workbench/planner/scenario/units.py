"""Numbers with units, as people write them: ``40 ms``, ``2 GB/month``. Case counts, nothing is guessed."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from decimal import Decimal

__all__ = ["EXAMPLES", "UNITS", "in_unit"]

_BINARY = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_BYTES = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, **_BINARY}
_JOULES = {"mJ": 1e-3, "J": 1, "kJ": 1e3, "MJ": 1e6, "Wh": 3600, "kWh": 3.6e6}


def _each(units: Mapping[str, float], per: str) -> dict[str, float]:
    return {f"{unit}/{per}": factor for unit, factor in units.items()}


UNITS: Mapping[str, Mapping[str, float]] = {
    "": {},
    "s": {"µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600},
    "B": _BYTES,
    "B/s": _each(_BYTES, "s"),
    "B/month": {**_BYTES, **_each(_BYTES, "month")},
    "bit/s": {"bit/s": 1, "kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9},
    "FLOP/s": {"FLOP/s": 1, "GFLOP/s": 1e9, "TFLOP/s": 1e12, "PFLOP/s": 1e15},
    "J": _JOULES,
    "J/month": {**_JOULES, **_each(_JOULES, "month")},
    "J/B": {"J/B": 1, "µJ/B": 1e-6, "nJ/B": 1e-9, "J/MB": 1e-6},
    "W": {"mW": 1e-3, "W": 1, "kW": 1e3},
    "share": {"%": 1e-2},
    "bit/byte": {"bit/byte": 1},
}
"""By base unit: what each unit of that kind is worth in it."""

EXAMPLES: Mapping[str, str] = {
    "": "3",
    "s": "40 ms",
    "B": "8 GB",
    "B/s": "100 GB/s",
    "B/month": "2 GB/month",
    "bit/s": "12 Mbit/s",
    "FLOP/s": "20 TFLOP/s",
    "J": "5 J",
    "J/month": "20 Wh/month",
    "J/B": "2 µJ/B",
    "W": "7.5 W",
    "share": "90 %",
    "bit/byte": "0.05 bit/byte",
}
"""By base unit: how one writes it."""

_NUMBER = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*(\S*)", re.ASCII)


def in_unit(text: str, base: str, *, named: bool = False) -> float:
    """A text such as ``40 ms`` in its base unit, here s.

    Args:
        base: one of ``UNITS``.
        named: the text has to name its unit.

    Raises:
        ValueError: it is no finite number, or its unit is none of this kind; says which are.
    """
    match = _NUMBER.fullmatch(text.strip().replace("μ", "µ"))
    example = EXAMPLES[base]
    if match is None or len(text) > 60:
        raise ValueError(f"takes a number{' with a unit' if base else ''}, as {example!r}: got {text[:60]!r}")
    unit = match[2]
    if named and UNITS[base] and not unit:
        raise ValueError(f"needs a unit, as {example!r}: got {text!r}")
    factor = _factor(unit, base, text) if unit else 1
    number = float(Decimal(match[1]) * Decimal(repr(factor)))  # 9 ms are 0.009 s, to the last digit
    if not math.isfinite(number):
        raise ValueError(f"takes a finite number, as {example!r}: got {text!r}")
    return number


def _factor(unit: str, base: str, text: str) -> float:
    units = UNITS[base]
    if unit in units:
        return units[unit]
    if not units:
        raise ValueError(f"takes a number without a unit: got {text!r}")
    same = [known for known in units if known.lower() == unit.lower()]
    near = same or difflib.get_close_matches(unit, units, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"has no unit {unit!r}: {hint}Known are {', '.join(units)}: got {text!r}")
