"""Jitter and loss: what differs from packet to packet, as dice and on average."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import NormalDist

from workbench.profiles import OneWay

__all__ = ["Jitter", "Loss", "lateness_s"]

_FRAME_BITS = 1514 * 8
_FAR = 6.0  # standard deviations, beyond which nothing is expected
_STEP = 0.05


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


def lateness_s(way: OneWay, packets: int) -> float:
    """How late the last of several packets is on average, sent together, that keep their order.

    Each has a delay of its own, and none overtakes: behind the latest, all that follow take their time on the
    line once more. Delays are taken as normally distributed.
    """
    own_s = way.jitter_s * math.sqrt(1 - way.jitter_correlation)  # what packets do not have in common
    return 0.0 if own_s == 0 or packets <= 1 else own_s * _latest(packets, _FRAME_BITS / way.rate_bps / own_s)


@lru_cache(maxsize=4096)
def _latest(packets: int, apart: float) -> float:
    """Of packets so many standard deviations apart."""
    apart = float(f"{apart:.2g}")
    return _largest(min(packets, 1 + math.ceil(2 * _FAR / apart), 400), apart)


@lru_cache(maxsize=4096)
def _largest(count: int, apart: float) -> float:
    """Mean of ``max(z_j - j * apart)`` over so many independent standard normal z_j, j = 0, 1, …"""
    below = NormalDist().cdf
    points = [-_FAR + (index + 0.5) * _STEP for index in range(int(2 * _FAR / _STEP))]
    chances = (math.prod(below(x + j * apart) for j in range(count)) for x in points)
    return sum((x > 0) - chance for x, chance in zip(points, chances, strict=True)) * _STEP
