"""A workload over a plan without running it: answers as they were once measured, costs as modelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

from workbench import cost
from workbench.errors import InputError, RefusedError, WorkbenchError
from workbench.plan import QUEUE, Plan
from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile
from workbench.routing.answer_table import AnswerTable, module_of
from workbench.routing.bounds import Settled, settle
from workbench.routing.outages import Outages
from workbench.routing.outcomes import Report, Served, joined, waiting_s
from workbench.routing.policies import Policy, Route, Situation
from workbench.routing.request import Request
from workbench.routing.workload import Workload
from workbench.trace import RequestTrace

__all__ = ["Rehearsal"]

_BYTES_PER_TOKEN = 3.2  # of a prompt that was never tokenized: what the shipped tokenizer has on prose
_LATER = "; waited for a link"


@dataclass
class _Ran:
    """One request: what was decided, and what it would take."""

    request: Request
    ready_s: float
    route: Route | None = None
    settled: Settled | None = None
    traces: list[RequestTrace] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    right: bool | None = None
    confidence: float | None = None
    routing_s: float = 0.0
    error: WorkbenchError | None = None


class Rehearsal:
    """A plan on devices over a link, and what its modules answered. Nothing is run: seconds for thousands.

    Args:
        table: what the plan's modules answered; a prompt that is not in it is taken to need all the tokens
            that it may have, to be neither right nor wrong, and never to be asked for again.
        profiles: of every model of the plan, by its name there.
        slots: requests that the deployment would work on at once.
        link_kind: whose model of a transfer is taken.
        count: tokens of a prompt that is not in the table; None estimates.
    """

    def __init__(
        self,
        plan: Plan,
        table: AnswerTable,
        profiles: Mapping[str, ModelProfile],
        devices: Mapping[str, DeviceProfile],
        link: LinkProfile,
        *,
        slots: int | None = 4,
        link_kind: str = "simulated",
        count: Callable[[str], int] | None = None,
    ) -> None:
        self.plan, self.table, self.link, self.slots = plan, table, link, slots
        self._profiles, self._devices, self._link_kind = profiles, devices, link_kind
        self._count = count or (lambda text: max(1, round(len(text.encode()) / _BYTES_PER_TOKEN)))
        self._row = {prompt: row for row, prompt in enumerate(table.prompts)}
        self._predicted: dict[tuple[str, int, int], RequestTrace] = {}

    def run(
        self, workload: Workload, policy: Policy, *, outages: Sequence[tuple[float, float]] = ()
    ) -> Report:
        """What would become of a workload under a policy, waiting for each other included.

        Raises:
            UnknownNameError: the workload has a feature that the plan lacks, or a module was not measured.
        """
        workload.check(self.plan)
        gone = Outages.of(outages)
        ran = [self._serve(request, policy, gone) for request in workload]
        done = [one for one in ran if one.traces]
        played = cost.play(
            [cost.Job(one.ready_s, tuple(one.traces)) for one in done], self.link, slots=self.slots
        )
        times = dict(zip(map(id, done), played.served, strict=True))
        return Report(tuple(_served(one, times.get(id(one)), self.plan) for one in ran))

    def latency_s(self, module: str, request: Request) -> float:
        """What a module would take for a request that needs all the tokens it may have, alone."""
        row = self._row.get(request.prompt)
        tokens = self._count(request.prompt) if row is None else self.table.prompt_tokens[row]
        return self._predict(module, tokens, request.max_new_tokens).total_s

    def _serve(self, request: Request, policy: Policy, outages: Outages) -> _Ran:
        ran, began_s = _Ran(request, request.arrival_s), perf_counter()
        ends_s = outages.end_s(request.arrival_s)
        try:
            self._decide(ran, policy, online=ends_s is None)
            if ran.settled is not None and ran.settled.module == QUEUE and ends_s is not None:
                ran.ready_s, ends_s = ends_s, None
                self._decide(ran, policy, online=True)
                assert ran.settled is not None
                ran.settled = replace(ran.settled, outcome="queued", reason=ran.settled.reason + _LATER)
        except (RefusedError, InputError) as error:
            ran.error = error
        ran.routing_s = perf_counter() - began_s
        if ran.error is None:
            self._answer(ran, policy)
        return ran

    def _decide(self, ran: _Ran, policy: Policy, *, online: bool) -> None:
        situation = Situation(online, self.latency_s)
        ran.route = policy.route(ran.request, self.plan, situation)
        ran.settled = settle(ran.route, ran.request, self.plan, situation)

    def _answer(self, ran: _Ran, policy: Policy) -> None:
        assert ran.settled is not None
        assert ran.route is not None
        self._ask(ran, ran.settled.module)
        target, row = ran.settled.escalate_to, self._row.get(ran.request.prompt)
        if target is None or row is None:
            return
        score = self.table.of(module_of(self.plan, ran.settled.module)).score[row]
        ran.confidence = policy.confidence(ran.route, [score])
        if ran.confidence < ran.route.threshold:
            self._ask(ran, target)

    def _ask(self, ran: _Ran, module: str) -> None:
        row = self._row.get(ran.request.prompt)
        ran.modules.append(module)
        ran.traces.append(self._trace(module, ran.request))
        if row is not None and ran.request.answer is not None:
            ran.right = self.table.of(module_of(self.plan, module)).right[row]

    def _trace(self, module: str, request: Request) -> RequestTrace:
        row = self._row.get(request.prompt)
        if row is None:
            tokens, new = self._count(request.prompt), request.max_new_tokens
        else:
            answers = self.table.of(module_of(self.plan, module))
            tokens = self.table.prompt_tokens[row]
            new = min(request.max_new_tokens, answers.new_tokens[row])
        return self._predict(module, tokens, new)

    def _predict(self, module: str, tokens: int, new: int) -> RequestTrace:
        key = (module, tokens, new)
        if key not in self._predicted:
            self._predicted[key] = cost.predict(
                self.plan,
                self._profiles[self.plan.model_of(module)],
                self._devices,
                self.link,
                prompt_tokens=tokens,
                new_tokens=new,
                feature=module,
                link_kind=self._link_kind,
                must_fit=False,
            )
        return self._predicted[key]


def _served(ran: _Ran, times: cost.Finish | None, plan: Plan) -> Served:
    last = ran.traces[-1] if ran.traces else None
    head = plan.placement(ran.modules[-1]).partition.stages[-1].place if ran.modules else ""
    return Served(
        request=ran.request,
        route=ran.route,
        settled=ran.settled,
        module=ran.modules[-1] if ran.modules else None,
        escalated=len(ran.traces) > 1,
        trace=joined(ran.traces),
        queued_s=0.0 if times is None else waiting_s(ran.request, times.finished_s, ran.traces),
        started_s=ran.ready_s if times is None else times.started_s,
        finished_s=ran.ready_s if times is None else times.finished_s,
        right=ran.right,
        routing_s=ran.routing_s,
        refused=None if ran.error is None else f"{type(ran.error).__name__}: {ran.error}",
        where_made=() if last is None else (head,) * last.n_tokens,
        traces=tuple(ran.traces),
        ready_s=ran.ready_s,
        confidence=ran.confidence,
    )
