"""Policies along traces: what each takes, how often it moves, and how far it stays behind the clairvoyant."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.errors import InputError
from workbench.plan import Plan
from workbench.planner.online.observing import Sensor
from workbench.planner.online.policies import POLICIES, Policy
from workbench.planner.online.scene import Scene

__all__ = ["Regret", "Run", "Turn", "regret_table", "simulate"]


@dataclass(frozen=True)
class Turn:
    """From when on a plan was the one to use."""

    at_s: float
    plan: Plan
    move_s: float  # until it really was; 0 for the first
    why: str


@dataclass(frozen=True)
class Run:
    """What came of one policy along one trace, modelled."""

    mean_s: float  # per request, moves and outages included; infinite where none was ever answered
    moved_s: float  # spent on moves
    turns: tuple[Turn, ...]  # the plans in turn, the first included

    @property
    def n_moves(self) -> int:
        return len(self.turns) - 1

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plans that were used, each once."""
        found: list[Plan] = []
        for turn in self.turns:
            if turn.plan not in found:
                found.append(turn.plan)
        return tuple(found)


def simulate(scene: Scene, policy: Policy, sensor: Sensor | None = None) -> Run:
    """Let a policy decide along a scene.

    Args:
        sensor: how well it sees; the clairvoyant and a static policy do not look.

    Raises:
        InputError: the policy chose a plan that is none of the scene's.
    """
    believed = scene.observations(sensor or Sensor())
    turns: list[Turn] = []
    now: Plan | None = None
    at, epoch, cost = 0, 0, 0.0
    while epoch < scene.n_epochs:
        decision = policy.decide(believed[epoch], now)
        new = scene.candidates.index(decision.plan)
        move_s = 0.0 if now is None or new == at else float(scene.move_s(epoch)[at, new])
        if now is None or new != at:
            turns.append(Turn(float(scene.epochs_s[epoch]), decision.plan, move_s, decision.why))
        costs, following = scene.after(epoch, np.array([new]), np.array([move_s]))
        now, at, cost, epoch = scene.candidates.plans[new], new, cost + float(costs[0]), int(following[0])
    return Run(scene.per_request_s(cost), sum(turn.move_s for turn in turns), tuple(turns))


@dataclass(frozen=True)
class Regret:
    """One row of the table."""

    scene: str
    policy: str
    mean_s: float
    regret: float  # mean_s over the clairvoyant's, less 1: 0 is as good as can be
    n_moves: int
    moved_s: float
    n_best: int  # plans that are fastest at some time; 1 means that there is nothing to gain by moving

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**self.__dict__, "label": "modelled"}


def regret_table(
    scenes: Iterable[Scene],
    policies: Mapping[str, Callable[[Scene], Policy]] = POLICIES,
    sensor: Sensor | None = None,
) -> list[Regret]:
    """Every policy along every scene, beside the clairvoyant.

    Raises:
        InputError: there is no ``clairvoyant`` among the policies to compare with.
    """
    if "clairvoyant" not in policies:
        raise InputError(f"regret is measured against the policy 'clairvoyant': got {sorted(policies)}")
    return [row for scene in scenes for row in _rows(scene, policies, sensor)]


def _rows(
    scene: Scene, policies: Mapping[str, Callable[[Scene], Policy]], sensor: Sensor | None
) -> list[Regret]:
    runs = {name: simulate(scene, make(scene), sensor) for name, make in policies.items()}
    least_s = runs["clairvoyant"].mean_s
    name = scene.name or f"{scene.problem.model.name}, {scene.trace.name}"
    return [
        Regret(
            name, policy, run.mean_s, _over(run.mean_s, least_s), run.n_moves, run.moved_s, len(scene.best)
        )
        for policy, run in runs.items()
    ]


def _over(mean_s: float, least_s: float) -> float:
    return mean_s / least_s - 1.0 if math.isfinite(least_s) else 0.0
