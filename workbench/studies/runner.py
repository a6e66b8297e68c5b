"""The life of a search in a process of its own: started, paused, resumed, cancelled, without any widget."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from workbench.devices.threads import WORKER_ENVIRONMENT
from workbench.errors import CancelledRunError, InputError, PeerLostError, StudyError, UnknownNameError
from workbench.runtime.process import Child
from workbench.studies import store
from workbench.studies.sampling import SAMPLERS

__all__ = ["RunState", "StudyRunner"]

RunState = Literal["idle", "starting", "running", "paused", "done", "cancelled", "failed"]
_ACTIVE = ("starting", "running")
_STOP_S = 0.7  # how long a search may take to stop by itself
_POLL_S = 0.02
_BUSY_S = 0.5  # how long another process may hold the file when a search has ended


class StudyRunner:
    """Searches one study in a child process: the caller never waits for a trial, and a stop always acts.

    A search that does not stop by itself within 0.7 s is killed; its trial is marked failed at once. How many
    plans were asked for in all is kept in the study's file, so that a runner made later, after a restart or
    a crash, knows how many remain and goes on. When this process ends, however it does, so does the search.

    Methods may be called from any thread.

    Args:
        storage: the study's SQLite file or ``sqlite:///`` URL; the study is there already.
        name: of the study; may be left out where the file has one.
        model: name or folder of the model, by default the name that the study began with; loaded by the
            search alone, and only where an objective needs weights.
        sampler: one of `sampling.SAMPLERS`.
        seed: makes the sampler's choices repeatable.
        on_change: called with this runner at each change of state and after each new trial, in a thread of
            the runner's that waits for it: keep it short, hand anything longer to a thread of your own, and
            raise nothing.

    Raises:
        StudyError: no such file or study, several and no name, or another process holds the file.
        StudyVersionError: another version wrote the file or the study.
        UnknownNameError: no sampler is called so.
    """

    def __init__(
        self,
        storage: str | os.PathLike[str],
        name: str | None = None,
        *,
        model: str | None = None,
        sampler: str = "tpe",
        seed: int | None = 0,
        on_change: Callable[[StudyRunner], None] | None = None,
    ) -> None:
        if sampler not in SAMPLERS:
            raise UnknownNameError("sampler", sampler, SAMPLERS)
        self._file = store.file_of(storage)
        store.check_usable(self._file)
        self._kept = store.open_study(self._file, name)
        store.read_question(self._kept)
        self._config = {
            "storage": str(self._file),
            "name": self._kept.study_name,
            "model": model,
            "sampler": sampler,
            "seed": seed,
        }
        self._on_change = on_change
        self._lock = threading.Lock()  # held while a search begins, and while its end is written down
        self._stop = threading.Event()
        self._wish: Literal["paused", "cancelled"] | None = None  # what a stop under way was asked for
        self._child: Child | None = None
        self._thread: threading.Thread | None = None
        self._over = threading.Event()  # no search runs
        self._over.set()
        self._closed = False
        self._error: Exception | None = None
        self._target = store.read_target(self._kept)
        self._remaining = max(0, (self._target or 0) - store.n_tried(self._kept))
        self._state: RunState = "idle" if self._target is None else "paused" if self._remaining else "done"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """Of the study in its file."""
        return self._kept.study_name

    @property
    def state(self) -> RunState:
        """What the search does; ``"running"`` until a stop has taken effect."""
        return self._state

    @property
    def remaining(self) -> int:
        """How many plans are still to be tried of those asked for."""
        return self._remaining

    @property
    def error(self) -> Exception | None:
        """What ended the search in the state ``"failed"``."""
        return self._error

    def other_workers(self) -> tuple[int, ...]:
        """Process ids of those on this host that run a trial of this study, this runner's search aside.

        Raises:
            StudyError: the file cannot be read.
        """
        child = self._child
        with store.translated(self.name):
            return tuple(sorted(store.live_workers(self._kept) - {child.pid if child else None}))

    # --- commands ----------------------------------------------------------------------------------------

    def start(self, n_trials: int) -> None:
        """Try ``n_trials`` plans more, whatever remained before; fewer where the space has no more.

        Raises:
            InputError: ``n_trials`` is less than 1.
            StudyError: a search runs, or the runner is closed.
        """
        if n_trials < 1:
            raise InputError(f"a search needs at least one trial: got {n_trials}")
        self._launch(n_trials)

    def resume(self) -> None:
        """Go on with the plans that remain, after a pause, a failure or a restart.

        Raises:
            StudyError: nothing remains, a search runs, or the runner is closed.
        """
        self._launch(None)

    def pause(self) -> None:
        """End the search within a second and keep what remains. Returns at once; nothing where none runs."""
        self._ask("paused")

    def cancel(self) -> None:
        """End the search within a second and drop what remains. Returns at once."""
        self._ask("cancelled")

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until no search runs, for ``timeout_s`` at most; says whether that is so.

        Not by the thread's ``join``: CPython 3.11 takes a thread for ended whose ``join`` Ctrl-C interrupts.
        """
        return threading.current_thread() is self._thread or self._over.wait(timeout_s)

    def close(self) -> None:
        """Pause, wait, and begin nothing more. May be called again."""
        with self._lock:
            self._closed = True
        self.pause()
        self.wait()

    def _launch(self, n_trials: int | None) -> None:
        if self._wish is not None:
            self.wait()
        with self._lock:
            self._check_ready(n_trials)
            target = self._target if n_trials is None else None
            asked = self._remaining if n_trials is None else n_trials
            config = {**self._config, "target": target, "n_trials": asked}
            self._child = child = Child("workbench.studies.worker", config, WORKER_ENVIRONMENT)
            self._target, self._remaining = target, asked
            self._state, self._error = "starting", None
            self._stop.clear()
            self._run(lambda: self._search(child))

    def _check_ready(self, n_trials: int | None) -> None:
        if self._closed:
            raise StudyError(f"the runner of study {self.name!r} is closed: make another")
        if self._state in _ACTIVE:
            raise StudyError(f"study {self.name!r} is being searched: pause or cancel that first")
        if n_trials is None and not self._remaining:
            raise StudyError(f"nothing of study {self.name!r} is left to resume: start it with more trials")

    def _ask(self, wish: Literal["paused", "cancelled"]) -> None:
        with self._lock:
            if self._state in _ACTIVE:
                self._wish = self._wish if self._wish == "cancelled" else wish
                self._stop.set()
            elif wish == "cancelled" and self._remaining:
                self._wish = wish
                self._run(lambda: self._conclude(None))

    def _run(self, work: Callable[[], None]) -> None:
        def until_over() -> None:
            try:
                work()
            finally:
                self._over.set()

        self._over.clear()
        self._thread = threading.Thread(target=until_over, name="study-runner", daemon=True)
        self._thread.start()

    # --- in the runner's thread --------------------------------------------------------------------------

    def _search(self, child: Child) -> None:
        error: Exception | None = None
        try:
            self._changed()
            self._follow(child)
        except CancelledRunError:
            _halt(child)
        except Exception as found:  # noqa: BLE001  (whatever it is, the user has to hear of it)
            error = found
        child.close()
        self._child = None
        self._conclude(error)

    def _follow(self, child: Child) -> None:
        """Keep up with the search until it ends.

        Raises:
            CancelledRunError: a stop was asked for.
            PeerLostError: the process ended without a word.
            WorkbenchError: what went wrong in the process.
        """
        while (event := child.receive(threading.TIMEOUT_MAX, stop=self._stop))["event"] != "end":
            if event["event"] == "ready":
                self._target, self._remaining = event["target"], event["remaining"]
                self._state = "running"
            else:
                self._remaining -= 1
            self._changed()

    def _conclude(self, error: Exception | None) -> None:
        """Write down how a search ended and say so."""
        with self._lock:
            error = None if self._wish else _explained(error)
            try:
                self._write_down(finished=not (self._wish or error))
            except StudyError as unusable:
                error = error or unusable
            self._error, self._state = error, self._final_state(error)
            self._wish = None
        self._changed()

    def _write_down(self, *, finished: bool) -> None:
        """Fail the trial of a search that was killed, and keep or drop what remains.

        Raises:
            StudyError: another process holds the file.
        """
        store.check_usable(self._file, _BUSY_S)
        with store.translated(self.name):
            store.fail_trials_of_dead_workers(self._kept, alone=not store.live_workers(self._kept))
            tried = store.n_tried(self._kept)
            if finished:
                self._target = tried  # where the space has no more plans, fewer than were asked for
            elif self._wish == "cancelled":
                self._target = None
            elif self._target is None:
                self._target = tried + self._remaining
            store.write_target(self._kept, self._target)
            store.settle(self._kept._storage)
        self._remaining = max(0, (self._target or 0) - tried)

    def _final_state(self, error: Exception | None) -> RunState:
        if error is not None:
            return "failed"
        if self._wish == "cancelled":
            return "cancelled"
        return "paused" if self._remaining else "done"

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change(self)


def _halt(child: Child) -> None:
    """Let a search stop by itself for a moment, then end it."""
    with contextlib.suppress(PeerLostError):
        child.send({"command": "cancel"})
    end = time.monotonic() + _STOP_S
    while child.alive and time.monotonic() < end:
        time.sleep(_POLL_S)
    child.kill()


def _explained(error: Exception | None) -> Exception | None:
    if not isinstance(error, PeerLostError):
        return error
    found = StudyError(f"the search was ended from outside: {error}. Resume goes on after its last plan")
    found.__cause__ = error
    return found
