"""Runs workloads: each request is routed, run, and passed on where the edge is not sure of its answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from time import perf_counter
from typing import TYPE_CHECKING, Any

from workbench import cost
from workbench.deployment.engine import Order
from workbench.errors import (
    CancelledRunError,
    InputError,
    OfflineError,
    PeerLostError,
    PlanError,
    RefusedError,
    WorkbenchError,
)
from workbench.plan import DEFAULT_FEATURE, QUEUE
from workbench.routing import (
    CONTINUE,
    Outages,
    Policy,
    Report,
    Request,
    Route,
    Served,
    Settled,
    Situation,
    Workload,
    make_policy,
    settle,
    waiting_s,
)
from workbench.trace import RequestTrace

if TYPE_CHECKING:
    from threading import Event

    from workbench.deployment.deployment import Deployment

__all__ = ["predict_replay", "replay", "serve"]

_LOOK_S = 0.05  # how late a stop may be noticed
_STUCK_S = 300.0  # without a word of any request, while the link is there
_END_S = 10.0  # that requests which are ended may take to say so; what comes later is passed over
_NOBODY_S = 10.0  # that requests wait for a link which no outage's end will bring: somebody may plug it in


def replay(
    run: Deployment,
    workload: Workload,
    policy: Policy | None = None,
    *,
    outages: Sequence[tuple[float, float]] = (),
    on_served: Callable[[Served], None] | None = None,
    on_token: Callable[[str], None] | None = None,
    stop: Event | None = None,
) -> Report:
    """See ``Deployment.replay``."""
    _check(run, workload)
    desk = _Desk(run, policy or default_policy(), on_served)
    return _player(run)(desk, workload.requests, Outages.of(outages), on_token, stop).run()


def serve(
    run: Deployment,
    request: Request,
    policy: Policy | None = None,
    *,
    on_token: Callable[[str], None] | None = None,
    stop: Event | None = None,
) -> Served:
    """See ``Deployment.ask``."""
    workload = Workload((replace(request, arrival_s=0.0),))
    _check(run, workload)
    desk = _Desk(run, policy or default_policy(), None)
    report = _player(run)(desk, workload.requests, Outages(), on_token, stop).run()
    if desk.errors:
        raise desk.errors[0]
    if not report.served:
        raise CancelledRunError("the run was stopped")
    return report.served[0]


def default_policy() -> Policy:
    """Each feature on its own module, found by tag or classifier."""
    return make_policy("hybrid")


def predict_replay(run: Deployment, report: Report) -> Report:
    """See ``Deployment.predict_replay``."""
    ran = [served for served in report.served if served.traces]
    jobs = [
        cost.Job(served.ready_s, tuple(_modelled(run, trace) for trace in served.traces)) for served in ran
    ]
    played = cost.play(jobs, run.link_profile, slots=run.slots)
    modelled = {
        id(served): replace(
            served,
            started_s=times.started_s,
            finished_s=times.finished_s,
            queued_s=waiting_s(served.request, times.finished_s, job.traces),
            traces=job.traces,
            trace=_joined(job.traces),
        )
        for served, job, times in zip(ran, jobs, played.served, strict=True)
    }
    return Report(tuple(modelled.get(id(served), served) for served in report.served))


def _modelled(run: Deployment, trace: RequestTrace) -> RequestTrace:
    """The cost model's trace of a request that ran."""
    return run.predict(
        prompt_tokens=trace.prompt_tokens, new_tokens=max(1, trace.n_tokens), feature=trace.facts["feature"]
    )


def _joined(traces: Sequence[RequestTrace]) -> RequestTrace | None:
    return reduce(lambda first, then: then.after(first), traces) if traces else None


def _player(run: Deployment) -> type[_Wall | _Virtual]:
    return _Wall if run.clock == "wall" else _Virtual


