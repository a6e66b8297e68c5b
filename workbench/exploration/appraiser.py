"""Accuracies of plans, measured beside everything else in a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workbench.errors import CancelledRunError, WorkbenchError
from workbench.plan import Plan
from workbench.records import Accuracy
from workbench.runtime.process import Child

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["Appraiser"]

_SETTLE_S = 0.25  # without a newer plan, before the work begins
_ANSWER_S = 3600.0
_GRACE_S = 1.0  # for an evaluation that is given up to end, before its process is
_ENVIRONMENT = {"TOKENIZERS_PARALLELISM": "false"}


class Appraiser:
    """Finds the accuracy of the plan that was asked for last; an evaluation of an older one is given up.

    Methods may be called from any thread and, but for ``close``, return at once. The two callbacks run in the
    appraiser's own thread.

    Args:
        on_found: gets a plan with its accuracy.
        on_failed: gets a plan with what kept it from being evaluated.
        suite: ``"quick"`` or ``"full"``.
    """

    def __init__(
        self,
        model: Model,
        on_found: Callable[[Plan, Accuracy], None],
        on_failed: Callable[[Plan, WorkbenchError], None],
        *,
        suite: str = "quick",
    ) -> None:
        self._model, self._suite = model, suite
        self._on_found, self._on_failed = on_found, on_failed
        self._known: dict[str, Accuracy] = {}
        self._wanted: Plan | None = None
        self._changed = threading.Condition()
        self._give_up = threading.Event()
        self._held = 0
        self._idle = True
        self._closing = threading.Event()
        self._child: Child | None = None
        self._thread: threading.Thread | None = None

    def known(self, plan: Plan) -> Accuracy | None:
        """What has been found of a plan."""
        return self._known.get(plan.key)

    def ask(self, plan: Plan) -> None:
        """Find the accuracy of this plan, and of no other any more."""
        with self._changed:
            if self._closing.is_set() or plan.key in self._known or self._wanted == plan:
                return
            self._wanted = plan
            self._give_up.set()
            self._start()
            self._changed.notify_all()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Evaluate nothing meanwhile: a measurement must not share the processors."""
        with self._changed:
            self._held += 1
            self._give_up.set()
            self._changed.wait_for(lambda: self._idle, _GRACE_S + 1)
        try:
            yield
        finally:
            with self._changed:
                self._held -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """End the process. May be called again."""
        with self._changed:
            self._closing.set()
            self._give_up.set()
            self._changed.notify_all()
        if self._thread is not None and threading.current_thread() is not self._thread:
            self._thread.join(_GRACE_S + 2)
        self._end_child()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="appraiser", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while (plan := self._next()) is not None:
            try:
                found = self._evaluate(plan)
            except CancelledRunError:
                continue
            except WorkbenchError as error:
                self._end_child()
                self._forget(plan)
                self._on_failed(plan, error)
                continue
            self._known[plan.key] = found
            self._forget(plan)
            self._on_found(plan, found)

    def _next(self) -> Plan | None:
        """The plan that is still wanted after a moment's quiet; None once closed."""
        with self._changed:
            self._idle = True
            self._changed.notify_all()
            while not self._closing.is_set():
                self._changed.wait_for(lambda: self._closing.is_set() or self._due)
                self._give_up.clear()
                plan = self._wanted
                if not self._changed.wait_for(self._give_up.is_set, _SETTLE_S):
                    self._idle = False
                    return plan
            return None

    @property
    def _due(self) -> bool:
        return self._wanted is not None and not self._held

    def _forget(self, plan: Plan) -> None:
        with self._changed:
            if self._wanted == plan:
                self._wanted = None

    def _evaluate(self, plan: Plan) -> Accuracy:
        child = self._ready_child()
        child.send({"command": "evaluate", "plan": plan.to_dict(), "suite": self._suite})
        try:
            return Accuracy.from_dict(child.receive(_ANSWER_S, stop=self._give_up)["accuracy"])
        except CancelledRunError:
            self._stop(child)
            raise

    def _ready_child(self) -> Child:
        """Starting takes seconds: a change of mind does not begin it anew."""
        if self._child is None:
            config = {"model": self._model.reference}
            self._child = Child("workbench.evaluation.worker", config, _ENVIRONMENT)
            self._child.receive(_ANSWER_S, stop=self._closing)
        return self._child

    def _stop(self, child: Child) -> None:
        """Have it stop and read its answer, so that the next one is the next plan's; else end it."""
        try:
            child.send({"command": "cancel"})
            child.receive(_GRACE_S)
        except CancelledRunError:
            pass
        except WorkbenchError:
            self._end_child()

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
