"""Fits overhead per block and bandwidth reached to decode rates that somebody published."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.errors import ProfileError
from workbench.profiles import DecodeRate

__all__ = ["Row", "decode_rate", "fit_absolute", "fit_decode"]

Row = tuple[float, float]
"""Blocks per second, and what else a token costs per second: ``x * blocks + y * cost`` is to be one."""

_ROUNDS = 60  # of reweighting; no published set moves in the sixth digit after thirty
_SMALLEST_ERROR = 1e-3  # a rate that is met this well pulls no harder for being met better


def fit_decode(rates: Sequence[DecodeRate], block_overhead_s: float | None = None) -> tuple[float, float]:
    """Overhead per block and achieved bandwidth of ``t = n_blocks * overhead + n_bytes / bandwidth``.

    Least squares of the relative error, in closed form. The overhead is not let below zero.

    Args:
        rates: at least two models of different size, or one with ``block_overhead_s`` given.
        block_overhead_s: keep the overhead at this value, e.g. that of the device's class.

    Returns:
        Overhead in seconds and bandwidth in bytes per second.

    Raises:
        ProfileError: the rates cannot tell the two apart.
    """
    if block_overhead_s is not None:
        return block_overhead_s, _bandwidth(rates, block_overhead_s)
    rows = [(r.n_blocks * r.tokens_per_s, r.n_bytes * r.tokens_per_s) for r in rates]  # both over time
    overhead, slope = _least_squares(rows, [1.0] * len(rows))
    return overhead, 1.0 / slope


def fit_absolute(rows: Sequence[Row]) -> tuple[float, float]:
    """``x`` and ``y``, not below zero, that make the sum of ``|x * blocks + y * cost - 1|`` least.

    The least absolute relative error, so that a few odd rates pull no harder than the others: least squares
    again and again, each row weighted by one over its last error (Schlossmacher, JASA 68(344), 1973).

    Raises:
        ProfileError: the rows cannot tell the two apart.
    """
    weights = [1.0] * len(rows)
    for _ in range(_ROUNDS):
        x, y = _least_squares(rows, weights)
        weights = [1.0 / max(abs(x * a + y * b - 1.0), _SMALLEST_ERROR) for a, b in rows]
    return x, y


def decode_rate(
    n_blocks: int, n_bytes: float, block_overhead_s: float, bandwidth_bytes_per_s: float
) -> float:
    """Tokens per second of a model that reads ``n_bytes`` per token."""
    return 1.0 / (n_blocks * block_overhead_s + n_bytes / bandwidth_bytes_per_s)


def _least_squares(rows: Sequence[Row], weights: Sequence[float]) -> tuple[float, float]:
    """``x`` and ``y`` in closed form; ``x`` is zero where it would fall below, ``y`` is then fitted alone."""
    weighted = list(zip(weights, rows, strict=True))
    aa, ab, bb = (sum(w * r[i] * r[j] for w, r in weighted) for i, j in ((0, 0), (0, 1), (1, 1)))
    a, b = (sum(w * r[i] for w, r in weighted) for i in (0, 1))
    determinant = aa * bb - ab * ab
    if len(rows) < 2 or determinant <= 1e-9 * aa * bb:
        raise ProfileError("a fit needs rates of two models that differ in bytes per block: give an overhead")
    x, y = (a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant
    return (x, y) if x >= 0 else (0.0, b / bb)


def _bandwidth(rates: Sequence[DecodeRate], block_overhead_s: float) -> float:
    rows = [(1.0 - r.n_blocks * r.tokens_per_s * block_overhead_s, r.n_bytes * r.tokens_per_s) for r in rates]
    along = sum(left * moved for left, moved in rows)
    if along <= 0:
        raise ProfileError(f"an overhead of {block_overhead_s} s per block is more than the rates leave")
    return sum(moved * moved for _, moved in rows) / along