def _check(run: Deployment, workload: Workload) -> None:
    workload.check(run.plan)
    if missing := sorted(set(run.plan.features) - set(run.features)):
        raise PlanError(
            f"only {', '.join(run.features)} of the plan runs here, and a policy may choose "
            f"{', '.join(missing)}: deploy without feature=, or use generate()"
        )


@dataclass
class _InHand:
    """A request under way."""

    number: int  # its place in the workload
    request: Request
    ready_s: float  # when it could first be worked on: it came, or its queue ended
    route: Route | None = None
    settled: Settled | None = None
    routing_s: float = 0.0
    started_s: float = 0.0
    confidence: float | None = None
    traces: list[RequestTrace] = field(default_factory=list)


class _Desk:
    """Decides what a request runs, and writes down what became of it."""

    def __init__(self, run: Deployment, policy: Policy, on_served: Callable[[Served], None] | None) -> None:
        self.run, self._policy, self._on_served = run, policy, on_served
        self._known: dict[tuple[Any, ...], float] = {}
        self._done: list[tuple[int, Served]] = []
        self.errors: list[WorkbenchError] = []

    def decide(self, hand: _InHand, *, online: bool) -> str:
        """Whose module begins, or ``QUEUE``.

        Raises:
            RefusedError: nothing may, or can, answer.
        """
        began_s = perf_counter()
        situation, waited = Situation(online, self._latency_s), hand.settled is not None
        try:
            hand.route = self._policy.route(hand.request, self.run.plan, situation)
            settled = settle(hand.route, hand.request, self.run.plan, situation)
        finally:
            hand.routing_s += perf_counter() - began_s
        if waited:
            settled = replace(settled, outcome="queued", reason=f"{settled.reason}; waited for a link")
        hand.settled = settled
        return settled.module

    def passed_on(self, hand: _InHand, *, online: bool) -> str | None:
        """Whose module answers where the first is not sure enough; None where it is, or nobody may."""
        settled, route, logprobs = hand.settled, hand.route, hand.traces[-1].logprobs
        assert settled is not None
        assert route is not None
        target = settled.escalate_to
        if target is None or not logprobs or len(hand.traces) > 1:
            return None
        began_s = perf_counter()
        hand.confidence = self._policy.confidence(route, logprobs)
        hand.routing_s += perf_counter() - began_s
        if hand.confidence >= route.threshold:
            return None
        if not online and not self.run.plan.placement(target).is_local:
            why = f"{settled.reason}; no link: no second opinion from {target}"
            hand.settled = replace(settled, reason=why)
            return None
        return target

    def order(self, hand: _InHand, module: str) -> Order:
        """What both sides are asked for."""
        from workbench.runtime import Sampling  # brings torch

        request, taken = hand.request, hand.route.feature if hand.route else DEFAULT_FEATURE
        is_task = request.answer is not None or taken not in (CONTINUE, DEFAULT_FEATURE)
        sampling = Sampling(stop=("\n",) if is_task else (), logprobs=True)
        return Order(module, [request.prompt], request.max_new_tokens, sampling)

    def end(self, hand: _InHand, finished_s: float, error: WorkbenchError | None = None) -> None:
        """One more is done with."""
        traces = tuple(self._told(hand, trace) for trace in hand.traces)
        last = traces[-1] if traces else None
        served = Served(
            request=hand.request,
            route=hand.route,
            settled=hand.settled,
            module=last.facts["feature"] if last else None,
            escalated=len(traces) > 1,
            trace=_joined(traces),
            queued_s=waiting_s(hand.request, finished_s, traces),
            started_s=hand.started_s,
            finished_s=finished_s,
            right=None if last is None else hand.request.is_right(last.text),
            routing_s=hand.routing_s,
            refused=None if error is None else f"{type(error).__name__}: {error}",
            where_made=() if last is None else self._where_made(last),
            traces=traces,
            ready_s=hand.ready_s,
            confidence=hand.confidence,
        )
        if error is not None:
            self.errors.append(error)
        self._done.append((hand.number, served))
        if self._on_served is not None:
            self._on_served(served)

    def _where_made(self, trace: RequestTrace) -> tuple[str, ...]:
        """Where the head is."""
        head = self.run.plan.placement(trace.facts["feature"]).partition.stages[-1]
        return (head.place,) * trace.n_tokens

    def report(self) -> Report:
        """Of all that ended, in the order in which they came."""
        done = sorted(self._done, key=lambda pair: pair[0])
        return Report(tuple(served for _, served in done))

    def _told(self, hand: _InHand, trace: RequestTrace) -> RequestTrace:
        """With what was decided among its facts."""
        assert hand.route is not None
        assert hand.settled is not None
        bound = {} if hand.settled.bound is None else {"bound": str(hand.settled.bound)}
        facts = {
            **trace.facts,
            "policy": self._policy.name,
            "taken for": hand.route.feature,
            "routed": hand.settled.reason,
            "outcome": hand.settled.outcome,
            **bound,
        }
        return replace(trace, facts=facts)

    def _latency_s(self, module: str, request: Request) -> float:
        """What a module would take for a request, modelled under the present link."""
        run = self.run
        model = run.model_of(module)
        prompt_tokens = len(model.tokenizer(request.prompt)["input_ids"])
        key = (module, prompt_tokens, request.max_new_tokens, run.link_profile)
        if key not in self._known:
            self._known[key] = run.predict(
                prompt_tokens=prompt_tokens, new_tokens=request.max_new_tokens, feature=module
            ).total_s
        return self._known[key]


