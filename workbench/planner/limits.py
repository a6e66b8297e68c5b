"""Which limits a plan keeps, and by how much it breaks the others.

An excess is relative: 0.2 is a fifth over the limit, 0 and below is within it. Pins count the share of what
is out of its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.cost import Floats
from workbench.planner.aims import AIMS
from workbench.planner.landscape import Plans
from workbench.planner.problem import Exit, Pin, Problem
from workbench.planner.quantity import quantity

__all__ = ["WITHIN", "Bound", "bounds_of", "excess_of", "offline_exit"]

WITHIN = 1e-9
"""A relative excess that is rounding."""


@dataclass(frozen=True)
class Bound:
    """One limit on some plans: what each needs, and what it may take."""

    name: str  # e.g. "memory of edge", "total"
    unit: str
    needed: Floats  # [P]
    allowed: float

    @property
    def excess(self) -> Floats:
        """Relative, [P]."""
        if self.allowed > 0:
            return self.needed / self.allowed - 1.0
        return np.where(self.needed > 0, np.inf, 0.0)

    def said(self, index: int) -> str:
        """How far a plan is beyond it."""
        if self.unit == "pin":
            return f"{self.name} is not kept"
        needed, allowed = quantity(float(self.needed[index]), self.unit), quantity(self.allowed, self.unit)
        over = float(self.excess[index])
        share = f" ({over:.0%} over)" if np.isfinite(over) else ""
        return f"{self.name} needs {needed} of {allowed}{share}"


def bounds_of(problem: Problem, plans: Plans) -> list[Bound]:
    """Every limit of a problem on a batch of plans, devices' memories and pins included."""
    return [
        *(_memory(problem, plans, place) for place in plans.route.distinct),
        *_numbers(problem, plans),
        *_busy(problem, plans),
        *_monthly(problem, plans),
        *(Bound(f"pin {pin}", "pin", _misplaced(pin, plans), 0.0) for pin in problem.pins),
        *_offline(problem, plans),
    ]


def excess_of(bounds: Sequence[Bound]) -> Floats:
    """The largest excess of each plan over any limit, [P]; 0 where it keeps them all."""
    largest = np.max([bound.excess for bound in bounds], axis=0)
    return np.where(largest <= WITHIN, 0.0, largest)


def offline_exit(problem: Problem) -> Exit | None:
    """The earliest exit that is good enough to go on without a link; None where none is."""
    wanted = problem.limits.offline_quality
    good = [e for e in problem.exits if wanted is not None and e.quality >= wanted]
    return min(good, key=lambda e: e.after, default=None)


def _memory(problem: Problem, plans: Plans, place: str) -> Bound:
    allowed = min(problem.devices[place].memory_bytes, problem.limits.memory_bytes.get(place, np.inf))
    needed = plans.memory_bytes[place]
    if problem.limits.offline_quality is not None and place == problem.user:
        needed = needed + (0 if _ends_with(plans, place) else plans.exit_head_bytes)
    return Bound(f"memory of {place}", "B", needed, float(allowed))


def _numbers(problem: Problem, plans: Plans) -> list[Bound]:
    limits = problem.limits
    asked = {
        "ttft": limits.ttft_s,
        "tpot": limits.tpot_s,
        "total": limits.total_s,
        "edge_energy": limits.edge_j,
        "price": limits.price_per_token,
        "loss": limits.loss,
    }
    return [
        Bound(name, AIMS[name].unit, plans.numbers[name], allowed)
        for name, allowed in asked.items()
        if allowed is not None
    ]


def _busy(problem: Problem, plans: Plans) -> list[Bound]:
    nothing = np.zeros(len(plans))
    return [
        Bound(f"computing of {place}", "s", plans.busy_s.get(place, nothing), allowed)
        for place, allowed in problem.limits.busy_s.items()
    ]


def _monthly(problem: Problem, plans: Plans) -> list[Bound]:
    limits, found = problem.limits, []
    per_month = limits.requests_per_month or 0.0
    if limits.bytes_per_month is not None:
        found.append(Bound("data a month", "B", plans.numbers["bytes"] * per_month, limits.bytes_per_month))
    if limits.battery_j is not None:
        found.append(Bound("battery", "J", plans.numbers["edge_energy"] * per_month, limits.battery_j))
    return found


def _misplaced(pin: Pin, plans: Plans) -> Floats:
    """The share of a pinned part that is elsewhere."""
    places, n = plans.route.places, int(plans.cuts[0, -1])
    ends = {"embedding": places[0], "head": places[-1]}
    if pin.part in ends:
        return np.full(len(plans), float(ends[pin.part] != pin.place))
    start, stop = (0, n) if pin.part == "everything" else (pin.start, pin.stop or n)
    there = np.zeros(len(plans))
    for i, place in enumerate(places):
        if place == pin.place:
            first, last = plans.cuts[:, i], plans.cuts[:, i + 1]
            there += np.clip(np.minimum(last, stop) - np.maximum(first, start), 0, None)
    away = 1.0 - there / (stop - start)
    if pin.part == "everything":
        away = np.maximum(away, float(set(places) != {pin.place}))
    return away


def _offline(problem: Problem, plans: Plans) -> list[Bound]:
    if problem.limits.offline_quality is None:
        return []
    exit_, name = offline_exit(problem), "offline exit on the user's device"
    if exit_ is None:
        return [Bound(name, "pin", np.ones(len(plans)), 0.0)]
    own = plans.cuts[:, 1] if plans.route.places[0] == problem.user else np.zeros(len(plans), dtype=int)
    return [Bound(name, "pin", np.maximum(exit_.after - own, 0) / exit_.after, 0.0)]


def _ends_with(plans: Plans, place: str) -> bool:
    return plans.route.places[-1] == place
