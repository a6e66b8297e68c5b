"""Decides what each request runs, and writes down what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from workbench.deployment.engine import Order
from workbench.errors import OfflineError, WorkbenchError
from workbench.plan import DEFAULT_FEATURE
from workbench.routing import (
    CONTINUE,
    Policy,
    Report,
    Request,
    Route,
    Served,
    Settled,
    Situation,
    joined,
    settle,
    waiting_s,
)
from workbench.trace import RequestTrace

if TYPE_CHECKING:
    from workbench.deployment.deployment import Deployment

__all__ = ["Desk", "InHand", "no_end"]


@dataclass
class InHand:
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


class Desk:
    """Decides what a request runs, and writes down what became of it."""

    def __init__(self, run: Deployment, policy: Policy, on_served: Callable[[Served], None] | None) -> None:
        self.run, self._policy, self._on_served = run, policy, on_served
        self._known: dict[tuple[Any, ...], float] = {}
        self._done: list[tuple[int, Served]] = []
        self.errors: list[WorkbenchError] = []

    def decide(self, hand: InHand, *, online: bool) -> str:
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

    def passed_on(self, hand: InHand, *, online: bool) -> str | None:
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

    def order(self, hand: InHand, module: str) -> Order:
        """What both sides are asked for."""
        from workbench.runtime import Sampling  # brings torch

        request, taken = hand.request, hand.route.feature if hand.route else DEFAULT_FEATURE
        is_task = request.answer is not None or taken not in (CONTINUE, DEFAULT_FEATURE)
        sampling = Sampling(stop=("\n",) if is_task else (), logprobs=True)
        return Order(module, [request.prompt], request.max_new_tokens, sampling)

    def end(self, hand: InHand, finished_s: float, error: WorkbenchError | None = None) -> None:
        """One more is done with."""
        traces = tuple(self._told(hand, trace) for trace in hand.traces)
        last = traces[-1] if traces else None
        served = Served(
            request=hand.request,
            route=hand.route,
            settled=hand.settled,
            module=last.facts["feature"] if last else None,
            escalated=len(traces) > 1,
            trace=joined(traces),
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

    def _told(self, hand: InHand, trace: RequestTrace) -> RequestTrace:
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


def no_end() -> OfflineError:
    return OfflineError("it waited for a link, and nobody plugged one in: plug_in(), and ask again")
