"""Fits the two numbers of a device that no datasheet gives to decode rates that somebody published."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.errors import ProfileError
from workbench.profiles import DecodeRate

__all__ = ["decode_rate", "fit_decode"]


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
    aa, ab, bb = (sum(r[i] * r[j] for r in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    a, b = (sum(r[i] for r in rows) for i in (0, 1))
    determinant = aa * bb - ab * ab
    if len(rows) < 2 or determinant <= 1e-9 * aa * bb:
        raise ProfileError("a fit needs rates of two models that differ in bytes per block: give an overhead")
    overhead = (a * bb - b * ab) / determinant
    return (overhead, determinant / (b * aa - a * ab)) if overhead >= 0 else (0.0, _bandwidth(rates, 0.0))


def decode_rate(
    n_blocks: int, n_bytes: float, block_overhead_s: float, bandwidth_bytes_per_s: float
) -> float:
    """Tokens per second of a model that reads ``n_bytes`` per token."""
    return 1.0 / (n_blocks * block_overhead_s + n_bytes / bandwidth_bytes_per_s)


def _bandwidth(rates: Sequence[DecodeRate], block_overhead_s: float) -> float:
    rows = [(1.0 - r.n_blocks * r.tokens_per_s * block_overhead_s, r.n_bytes * r.tokens_per_s) for r in rates]
    along = sum(left * moved for left, moved in rows)
    if along <= 0:
        raise ProfileError(f"an overhead of {block_overhead_s} s per block is more than the rates leave")
    return sum(moved * moved for _, moved in rows) / along
