"""Paces: what a step that was computed on this host counts for.

Each step is really computed. ``Native`` leaves it at that, ``Dilation`` then waits until the modelled time
has passed, ``Virtual`` waits for nothing and says the modelled time.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from statistics import median

from workbench.errors import UnknownNameError
from workbench.trace import Clock, Label

__all__ = ["PACES", "Dilation", "Native", "Pace", "Virtual", "make_pace", "wait_until"]

_SPIN_S = 2e-4  # a sleep overshoots by about 60 µs: the end of a wait is spun


class Pace(ABC):
    """Gives a step its time. Used by one thread.

    ``overrun_s`` adds up what the host took beyond the modelled time: above zero, the host was too slow
    to pose as the device and the numbers say so.
    """

    clock: Clock
    label: Label  # of the seconds that ``end_step`` gives

    def __init__(self) -> None:
        self.overrun_s = 0.0
        self.steps = 0
        self._ratios: list[float] = []  # measured / modelled

    @abstractmethod
    def end_step(self, started_s: float, modelled_s: float | None) -> float:
        """End a step that began at ``time.perf_counter() == started_s``.

        Args:
            modelled_s: what the device would take; None where the device is this host.

        Returns:
            The seconds that the step counts for.
        """

    @property
    def overruns(self) -> int:
        """Steps in which the host was slower than the device."""
        return sum(ratio > 1 for ratio in self._ratios)

    @property
    def slowness(self) -> float:
        """Median of measured over modelled time, 0 with nothing modelled; above 1 the host cannot pose."""
        return median(self._ratios) if self._ratios else 0.0

    def stats(self) -> dict[str, float]:
        """What a trace says of the pace."""
        return {
            "steps": self.steps,
            "overruns": self.overruns,
            "overrun_s": self.overrun_s,
            "slowness": self.slowness,
        }

    def _note(self, measured_s: float, modelled_s: float) -> None:
        self.steps += 1
        if modelled_s > 0:  # a stage without a block may cost nothing in a model: nothing to compare with
            self._ratios.append(measured_s / modelled_s)
        self.overrun_s += max(0.0, measured_s - modelled_s)


class Native(Pace):
    """This host as it is."""

    clock: Clock = "wall"
    label: Label = "measured"

    def end_step(self, started_s: float, modelled_s: float | None) -> float:
        self.steps += 1
        return time.perf_counter() - started_s


class Dilation(Pace):
    """A slower device: measured work, then a wait until the modelled time."""

    clock: Clock = "wall"
    label: Label = "measured"

    def end_step(self, started_s: float, modelled_s: float | None) -> float:
        if modelled_s is not None:
            self._note(time.perf_counter() - started_s, modelled_s)
            wait_until(started_s + modelled_s)
        return time.perf_counter() - started_s


class Virtual(Pace):
    """Real work, modelled time: for devices that are faster than this host."""

    clock: Clock = "virtual"
    label: Label = "modelled"

    def end_step(self, started_s: float, modelled_s: float | None) -> float:
        measured_s = time.perf_counter() - started_s
        if modelled_s is None:
            return measured_s
        self._note(measured_s, modelled_s)
        return modelled_s


PACES: dict[str, type[Pace]] = {"native": Native, "dilation": Dilation, "virtual": Virtual}


def make_pace(name: str) -> Pace:
    """A fresh pace.

    Raises:
        UnknownNameError: no pace is called so.
    """
    if name not in PACES:
        raise UnknownNameError("pace", name, PACES)
    return PACES[name]()


def wait_until(moment_s: float) -> None:
    """Return when ``time.perf_counter()`` has reached a moment, within a few microseconds."""
    left_s = moment_s - time.perf_counter()
    if left_s > _SPIN_S:
        time.sleep(left_s - _SPIN_S)
    while time.perf_counter() < moment_s:
        pass
