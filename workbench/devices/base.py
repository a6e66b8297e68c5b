"""The one contract of all throttles. A throttle makes a process of this host pose as a device."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import psutil

from workbench.errors import ThrottleError

__all__ = ["Throttle", "family"]

_READ_BACK = 1e-6  # shares are kept in whole bytes


class Throttle(ABC):
    """Holds the process of one stage, and what it starts, to what a device has.

    Guarantees of every kind: nothing is set before ``hold``; ``hold`` reads back what it set, and where that
    is not what was asked for it restores everything and raises; ``close`` restores everything, is idempotent
    and is called by the context manager; when the owner of a throttle ends in whatever way, nothing of it is
    left within two seconds. Several throttles, of one owner or of several, do not touch each other. Methods
    may be called from any thread, one at a time.
    """

    kind: str  # "dilation", "cgroup", "affinity" or "gpu-memory"; never one standing in silently for another
    models: tuple[str, ...]  # what of a device it reproduces
    omits: tuple[str, ...]  # what it does not; shown to the user
    pace: str = "native"  # one of devices.PACES: what a step of its stages counts for
    threads: int | None = None  # the most that its stages may compute with; None sets no bound

    def __init__(self) -> None:
        self._settings: dict[str, Any] = {}
        self._closed = False

    def environment(self) -> dict[str, str]:
        """What the process must be started with: it is read once, before the first operation."""
        return {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}

    def options(self) -> dict[str, float]:
        """What the process sets for itself, by ``devices.apply_options``."""
        return {}

    @abstractmethod
    def hold(self, pid: int) -> None:
        """Hold a process that has just started and loaded nothing yet. Again for each further one.

        Args:
            pid: as this process sees it, whatever namespaces that one is in.

        Raises:
            ThrottleError: it cannot be held here, what was read back is not what was set, the process is
                gone, or the throttle is closed. Nothing is left set.
        """

    def confirm(self, applied: Mapping[str, float]) -> None:
        """Take what ``devices.apply_options`` read back in the process.

        Raises:
            ThrottleError: it is not what ``options`` asked for.
        """
        wrong = {
            name: applied.get(name)
            for name, value in self.options().items()
            if not math.isclose(applied.get(name, math.nan), value, rel_tol=_READ_BACK)
        }
        if wrong:
            raise ThrottleError(f"{self.kind}: asked for {self.options()}, the process has {wrong}")
        self._settings |= applied

    @property
    def settings(self) -> dict[str, Any]:
        """What was read back of what is set, with units in the names; empty before ``hold``."""
        return dict(self._settings)

    def verdict(self) -> str | None:
        """Why a process that was held has ended, with the way out; None where not by this throttle."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Restore everything that was set. A process that still runs goes on, unthrottled."""

    def _check_open(self) -> None:
        if self._closed:
            raise ThrottleError(f"this {self.kind} throttle is closed: make another")

    def __enter__(self) -> Throttle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it has started.

    Raises:
        ThrottleError: there is no such process.
    """
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        raise ThrottleError(f"process {pid} has ended before it could be held") from None
