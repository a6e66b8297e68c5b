"""Replays beside everything else: a workload over a plan, one at a time, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from workbench.deployment import Deployment, deploy
from workbench.errors import InputError
from workbench.exploration.measure import turn
from workbench.exploration.routing import RoutingSetting
from workbench.plan import Plan
from workbench.routing import (
    Calibration,
    Hybrid,
    Report,
    Request,
    Route,
    Served,
    Situation,
    Workload,
    poisson,
    shipped_pool,
)

__all__ = ["Replay", "Replayed", "Replayer"]

_END_S = 15.0
_POLL_S = 0.02
_SLOTS = 4


@dataclass(frozen=True)
class Replay:
    """What is to be replayed."""

    setting: RoutingSetting
    n: int = 24  # requests
    rate_per_s: float = 4.0  # of their arrival, Poisson
    clock: str = "virtual"  # see ``deploy``
    outage: tuple[float, float] | None = None  # from and to, in seconds
    seed: int = 11
    tagged: bool = False  # whether requests say what they are; else routing has to find out
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise InputError(f"a replay has at least one request: got {self.n}")

    @property
    def workload(self) -> Workload:
        """The shipped held-out prompts of the plan's features, all alike."""
        mix = {name: 1.0 for name in shipped_pool() if name in self.setting.plan.features}
        made = poisson(mix, self.rate_per_s, self.n, seed=self.seed)
        return made if self.tagged else made.untagged()


@dataclass(frozen=True)
class Replayed:
    """What a replay gave."""

    replay: Replay
    report: Report
    predicted: Report | None  # the same requests, modelled
    outages: tuple[tuple[float, float], ...]  # in seconds since it began
    clock: str
    cancelled: bool = False


class Replayer:
    """Starts, watches and cancels replays. Methods may be called from any thread.

    The callbacks run in the replay's own thread and have to return soon.

    Args:
        on_stage: told what happens now, in words.
        on_progress: told how many requests are done with, and of how many.
        on_end: gets what a replay gave, or the exception that ended it.
    """

    def __init__(
        self,
        *,
        on_stage: Callable[[str], None],
        on_progress: Callable[[int, int], None],
        on_end: Callable[[Replayed | Exception], None],
    ) -> None:
        self._on_stage, self._on_progress, self._on_end = on_stage, on_progress, on_end
        self._lock = threading.Lock()
        self._stop: threading.Event | None = None
        self._thread: threading.Thread | None = None
        self._run: Deployment | None = None
        self._watch = _Watch(0, on_progress)
        self._unplugged = False
        self._cuts: list[tuple[float, float]] = []  # outages by hand, in seconds since the replay began

    @property
    def running(self) -> bool:
        """Whether a replay goes on; false once ``on_end`` has returned."""
        return self._stop is not None

    @property
    def unplugged(self) -> bool:
        """Whether the link is taken away by hand."""
        return self._unplugged

    def start(self, replay: Replay) -> None:
        """Begin a replay and return at once.

        Raises:
            InputError: one goes on already.
        """
        with self._lock:
            if self._stop is not None:
                raise InputError("one replay at a time: wait for it, or cancel it first")
            self._stop = threading.Event()
            arguments = (replay, self._stop)
            self._thread = threading.Thread(target=self._play, args=arguments, name="replay", daemon=True)
            self._thread.start()

    def cancel(self) -> bool:
        """End the replay that goes on, within a request; False where there is none."""
        stop = self._stop
        if stop is not None:
            stop.set()
        return stop is not None

    def unplug(self, unplugged: bool = True) -> None:
        """Take the link away until it is plugged in again; before a replay, from its beginning."""
        with self._lock:
            self._unplugged = unplugged
            if self._run is not None:
                self._switch(self._run, unplugged)

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait for the replay that goes on.

        Raises:
            TimeoutError: it goes on still.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while self.running:
            if until is not None and time.monotonic() > until:
                raise TimeoutError(f"the replay goes on after {timeout_s} s: wait longer, or cancel it")
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Cancel, and wait until nothing is left. May be called again."""
        self.cancel()
        if self._thread is not None:
            self._thread.join(_END_S)

    # ---- in the replay's thread

    def _play(self, replay: Replay, stop: threading.Event) -> None:
        try:
            self._on_end(self._outcome(replay, stop))
        finally:
            self._stop = None

    def _outcome(self, replay: Replay, stop: threading.Event) -> Replayed | Exception:
        try:
            with turn(stop, lambda: self._on_stage("waiting for another measurement on this machine to end")):
                return self._replayed(replay, stop)
        except Exception as error:  # noqa: BLE001  (whatever it is, the panel has to hear of it)
            return error

    def _replayed(self, replay: Replay, stop: threading.Event) -> Replayed:
        s, workload = replay.setting, replay.workload
        self._on_stage("starting the edge and the cloud process")
        outages = [] if replay.outage is None else [replay.outage]
        with deploy(s.plan, s.edge, s.cloud, s.link, slots=_SLOTS, clock=replay.clock, stop=stop) as run:
            self._on_stage(f"replaying {len(workload)} requests on the {run.clock} clock")
            watch = _Watch(len(workload), self._on_progress, is_wall=run.clock == "wall")
            policy = _Watched(replay.calibration, threshold=s.threshold, on_route=watch.routed)
            self._begin(run, watch)
            try:
                report = run.replay(workload, policy, outages=outages, on_served=watch.served, stop=stop)
            finally:
                cuts = self._end()
            predicted = run.predict_replay(report) if report.n else None
        return Replayed(replay, report, predicted, (*outages, *cuts), run.clock, stop.is_set())

    def _begin(self, run: Deployment, watch: _Watch) -> None:
        with self._lock:
            self._run, self._watch, self._cuts = run, watch, []
            if self._unplugged:
                self._switch(run, True)

    def _end(self) -> list[tuple[float, float]]:
        """The outages by hand; one that still goes on ends with the replay."""
        with self._lock:
            self._run = None
            return [(begin, min(end, self._watch.now_s)) for begin, end in self._cuts if begin < end]

    def _switch(self, run: Deployment, unplugged: bool) -> None:
        if unplugged and run.online:
            run.unplug()
            self._cuts.append((self._watch.now_s, inf))
        elif not unplugged and not run.online:
            run.plug_in()
            if self._cuts:
                self._cuts[-1] = self._cuts[-1][0], self._watch.now_s


@dataclass(frozen=True)
class _Watched(Hybrid):
    """The hybrid policy, which tells of each request that it routes."""

    on_route: Callable[[Request], None] = lambda _: None

    def route(self, request: Request, plan: Plan, situation: Situation) -> Route:
        self.on_route(request)
        return super().route(request, plan, situation)


@dataclass
class _Watch:
    """How far a replay is. On the virtual clock one request is run after another, and all end together."""

    n: int
    on_progress: Callable[[int, int], None]
    is_wall: bool = False
    _began_s: float = field(default_factory=time.monotonic)
    _routed: set[Request] = field(default_factory=set)
    _n_served: int = 0
    _last_s: float = 0.0

    @property
    def now_s(self) -> float:
        """Seconds since the replay began; on the virtual clock, when the request in hand came."""
        return time.monotonic() - self._began_s if self.is_wall else self._last_s

    def routed(self, request: Request) -> None:
        """One more is decided."""
        self._routed.add(request)
        self._last_s = max(self._last_s, request.arrival_s)
        if not self.is_wall:
            self.on_progress(len(self._routed) - 1, self.n)

    def served(self, served: Served) -> None:
        """One more has ended."""
        self._n_served += 1
        if self.is_wall:
            self.on_progress(self._n_served, self.n)
