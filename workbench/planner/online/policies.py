"""When to move: policies that are told what a runtime believes, and say which plan it should go on with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from workbench.cost import Floats
from workbench.errors import InputError
from workbench.plan import Plan
from workbench.planner.online.candidates import Candidates, observed
from workbench.planner.online.clairvoyant import Course, best_course
from workbench.planner.online.observing import Observation
from workbench.planner.online.scene import Scene
from workbench.planner.quantity import quantity

__all__ = ["POLICIES", "Clairvoyant", "Decision", "Hysteresis", "Policy", "Reactive", "Static"]


@dataclass(frozen=True)
class Decision:
    """What to go on with."""

    plan: Plan
    moved: bool  # whether that is another plan than before; where nothing ran before, False
    why: str


class Policy(Protocol):
    """Decides, again and again, in order of time. It may remember what it saw, and sees nothing else."""

    def decide(self, seen: Observation, now: Plan | None) -> Decision:
        """Which plan to go on with.

        Args:
            seen: what the runtime believes.
            now: the plan that runs; None before the first, which is deployed without a move.

        Raises:
            InputError: ``now`` is none of the plans that the policy chooses from.
        """
        ...


@dataclass(frozen=True)
class Static:
    """One plan, whatever comes."""

    plan: Plan

    @classmethod
    def best(cls, scene: Scene) -> Static:
        """In hindsight: the plan that a whole trace takes least with."""
        return cls(scene.candidates.plans[int(np.argmin(static_costs(scene)))])

    def decide(self, seen: Observation, now: Plan | None) -> Decision:
        return Decision(self.plan, now not in (None, self.plan), "always this plan")


def static_costs(scene: Scene) -> Floats:
    """What a trace costs with each plan kept, [P], as ``Scene.after`` counts it."""
    plans = np.arange(len(scene.candidates))
    still = np.zeros(len(plans))
    return np.sum([scene.after(epoch, plans, still)[0] for epoch in range(scene.n_epochs)], axis=0)


@dataclass(frozen=True)
class Reactive:
    """Always the plan that is fastest by the last estimate; a move's cost is not looked at."""

    candidates: Candidates

    def decide(self, seen: Observation, now: Plan | None) -> Decision:
        seconds = self.candidates.seconds(observed(self.candidates.problem.links[0], seen))
        best = int(np.argmin(seconds))
        if now is None:
            return _first(self.candidates, seconds)
        at = self.candidates.index(now)
        if seconds[best] >= seconds[at]:
            return Decision(now, False, "nothing is faster")
        return Decision(self.candidates.plans[best], True, _gain(seconds, at, best))


@dataclass
class Hysteresis:
    """Moves where it pays, and only after it has done so for a while.

    Going on with c seconds a request instead of c' loses (c - c') / max(c, period) of every second. It
    moves once that, over ``horizon_s``, has been more than ``factor`` times what the move loses for
    ``dwell_s`` without a break, by one plan or another; and so never twice within that time.
    """

    candidates: Candidates
    horizon_s: float = 30.0  # for which conditions are taken to stay as they are
    factor: float = 1.0  # of what a move loses, that the gain has to exceed
    dwell_s: float = 1.0
    request_period_s: float = 0.0  # between two requests; 0: back to back
    _since_s: float | None = field(default=None, init=False)  # when moving began to pay
    _moved_s: float = field(default=-math.inf, init=False)

    def __post_init__(self) -> None:
        _check("horizon_s", self.horizon_s)
        for name in ("factor", "dwell_s", "request_period_s"):
            _check(name, getattr(self, name), least=0.0)

    def decide(self, seen: Observation, now: Plan | None) -> Decision:
        conditions = observed(self.candidates.problem.links[0], seen)
        seconds = self.candidates.seconds(conditions)
        if now is None:
            return _first(self.candidates, seconds)
        at = self.candidates.index(now)
        lost = _lost_share(seconds, at, self.request_period_s)
        best, won_s = at, 0.0
        if (lost > 0).any():
            move_s = self.candidates.move_s(conditions)[at]
            won = self.horizon_s * lost - self.factor * _lost_by_moving_s(move_s, self.request_period_s)
            best, won_s = int(np.argmax(won)), float(np.max(won))
        if best == at or won_s <= 0:
            self._since_s = None
            return Decision(now, False, "no move pays")
        why = f"{_gain(seconds, at, best)}: {quantity(won_s, 's')} won in {self.horizon_s:g} s"
        return self._wait_or_move(seen.time_s, now, best, why)

    def _wait_or_move(self, now_s: float, now: Plan, best: int, why: str) -> Decision:
        if self._since_s is None:
            self._since_s = now_s
        if now_s - max(self._since_s, self._moved_s) < self.dwell_s:
            return Decision(now, False, f"a move would pay, but has not done so for {self.dwell_s:g} s")
        self._since_s, self._moved_s = None, now_s
        return Decision(self.candidates.plans[best], True, why)


@dataclass
class Clairvoyant:
    """Knows the trace and takes the course that costs least, moves included: regret is over this."""

    scene: Scene
    _course: Course = field(init=False)

    def __post_init__(self) -> None:
        self._course = best_course(self.scene)

    def decide(self, seen: Observation, now: Plan | None) -> Decision:
        plans = self.scene.candidates
        epoch = int(np.searchsorted(self.scene.epochs_s, seen.time_s + 1e-9, side="right")) - 1
        at = len(plans) if now is None else plans.index(now)
        best = int(self._course[epoch][at])
        return Decision(plans.plans[best], at not in (best, len(plans)), "the best course of the whole trace")


POLICIES: dict[str, Callable[[Scene], Policy]] = {
    "static": Static.best,
    "reactive": lambda scene: Reactive(scene.candidates),
    "hysteresis": lambda scene: Hysteresis(scene.candidates, request_period_s=scene.request_period_s or 0.0),
    "clairvoyant": Clairvoyant,
}
"""A fresh policy for a scene, by name."""


def _check(name: str, value: float, least: float | None = None) -> None:
    if not (0 < value < math.inf or value == least):
        raise InputError(f"{name} is finite and {'not negative' if least == 0 else 'above 0'}, got {value}")


def _first(candidates: Candidates, seconds: Floats) -> Decision:
    return Decision(candidates.plans[int(np.argmin(seconds))], False, "the fastest plan to begin with")


def _gain(seconds: Floats, at: int, best: int) -> str:
    before = quantity(float(seconds[at]), "s") if np.isfinite(seconds[at]) else "no answer without the link"
    return f"{quantity(float(seconds[best]), 's')} a request instead of {before}"


def _lost_share(seconds: Floats, at: int, request_period_s: float = 0.0) -> Floats:
    """Of each second, what is lost by not using each plan, [P]: negative for slower plans, 1 in an outage."""
    if not np.isfinite(seconds[at]):
        usable = np.isfinite(seconds)
        fastest = np.min(seconds, where=usable, initial=np.inf)
        return np.where(usable, fastest / seconds, 0.0)
    return (seconds[at] - seconds) / max(float(seconds[at]), request_period_s)


def _lost_by_moving_s(move_s: Floats, request_period_s: float = 0.0) -> Floats:
    """What requests wait for moves, [P]: all of it back to back; else m / period of them, for m / 2 each."""
    return move_s * move_s / (2 * request_period_s) if request_period_s else move_s
