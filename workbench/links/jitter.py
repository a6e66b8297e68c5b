"""Jitter and loss as dice: what differs from packet to packet."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from workbench.profiles import OneWay

__all__ = ["Jitter", "Loss"]


def _pareto(dice: random.Random) -> float:
    """Heavy-tailed: Pareto with shape 3, whose mean is 3/2 and variance 3/4, moved and scaled."""
    return (dice.paretovariate(3.0) - 1.5) / math.sqrt(0.75)


_DRAWS: Mapping[str, Callable[[random.Random], float]] = {  # each with mean 0 and standard deviation 1
    "normal": lambda dice: dice.gauss(0.0, 1.0),
    "uniform": lambda dice: dice.uniform(-math.sqrt(3), math.sqrt(3)),
    "pareto": _pareto,
}


@dataclass
class Jitter:
    """Deviations from a delay, each correlated with the one before; the spread stays the same."""

    dice: random.Random = field(default_factory=lambda: random.Random(0))
    _unit: float = 0.0

    def draw(self, distribution: str, correlation: float) -> float:
        """The next one, in standard deviations."""
        fresh = math.sqrt(1 - correlation**2) * _DRAWS[distribution](self.dice)
        self._unit = correlation * self._unit + fresh
        return self._unit


@dataclass
class Loss:
    """Which packets are lost: independently of each other, or in bursts (Gilbert–Elliott)."""

    dice: random.Random
    _is_bad: bool = False

    def draw(self, way: OneWay) -> bool:
        """Whether the next packet is lost, or spoilt so that a checksum drops it."""
        if way.corrupt and self.dice.random() < way.corrupt:
            return True
        if way.loss_burst <= 1:
            return way.loss > 0 and self.dice.random() < way.loss
        to_bad, to_good = way.gilbert_elliott
        self._is_bad = self.dice.random() < (1 - to_good if self._is_bad else to_bad)
        return self._is_bad
