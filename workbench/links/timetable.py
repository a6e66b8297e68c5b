"""When a path is to change next: what lets a helper process follow a trace by its own clock.

Rows are plain JSON, so that they may be sent: ``[at_s, shape]``, in order of time. A shape has the fields of
``OneWay`` by direction; ``None`` instead of a direction, or of all of it, is an outage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["OUTAGE", "Timetable"]

OUTAGE: Mapping[str, Any] = {"up": None, "down": None}


@dataclass
class Timetable:
    """Changes that come due one after the other: sleep until ``next_s``, then ask ``due``."""

    rows: Sequence[Sequence[Any]]  # [seconds from the start, shape]
    period_s: float | None  # begin again after this long; None: once
    started_s: float  # of the clock that is followed, e.g. time.monotonic
    _index: int = field(default=0, init=False)  # of the row that comes next
    _round: int = field(default=0, init=False)  # which repetition that is in

    def next_s(self) -> float:
        """When the next change is due, by the clock that is followed; infinite where none comes any more."""
        if self._index >= len(self.rows):
            return math.inf
        return self.started_s + self._round * (self.period_s or 0.0) + float(self.rows[self._index][0])

    def due(self, now_s: float) -> Mapping[str, Any] | None:
        """The shape that holds from now on: the last of those due since the last call. None: no change."""
        self._skip_rounds(now_s)
        shape = None
        while self.next_s() <= now_s:
            shape = self.rows[self._index][1] or OUTAGE
            self._index += 1
            if self._index == len(self.rows) and self.period_s is not None:
                self._index, self._round = 0, self._round + 1
        return shape

    def _skip_rounds(self, now_s: float) -> None:
        """After a long sleep: of what was missed only the last two rounds can matter."""
        if self.period_s is None or not self.rows:
            return
        behind = math.floor((now_s - self.started_s) / self.period_s) - 2
        if behind > self._round:
            self._index, self._round = 0, behind
