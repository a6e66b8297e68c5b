"""Whole cores of this host for a process: CPU affinity."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from workbench.devices.base import Throttle, family
from workbench.errors import ThrottleError

__all__ = ["AffinityThrottle"]

_ROUNDS = 20  # threads that start while the others are moved are found in the next round


class AffinityThrottle(Throttle):
    """Keeps a process and all its threads on some of this host's cores.

    Args:
        cpus: the cores by number, or how many: the first ones that this process may use.

    Raises:
        ThrottleError: no core, one that this process may not use, or no Linux.
    """

    kind = "affinity"
    models = ("compute, in whole cores",)
    omits = ("memory size", "memory bandwidth", "shares of a core", "a slower core")

    def __init__(self, cpus: int | Iterable[int]) -> None:
        super().__init__()
        self._cpus = _chosen(cpus)
        self.threads = len(self._cpus)
        self._before: list[tuple[psutil.Process, set[int], dict[int, set[int]]]] = []  # and by thread

    def hold(self, pid: int) -> None:
        self._check_open()
        try:
            for process in family(pid):
                self._move(process)
        except ThrottleError:
            self._restore()
            raise
        self._settings = {"cpus": sorted(self._cpus)}

    def close(self) -> None:
        self._closed = True
        self._restore()

    def _move(self, process: psutil.Process) -> None:
        before: dict[int, set[int]] = {}
        with contextlib.suppress(ProcessLookupError):
            self._before.append((process, os.sched_getaffinity(process.pid), before))
            for _ in range(_ROUNDS):
                others = [t for t in _threads(process.pid) if _cpus_of(t) not in (self._cpus, None)]
                if not others:
                    return
                for thread in others:
                    before.setdefault(thread, _cpus_of(thread) or set())
                    self._set(thread)
            raise ThrottleError(
                f"process {process.pid} does not stay on cores {sorted(self._cpus)}: something else moves "
                "it; end that, or use throttle='dilation'"
            )

    def _set(self, thread: int) -> None:
        try:
            os.sched_setaffinity(thread, self._cpus)
        except ProcessLookupError:
            pass  # it has ended
        except OSError as error:
            raise ThrottleError(
                f"cores {sorted(self._cpus)} cannot be set for {thread} ({error.strerror}): another user's "
                "process, or cores that an outer group keeps; use throttle='dilation'"
            ) from error

    def _restore(self) -> None:
        known = {process.pid: threads for process, _, threads in self._before}
        for process, usual, _ in self._before:
            if process.is_running():  # the number may be another's by now
                for pid in [process.pid, *(p.pid for p in process.children(recursive=True))]:
                    _set_threads(pid, known.get(pid, {}), usual)
        self._before.clear()


def _chosen(cpus: int | Iterable[int]) -> set[int]:
    if not hasattr(os, "sched_setaffinity"):
        raise ThrottleError("CPU affinity needs Linux: use throttle='dilation', which needs nothing")
    usable = sorted(os.sched_getaffinity(0))
    asked = set(usable[: max(0, cpus)]) if isinstance(cpus, int) else set(cpus)
    if not asked or (isinstance(cpus, int) and cpus > len(usable)) or not asked <= set(usable):
        raise ThrottleError(
            f"affinity to {cpus if isinstance(cpus, int) else sorted(asked)} cannot be: "
            f"this process may use cores {usable}; choose at least one of them"
        )
    return asked


def _threads(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    return []


def _set_threads(pid: int, cpus: Mapping[int, set[int]], usual: set[int]) -> None:
    for thread in _threads(pid):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(thread, cpus.get(thread, usual))


def _cpus_of(thread: int) -> set[int] | None:
    """None once it has ended."""
    with contextlib.suppress(ProcessLookupError):
        return os.sched_getaffinity(thread)
    return None
