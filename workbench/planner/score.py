"""One number for several aims: what is minimised, and what a plan may be compared by.

A single aim is its own value. Several are each divided by the best that not splitting gives, so that weights
weigh shares; the loss, which is 0 there, counts as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from workbench.cost import Floats
from workbench.planner.aims import AIMS
from workbench.planner.landscape import Plans
from workbench.planner.problem import Problem

__all__ = ["TIMES", "Score"]

TIMES = ("ttft", "tpot", "total")
"""Aims that add up along a pass."""


class Score:
    """The weighted sum of a problem's aims; less is better."""

    def __init__(self, problem: Problem, baselines: Sequence[Plans]) -> None:
        self.weights = {name: weight for name, weight in problem.aims.items() if weight}
        self._scales = {name: self._scale(name, baselines) for name in self.weights}

    def of(self, numbers: Mapping[str, Floats]) -> Floats:
        """Scores of a batch of plans, [P]."""
        terms = [w * AIMS[name].sign * numbers[name] / self._scales[name] for name, w in self.weights.items()]
        return np.sum(terms, axis=0)

    def time_weights(self, steps: int) -> tuple[float, float] | None:
        """What a second of prefill and one of a decode step add; None where the aim is no time.

        Args:
            steps: tokens after the first.
        """
        of = {"ttft": (1.0, 0.0), "tpot": (0.0, 1.0), "total": (1.0, float(steps))}
        if set(self.weights) - set(TIMES):
            return None
        shares = {name: weight / self._scales[name] for name, weight in self.weights.items()}
        return (
            sum(share * of[name][0] for name, share in shares.items()),
            sum(share * of[name][1] for name, share in shares.items()),
        )

    def _scale(self, name: str, baselines: Sequence[Plans]) -> float:
        if len(self.weights) == 1 or name == "loss":
            return 1.0
        values = np.concatenate([plans.numbers[name] for plans in baselines])
        best = float(np.max(values) if AIMS[name].maximised else np.min(values))
        return abs(best) or 1.0
