"""One thread that does a panel's work in order: callbacks only hand jobs over."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Worker"]

Job = Callable[[], None]
_END_S = 5.0


class Worker:
    """Runs jobs one after the other in a thread of its own.

    A job that still waits is replaced by a later one of the same key: of a burst, the last counts. ``post``
    may be called from any thread and returns at once. A job's exception goes to ``on_error``, in the worker's
    thread, and the next job runs all the same.
    """

    def __init__(self, name: str, on_error: Callable[[Exception], None]) -> None:
        self._on_error = on_error
        self._jobs: dict[str, Job] = {}
        self._changed = threading.Condition()
        self._busy = self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def post(self, key: str, job: Job) -> None:
        """Have a job done, in place of a waiting one of that key. Nothing happens once closed."""
        with self._changed:
            self._jobs.pop(key, None)
            self._jobs[key] = job
            self._changed.notify_all()

    def waiting(self, key: str) -> bool:
        """Whether a newer job of that key has come: what is being done has become useless."""
        with self._changed:
            return key in self._jobs

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until nothing is left to do; False where that took longer. Not for the worker's own thread."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed or not (self._jobs or self._busy), timeout_s)

    def close(self) -> None:
        """Let the running job end and forget the others. May be called again."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(_END_S)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception as error:  # noqa: BLE001  (whatever it is, the panel says it and goes on)
                self._on_error(error)

    def _next(self) -> Job | None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or bool(self._jobs))
            if self._closed:
                return None
            self._busy = True
            return self._jobs.pop(next(iter(self._jobs)))
