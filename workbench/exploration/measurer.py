"""Runs beside everything else: one at a time, each in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from workbench.errors import CancelledRunError, InputError
from workbench.exploration.measure import measure
from workbench.exploration.runs import Run
from workbench.exploration.setting import Setting

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["Measurer"]

_POLL_S = 0.02
_END_S = 5.0


class Measurer:
    """Starts, watches and cancels runs. Methods may be called from any thread.

    The callbacks run in the run's own thread and have to return soon.

    Args:
        quiet: a context in which nothing else of the caller's computes; entered around each run.
        on_stage: told what happens now, in words.
        on_token: gets each piece of text.
        on_end: gets what a run gave, or the exception that ended it.
    """

    def __init__(
        self,
        model: Model,
        *,
        quiet: Callable[[], AbstractContextManager[None]],
        on_stage: Callable[[str], None],
        on_token: Callable[[str], None],
        on_end: Callable[[Run | Exception], None],
    ) -> None:
        self._model, self._quiet = model, quiet
        self._on_stage, self._on_token, self._on_end = on_stage, on_token, on_end
        self._lock = threading.Lock()
        self._stop: threading.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether a run goes on; false once ``on_end`` has returned."""
        return self._stop is not None

    def start(
        self, setting: Setting, prompt: str = "", *, on_begin: Callable[[], None] = lambda: None
    ) -> None:
        """Begin a run and return at once.

        Args:
            on_begin: is told before anything else is, however soon the run ends.

        Raises:
            InputError: a run goes on already.
        """
        with self._lock:
            if self._stop is not None:
                raise InputError("one run at a time: wait for it, or cancel it first")
            self._stop = threading.Event()
            arguments = (setting, prompt, self._stop)
            self._thread = threading.Thread(target=self._run, args=arguments, name="measurer", daemon=True)
            on_begin()
            self._thread.start()

    def cancel(self) -> bool:
        """End the run that goes on, within a second; False where there is none."""
        stop = self._stop
        if stop is not None:
            stop.set()
        return stop is not None

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait for the run that goes on.

        Raises:
            CancelledRunError: Ctrl-C was pressed, or the kernel interrupted: the run is ended.
            TimeoutError: it goes on still.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while self.running:
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"the run goes on after {timeout_s} s: wait longer, or cancel it")
                time.sleep(_POLL_S)
        except KeyboardInterrupt:
            self.cancel()
            raise CancelledRunError("interrupted: the run is ended, the panel can be used again") from None

    def close(self) -> None:
        """Cancel, and wait until nothing is left. May be called again."""
        self.cancel()
        if self._thread is not None:
            self._thread.join(_END_S)

    def _run(self, setting: Setting, prompt: str, stop: threading.Event) -> None:
        try:
            self._on_end(self._outcome(setting, prompt, stop))
        finally:
            self._stop = None

    def _outcome(self, setting: Setting, prompt: str, stop: threading.Event) -> Run | Exception:
        try:
            with self._quiet():
                return measure(
                    self._model,
                    setting,
                    prompt=prompt,
                    stop=stop,
                    on_stage=self._on_stage,
                    on_token=self._on_token,
                )
        except Exception as error:  # noqa: BLE001  (whatever it is, the panel has to hear of it)
            return error
