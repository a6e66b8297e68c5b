"""What one direction of a path is like over time, for arithmetic: legs within which nothing changes."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from workbench.links.traces import LinkTrace
from workbench.profiles import Direction, LinkProfile, OneWay

__all__ = ["Course", "Leg"]


@dataclass(frozen=True)
class Leg:
    """What holds in one direction until a moment."""

    way: OneWay
    rtt_s: float
    is_outage: bool
    until_s: float = math.inf


class Course:
    """One direction of a profile, or of a profile that follows a trace from a moment on."""

    def __init__(
        self,
        profile: LinkProfile,
        direction: Direction,
        trace: LinkTrace | None = None,
        *,
        loop: bool = False,
        started_s: float = 0.0,
        is_outage: bool = False,
    ) -> None:
        steps = trace.profiles(profile) if trace is not None else [(0.0, profile, frozenset[Direction]())]
        self._starts_s = [at_s for at_s, _, _ in steps]
        self._legs = [
            Leg(step.way(direction), step.rtt_s, is_outage or direction in out) for _, step, out in steps
        ]
        self._period_s = trace.duration_s if trace is not None and loop else None
        self._started_s = started_s
        self._from_s, self._now = math.inf, self._legs[0]  # the leg that was asked for last

    def at(self, at_s: float) -> Leg:
        """The leg that holds at a moment; it ends later than that."""
        if not self._from_s <= at_s < self._now.until_s:
            self._find(at_s)
        return self._now

    def leaves_s(self, at_s: float, n_bits: float) -> float:
        """When a line that is free from a moment on has sent so much; infinite if it never does."""
        while at_s < math.inf:
            leg = self.at(at_s)
            done_s = math.inf if leg.is_outage else at_s + n_bits / leg.way.rate_bps
            if done_s <= leg.until_s:
                return done_s
            n_bits -= 0.0 if leg.is_outage else (leg.until_s - at_s) * leg.way.rate_bps
            at_s = leg.until_s
        return at_s

    def _find(self, at_s: float) -> None:
        if len(self._legs) == 1 and self._period_s is None:
            self._from_s = -math.inf
            return
        origin_s = self._started_s
        if self._period_s is not None:
            origin_s += max(0.0, at_s - origin_s) // self._period_s * self._period_s
        index = max(0, bisect_right(self._starts_s, at_s - origin_s) - 1)
        until_s = self._end_s(origin_s, index)
        if until_s <= at_s:  # a moment that rounding put just before the change at it
            index, until_s = index + 1, self._end_s(origin_s, index + 1)
        leg = self._legs[index % len(self._legs)]
        self._from_s, self._now = at_s, Leg(leg.way, leg.rtt_s, leg.is_outage, until_s)

    def _end_s(self, origin_s: float, index: int) -> float:
        rounds, index = divmod(index + 1, len(self._legs))
        if rounds and self._period_s is None:
            return math.inf
        return origin_s + rounds * (self._period_s or 0.0) + self._starts_s[index]
