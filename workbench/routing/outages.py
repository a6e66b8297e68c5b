"""When there is no link."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.errors import InputError

__all__ = ["Outages"]


@dataclass(frozen=True)
class Outages:
    """Spans of time without a link, in seconds since a workload began; what touches or overlaps is one.

    Raises:
        InputError: one that ends before it begins, or begins before 0.
    """

    spans: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        merged: list[tuple[float, float]] = []
        for begin_s, end_s in sorted(self.spans):
            if not 0 <= begin_s < end_s < math.inf:
                raise InputError(f"an outage lasts from a moment to a later one: got {begin_s} to {end_s} s")
            if merged and begin_s <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end_s))
            else:
                merged.append((begin_s, end_s))
        object.__setattr__(self, "spans", tuple(merged))

    @classmethod
    def of(cls, spans: Sequence[tuple[float, float]]) -> Outages:
        """From pairs of (from, to)."""
        return cls(tuple(spans))

    def end_s(self, at_s: float) -> float | None:
        """When the outage of a moment ends; None where there is none."""
        return next((end for begin, end in self.spans if begin <= at_s < end), None)

    def switches(self) -> list[tuple[float, bool]]:
        """Moments in order, and whether there is a link from then on."""
        return [change for begin, end in self.spans for change in ((begin, False), (end, True))]
