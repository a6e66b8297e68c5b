"""A number with a unit that suits its size, as messages say it."""

from __future__ import annotations

__all__ = ["quantity"]

_DECIMAL = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def quantity(value: float, unit: str) -> str:
    """E.g. 0.0381 s as ``38.1 ms``, 8e9 B as ``8 GB``."""
    if unit == "s" and value < 1:
        return f"{_digits(value * 1e3)} ms"
    for factor, prefix in _DECIMAL if unit == "B" else ():
        if value >= factor:
            return f"{_digits(value / factor)} {prefix}B"
    return f"{_digits(value)} {unit}".rstrip()


def _digits(value: float) -> str:
    """Three of them, without an exponent for what is large."""
    return f"{value:,.0f}" if 999.5 <= abs(value) < 1e9 else f"{value:.3g}"
