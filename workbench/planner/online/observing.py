"""What a runtime can see of its world: late, noisy, and only the past."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from workbench.errors import InputError

__all__ = ["Estimator", "LoadTrace", "Observation", "Sensor"]


@dataclass(frozen=True)
class Observation:
    """The link and the devices as they seem at a moment."""

    time_s: float
    uplink_bps: float  # of the user's link, the last that was seen where it is down
    downlink_bps: float
    rtt_s: float
    load: Mapping[str, float] = field(
        default_factory=dict
    )  # by place: so many times slower than when idle; else 1
    link_up: bool = True  # False: nothing has come through of late

    def __post_init__(self) -> None:
        for name in ("uplink_bps", "downlink_bps"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(
                    f"{name} is above 0 and finite, got {getattr(self, name)}: say link_up=False"
                )
        for name in ("time_s", "rtt_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} is finite and not negative, got {getattr(self, name)}")
        for place, factor in self.load.items():
            _check_load(place, factor)


@dataclass(frozen=True)
class LoadTrace:
    """By how much others slow a place's device down, over time; nobody does before the first step."""

    place: str
    steps: tuple[tuple[float, float], ...]  # (seconds from the start, factor of at least 1)

    def __post_init__(self) -> None:
        for at_s, factor in self.steps:
            _check_load(self.place, factor)
            if not 0 <= at_s < math.inf:
                raise InputError(
                    f"load of {self.place!r} changes at a finite time of 0 s or later, got {at_s}"
                )
        if any(after <= before for (before, _), (after, _) in pairwise(self.steps)):
            raise InputError(f"load of {self.place!r}: time runs backwards in {self.steps}")

    def at(self, at_s: float) -> float:
        """The factor that holds then."""
        return next((factor for begun_s, factor in reversed(self.steps) if begun_s <= at_s), 1.0)


@dataclass
class Estimator:
    """Exponential smoothing of what was seen.

    The round trip as TCP does it, SRTT <- (1 - g) SRTT + g R with g = 1/8 (Jacobson and Karels, SIGCOMM
    1988; RFC 6298, section 2). Rates with the same gain, but of seconds per bit: times add up, rates do
    not, which is why players of video take the harmonic mean (Jiang et al., "FESTIVE", CoNEXT 2012). The
    load likewise.
    """

    gain: float = 1 / 8
    _mean: Observation | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if not 0 < self.gain <= 1:
            raise InputError(f"a gain is above 0 and at most 1, got {self.gain}")

    def update(self, seen: Observation) -> Observation:
        """What to believe now. While the link is down nothing is learned of it."""
        old = self._mean or seen
        load = {p: self._mix(old.load.get(p, 1.0), seen.load.get(p, 1.0)) for p in {*old.load, *seen.load}}
        self._mean = replace(old, time_s=seen.time_s, load=load, link_up=seen.link_up)
        if seen.link_up:
            self._mean = replace(
                self._mean,
                uplink_bps=1 / self._mix(1 / old.uplink_bps, 1 / seen.uplink_bps),
                downlink_bps=1 / self._mix(1 / old.downlink_bps, 1 / seen.downlink_bps),
                rtt_s=self._mix(old.rtt_s, seen.rtt_s),
            )
        return self._mean

    def _mix(self, old: float, new: float) -> float:
        return new if self.gain == 1 else old + self.gain * (new - old)


@dataclass(frozen=True)
class Sensor:
    """How well a runtime sees: samples of its own requests, each some percent off and some time old."""

    noise: float = 0.15  # standard deviation of a sample's logarithm: about its relative error
    lag_s: float = 0.25  # a sample tells of what was so long ago; an outage shows no sooner
    every_s: float = 0.25  # between two samples: every token brings one
    gain: float = 1 / 8  # of the estimator that the samples feed
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.noise < math.inf and 0 <= self.lag_s < math.inf and 0 < self.every_s < math.inf):
            raise InputError(
                f"noise and lag of a sensor are not negative, its interval is above 0: got {self.noise}, "
                f"{self.lag_s} s and {self.every_s} s"
            )
        Estimator(self.gain)

    @classmethod
    def perfect(cls, every_s: float = 0.25) -> Sensor:
        """Sees what is."""
        return cls(noise=0.0, lag_s=0.0, every_s=every_s, gain=1.0)

    def noisy(self, truths: Sequence[Observation]) -> list[Observation]:
        """Samples of the truth, each off by its own draw."""
        rng = np.random.default_rng(self.seed)
        factors = np.exp(self.noise * rng.standard_normal((len(truths), 4)))
        return [_times(truth, *map(float, row)) for truth, row in zip(truths, factors, strict=True)]


def _times(seen: Observation, up: float, down: float, rtt: float, load: float) -> Observation:
    return replace(
        seen,
        uplink_bps=seen.uplink_bps * up,
        downlink_bps=seen.downlink_bps * down,
        rtt_s=seen.rtt_s * rtt,
        load={place: max(1.0, factor * load) for place, factor in seen.load.items()},
    )


def _check_load(place: str, factor: float) -> None:
    if not 1 <= factor < math.inf:
        raise InputError(f"load of {place!r} is by how many times it is slower, 1 or more: got {factor}")
