"""A plan that places features, answers and replays to draw, made by arithmetic: no model runs."""

from __future__ import annotations

from collections.abc import Mapping

import workbench as wb
from tests.cost.models import llama
from workbench import cost
from workbench.exploration.routing import Known, RoutingSetting
from workbench.plan import CLOUD, EDGE, QUEUE, Bound, Partition, Placement, Plan
from workbench.profiles import ModelProfile
from workbench.routing import AnswerTable, ModuleAnswers, Report, Request, Route, Served, Settled
from workbench.trace import RequestTrace

__all__ = ["BASE", "EXIT", "PROFILES", "make_known", "make_plan", "make_report", "make_setting"]

BASE, EXIT = llama("m", 8, 192, 512, 6, 6, 1024, tied=True), llama("m@4", 4, 192, 512, 6, 6, 1024, tied=True)
PROFILES: Mapping[str, ModelProfile] = {"m": BASE, "m@4": EXIT}
_N = 20  # examples of each task
_RIGHT = {
    "m @16b": {"sort": 20, "arithmetic": 19, "copy": 20},
    "m@4 @16b": {"sort": 20, "arithmetic": 12, "copy": 18},
    "m@4 @16b + arithmetic": {"sort": 3, "arithmetic": 17, "copy": 2},
}
_BITS = {"m @16b": 1.3, "m@4 @16b": 1.45, "m@4 @16b + arithmetic": 2.9}


def make_plan(**changes: Placement) -> Plan:
    """Two tasks on an early exit, one of them with an adapter; one split, the rest in the cloud."""
    local = Placement(Partition.unsplit(4, EDGE), model="m@4")
    features = {
        "default": Placement(Partition.unsplit(8, CLOUD), fallback="small"),
        "small": local,
        "sort": local,
        "arithmetic": Placement(Partition.unsplit(4, EDGE), model="m@4", adapter="arithmetic"),
        "copy": Placement(Partition.unsplit(8, CLOUD), fallback=QUEUE),
        "continue": Placement(Partition.split(8, 2), "fp16", fallback="small"),
    }
    return Plan("m", {**features, **changes}, (Bound("health", EDGE),))


def make_known() -> Known:
    """Answers of three modules; a wrong one is less sure than most right ones."""
    tasks = tuple(task for task in ("sort", "arithmetic", "copy") for _ in range(_N))
    prompts = tuple(f"{task} {i}" for i, task in enumerate(tasks))
    modules = {name: _answers(tasks, name) for name in _RIGHT}
    table = AnswerTable(tasks, prompts, tuple(8 + i % 5 for i in range(len(tasks))), modules)
    return Known(table, PROFILES, table)


def _answers(tasks: tuple[str, ...], module: str) -> ModuleAnswers:
    right = tuple(i % _N < _RIGHT[module][task] for i, task in enumerate(tasks))
    scores = tuple(-0.05 - (0.0 if r else 1.2) - 0.02 * (i % 7) for i, r in enumerate(right))
    return ModuleAnswers(right, scores, tuple(4 + i % 3 for i in range(len(tasks))), _BITS[module])


def make_setting(plan: Plan | None = None) -> RoutingSetting:
    """That plan between a Raspberry Pi and an H100 over LTE."""
    ends = wb.device("raspberry-pi-5"), wb.device("h100-sxm"), wb.link("lte")
    return RoutingSetting(plan or make_plan(), *ends, threshold=0.6)


def make_report() -> Report:
    """One request of every outcome, and one that was asked again."""
    plan = make_plan()
    rows = [
        ("sort", "sort", "sort", "as routed", ("sort",)),
        ("copy", "sort", "sort", "as routed", ("sort", "default")),
        ("continue", "continue", "continue", "as routed", ("continue",)),
        ("arithmetic", "arithmetic", "small", "degraded", ("small",)),
        ("copy", "copy", "copy", "queued", ("copy",)),
        ("copy", "copy", "sort", "moved", ("sort",)),
        ("copy", "copy", "", "refused", ()),
    ]
    return Report(tuple(_served(plan, i, *row) for i, row in enumerate(rows)))


def _served(
    plan: Plan, i: int, truth: str, taken: str, module: str, outcome: str, asked: tuple[str, ...]
) -> Served:
    arrival_s = 0.1 * i
    request = Request(f"<{truth}> {i}", answer="a b", truth=truth, arrival_s=arrival_s)
    route = Route(taken, taken, f"reads as {taken}")
    if outcome == "refused":
        reason = "OfflineError: there is no link"
        return Served(request, route, refused=reason, started_s=arrival_s, finished_s=arrival_s)
    traces = tuple(_trace(plan, name) for name in asked)
    ready_s = arrival_s + (0.3 if outcome == "queued" else 0.0)
    return Served(
        request,
        route,
        Settled(module, outcome, "as it was"),
        module=asked[-1],
        escalated=len(asked) > 1,
        trace=traces[-1],
        traces=traces,
        ready_s=ready_s,
        started_s=ready_s,
        finished_s=ready_s + sum(trace.total_s for trace in traces),
        right=i % 2 == 0,
        where_made=(plan.placement(asked[-1]).partition.stages[-1].place,) * 6,
    )


def _trace(plan: Plan, feature: str) -> RequestTrace:
    devices = {EDGE: wb.device("raspberry-pi-5"), CLOUD: wb.device("h100-sxm")}
    model = PROFILES[plan.model_of(feature)]
    made = cost.predict(plan, model, devices, wb.link("lte"), prompt_tokens=10, new_tokens=6, feature=feature)
    return RequestTrace(**{**made.__dict__, "text": f"{feature} <b>\nmore"})
