"""What a watched path is asked to be: a profile, a trace over it, an outage over both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from workbench.links import Link, LinkTrace
from workbench.links.traces import LinkStep
from workbench.profiles import Direction, LinkProfile

__all__ = ["LinkOrder", "from_here", "read_trace", "trace_to_dict"]

_WAYS: tuple[Direction, Direction] = ("up", "down")


class LinkOrder:
    """Any of the three may change at any time and leaves the others as they are. Times are by one clock.

    A link by itself ends its trace when its profile changes, and its outage too: here they go on, because a
    slider that is moved should do no more than it says.
    """

    def __init__(self, profile: LinkProfile) -> None:
        self._profile = profile
        self._trace: LinkTrace | None = None
        self._loop, self._began_s = False, 0.0
        self._until_s = -math.inf  # an outage

    def change(self, profile: LinkProfile) -> None:
        """Another profile, below the trace where there is one.

        Raises:
            ProfileError: the trace cannot be put on it.
        """
        if self._trace is not None:
            self._trace.profiles(profile)
        self._profile = profile

    def follow(self, trace: LinkTrace | None, now_s: float, *, loop: bool) -> None:
        """Change as a trace says from now on; None stays with the profile.

        Raises:
            ProfileError: the trace cannot be put on the profile.
        """
        if trace is not None:
            trace.profiles(self._profile)
        self._trace, self._loop, self._began_s = trace, loop, now_s

    def outage(self, for_s: float, now_s: float) -> None:
        """Let nothing through for a while."""
        self._until_s = now_s + for_s

    def resume(self) -> None:
        """End such an outage."""
        self._until_s = -math.inf

    def next_s(self, now_s: float) -> float:
        """When the link has to be told again: at an outage's end; infinite where there is none."""
        return self._until_s if now_s < self._until_s else math.inf

    def at(self, now_s: float) -> tuple[LinkProfile, frozenset[Direction]]:
        """What is asked for at a moment, and which directions are to let nothing through."""
        profile, out = self._profile, frozenset[Direction]()
        if self._trace is not None:
            at_s = now_s - self._began_s
            profile = self._trace.profile_at(self._profile, at_s, loop=self._loop)
            step = self._trace.at(at_s, loop=self._loop)
            out = frozenset(way for way in _WAYS if step.is_outage(way))
        return profile, frozenset(_WAYS) if now_s < self._until_s else out

    def enact(self, link: Link, now_s: float) -> None:
        """Tell a link; a trace goes on from where it is.

        Raises:
            LinkError: the link cannot do it.
        """
        link.change(self._profile)
        if now_s < self._until_s:
            link.pause()
        elif self._trace is not None:
            link.follow(from_here(self._trace, now_s - self._began_s, loop=self._loop), loop=self._loop)


def from_here(trace: LinkTrace, at_s: float, *, loop: bool) -> LinkTrace:
    """The rest of a trace as one of its own; where it loops, with what was before at its end."""
    if loop:
        at_s %= trace.duration_s
    if at_s <= 0:
        return trace
    now = replace(trace.at(at_s), at_s=0.0)
    later = [replace(step, at_s=step.at_s - at_s) for step in trace.steps if step.at_s > at_s]
    if not loop:
        rest_s = max(trace.duration_s - at_s, 1.0)
        return replace(trace, steps=(now, *later), duration_s=rest_s)
    whole = trace.steps if trace.steps[0].at_s == 0 else (LinkStep(0.0), *trace.steps)
    left_s = trace.duration_s - at_s
    before = [step for step in whole if step.at_s + left_s < trace.duration_s]
    again = [replace(step, at_s=step.at_s + left_s) for step in before]
    return replace(trace, steps=tuple(_rising([now, *later, *again])))


def _rising(steps: list[LinkStep]) -> list[LinkStep]:
    """Of steps at one moment, which rounding may make, the last."""
    return list({step.at_s: step for step in steps}.values())


def trace_to_dict(trace: LinkTrace) -> dict[str, Any]:
    """Plain JSON types; ``read_trace`` reads them back. Its sources stay behind."""
    return {**asdict(trace), "sources": {}}


def read_trace(data: Mapping[str, Any]) -> LinkTrace:
    """Read what ``trace_to_dict`` gave."""
    return LinkTrace(**{**data, "steps": tuple(LinkStep(**step) for step in data["steps"])})