class _Wall:
    """As time passes."""

    def __init__(
        self,
        desk: _Desk,
        requests: Sequence[Request],
        outages: Outages,
        on_token: Callable[[str], None] | None,
        stop: Event | None,
    ) -> None:
        self._desk, self._run, self._on_token, self._stop = desk, desk.run, on_token, stop
        self._coming = deque(_InHand(i, r, r.arrival_s) for i, r in enumerate(requests))
        self._switches = deque(outages.switches())
        self._ready: deque[_InHand] = deque()
        self._queued: list[_InHand] = []  # until there is a link
        self._running: dict[int, _InHand] = {}
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
            if self._stop is not None and self._stop.is_set():
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
                self._desk.end(hand, self._now_s(), _no_end())
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

    def _begin(self, hand: _InHand, module: str) -> None:
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


class _Virtual:
    """Each request alone in modelled time; then how they wait for each other, modelled too."""

    def __init__(
        self,
        desk: _Desk,
        requests: Sequence[Request],
        outages: Outages,
        on_token: Callable[[str], None] | None,
        stop: Event | None,
    ) -> None:
        self._desk, self._run, self._on_token, self._stop = desk, desk.run, on_token, stop
        self._requests, self._outages = requests, outages

    def run(self) -> Report:
        ran = []
        for number, request in enumerate(self._requests):
            if self._stop is not None and self._stop.is_set():
                break
            hand = _InHand(number, request, request.arrival_s, started_s=request.arrival_s)
            try:
                self._serve(hand)
            except CancelledRunError:
                if self._stop is None or not self._stop.is_set():
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

    def _serve(self, hand: _InHand) -> None:
        ends_s = self._outages.end_s(hand.ready_s)
        online = self._run.online and ends_s is None
        module = self._desk.decide(hand, online=online)
        if module == QUEUE:
            if ends_s is None:
                raise _no_end()
            hand.ready_s, online = ends_s, True
            module = self._desk.decide(hand, online=True)
        answering: str | None = module
        while answering is not None:
            order = self._desk.order(hand, answering)
            hand.traces.append(self._run.engine.run(order, self._on_token, self._stop))
            answering = self._desk.passed_on(hand, online=online)


def _no_end() -> OfflineError:
    return OfflineError("it waited for a link, and nobody plugged one in: plug_in(), and ask again")
