"""Has requests run: as time passes, or each alone in modelled time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from workbench import cost
from workbench.deployment.replay.desk import Desk, InHand, no_end
from workbench.errors import CancelledRunError, InputError, PeerLostError, RefusedError, WorkbenchError
from workbench.plan import QUEUE
from workbench.routing import Outages, Report, Request

if TYPE_CHECKING:
    from threading import Event

__all__ = ["Player", "Virtual", "Wall"]

_LOOK_S = 0.05  # how late a stop may be noticed
_STUCK_S = 300.0  # without a word of any request, while the link is there
_END_S = 10.0  # that requests which are ended may take to say so; what comes later is passed over
_NOBODY_S = 10.0  # that requests wait for a link which no outage's end will bring: somebody may plug it in


class Player(ABC):
    """Has a desk's requests run. Used once."""

    def __init__(
        self,
        desk: Desk,
        requests: Sequence[Request],
        outages: Outages,
        on_token: Callable[[str], None] | None,
        stop: Event | None,
    ) -> None:
        self._desk, self._run, self._outages, self._on_token = desk, desk.run, outages, on_token
        self._stop = stop
        self._coming = deque(InHand(i, r, r.arrival_s) for i, r in enumerate(requests))

    @abstractmethod
    def run(self) -> Report:
        """Until all have ended, or it is stopped."""

    def _stopped(self) -> bool:
        return self._stop is not None and self._stop.is_set()


class Wall(Player):
    """As time passes."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._switches = deque(self._outages.switches())
        self._ready: deque[InHand] = deque()
        self._queued: list[InHand] = []  # until there is a link
        self._running: dict[int, InHand] = {}
        self._idle_since_s: float | None = None

    def run(self) -> Report:
        was_online = self._run.online
        try:
            self._serve_all()
        except BaseException:
            self._end_all()
            raise
        finally:
            (self._run.plug_in if was_online else self._run.unplug)()
        return self._desk.report()

    def _serve_all(self) -> None:
        self._began_s = heard_s = perf_counter()
        while self._coming or self._ready or self._queued or self._running:
            if self._stopped():
                self._end_all()
                return
            self._look_around()
            self._start_some()
            event = self._run.engine.next_event(self._patience_s())
            if event is not None:
                heard_s = perf_counter()
                self._hear(event)
            elif self._running and self._run.online and perf_counter() - heard_s > _STUCK_S:
                raise CancelledRunError(f"nothing was heard of any request for {_STUCK_S:.0f} s")

    def _now_s(self) -> float:
        return perf_counter() - self._began_s

    def _look_around(self) -> None:
        """Whoever came by now is ready, and the link is as it should be by now."""
        while self._switches and self._switches[0][0] <= self._now_s():
            _, online = self._switches.popleft()
            (self._run.plug_in if online else self._run.unplug)()
        while self._coming and self._coming[0].ready_s <= self._now_s():
            self._ready.append(self._coming.popleft())
        if self._run.online:
            for hand in self._queued:
                hand.ready_s = self._now_s()
            self._ready.extend(self._queued)
            self._queued.clear()
        self._look_for_a_link()

    def _look_for_a_link(self) -> None:
        """Where all that is left waits for a link that no outage's end brings: for a while only."""
        if not self._queued or self._switches or self._running or self._ready or self._coming:
            self._idle_since_s = None
            return
        self._idle_since_s = self._idle_since_s or perf_counter()
        if perf_counter() - self._idle_since_s > _NOBODY_S:
            for hand in self._queued:
                self._desk.end(hand, self._now_s(), no_end())
            self._queued.clear()

    def _start_some(self) -> None:
        while self._ready and len(self._running) < self._run.slots:
            hand = self._ready.popleft()
            hand.started_s = self._now_s()
            try:
                module = self._desk.decide(hand, online=self._run.online)
            except (RefusedError, InputError) as error:
                self._desk.end(hand, self._now_s(), error)
                continue
            if module == QUEUE:
                self._queued.append(hand)
            else:
                self._begin(hand, module)

    def _begin(self, hand: InHand, module: str) -> None:
        self._running[self._run.engine.begin(self._desk.order(hand, module))] = hand

    def _patience_s(self) -> float:
        """How long to wait for a word: no longer than until something else is due."""
        due = [
            queue[0]
            for queue in ([hand.ready_s for hand in self._coming], [s for s, _ in self._switches])
            if queue
        ]
        until_s = min((moment - self._now_s() for moment in due), default=_LOOK_S)
        return min(_LOOK_S, max(0.0, until_s))

    def _hear(self, event: dict[str, Any]) -> None:
        if event["event"] == "token":
            if self._on_token is not None:
                self._on_token(event["text"])
            return
        hand = self._running.pop(event.get("request", -1), None)
        if hand is None:
            return
        if event["event"] == "error":
            self._desk.end(hand, self._now_s(), self._run.engine.error_of(event))
            return
        hand.traces.append(event["trace"])
        module = self._desk.passed_on(hand, online=self._run.online)
        if module is None:
            self._desk.end(hand, self._now_s())
        else:
            self._begin(hand, module)

    def _end_all(self) -> None:
        """End what runs, and hear it out, so that nothing of it is taken for a later request's."""
        if not self._running:
            return
        self._run.plug_in()  # a side that waits for bytes looks at nothing else
        self._run.cancel()
        until_s = perf_counter() + _END_S
        while self._running and perf_counter() < until_s:
            event = self._run.engine.next_event(_LOOK_S)
            if event is not None and event["event"] != "token":
                self._running.pop(event.get("request", -1), None)


class Virtual(Player):
    """Each request alone in modelled time; then how they wait for each other, modelled too."""

    def run(self) -> Report:
        ran = []
        for hand in self._coming:
            if self._stopped():
                break
            hand.started_s = hand.ready_s
            try:
                self._serve(hand)
            except CancelledRunError:
                if not self._stopped():
                    raise
                break
            except PeerLostError:
                raise
            except WorkbenchError as error:
                self._desk.end(hand, hand.ready_s, error)
            else:
                ran.append(hand)
        jobs = [cost.Job(hand.ready_s, tuple(hand.traces)) for hand in ran]
        played = cost.play(jobs, self._run.link_profile, slots=self._run.slots)
        for hand, times in zip(ran, played.served, strict=True):
            hand.started_s = times.started_s
            self._desk.end(hand, times.finished_s)
        return self._desk.report()

    def _serve(self, hand: InHand) -> None:
        ends_s = self._outages.end_s(hand.ready_s)
        online = self._run.online and ends_s is None
        module = self._desk.decide(hand, online=online)
        if module == QUEUE:
            if ends_s is None:
                raise no_end()
            hand.ready_s, online = ends_s, True
            module = self._desk.decide(hand, online=True)
        answering: str | None = module
        while answering is not None:
            order = self._desk.order(hand, answering)
            hand.traces.append(self._run.engine.run(order, self._on_token, self._stop))
            answering = self._desk.passed_on(hand, online=online)
