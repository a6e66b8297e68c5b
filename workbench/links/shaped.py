"""What links have in common that another process enacts: how they change, and what holds at a moment."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from time import monotonic
from typing import Any

from workbench.links.base import Link, shape_of
from workbench.links.timetable import OUTAGE
from workbench.links.traces import LinkTrace
from workbench.profiles import LinkProfile

__all__ = ["ShapedLink"]


class ShapedLink(Link):
    """A real path with a helper process, which is told shapes and timetables."""

    def __init__(self, profile: LinkProfile) -> None:
        self._profile = profile  # the last that was set; what a trace is put on
        self._followed: tuple[LinkTrace, bool, float] | None = None  # with whether it loops and when it began
        self._paused = False

    @abstractmethod
    def _shape(self, shape: Mapping[Any, Any]) -> None:
        """Enact a shape from now on, instead of any timetable."""

    @abstractmethod
    def _keep(self, rows: list[tuple[float, Any]], period_s: float | None, started_s: float) -> None:
        """Enact a timetable from ``started_s`` of ``time.monotonic`` on."""

    @abstractmethod
    def _check_open(self) -> None:
        """Raise a LinkError where the link is closed."""

    @property
    def profile(self) -> LinkProfile:
        if self._followed is None:
            return self._profile
        trace, loop, started_s = self._followed
        return trace.profile_at(self._profile, monotonic() - started_s, loop=loop)

    def profiles(self) -> list[LinkProfile]:
        """All that it is shaped to in turn: several while it follows a trace."""
        if self._followed is None:
            return [self._profile]
        return [profile for _, profile, _ in self._followed[0].profiles(self._profile)]

    def change(self, profile: LinkProfile) -> None:
        self._shape(shape_of(profile))
        self._profile, self._followed, self._paused = profile, None, False

    def follow(self, trace: LinkTrace, *, loop: bool = False) -> None:
        rows, started_s = trace.shapes(self._profile), monotonic()
        self._keep(rows, trace.duration_s if loop else None, started_s)
        self._followed, self._paused = (trace, loop, started_s), False

    def pause(self) -> None:
        held = self.profile
        self._shape(OUTAGE)
        self._profile, self._followed, self._paused = held, None, True

    def resume(self) -> None:
        """End an outage that ``pause`` began; one of a trace ends as the trace says."""
        if self._paused:
            self.change(self._profile)
        else:
            self._check_open()
