"""Runs workloads: each request is routed, run, and passed on where the edge is not sure of its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from workbench import cost
from workbench.deployment.replay.desk import Desk
from workbench.deployment.replay.players import Player, Virtual, Wall
from workbench.errors import CancelledRunError, PlanError
from workbench.routing import (
    Outages,
    Policy,
    Report,
    Request,
    Served,
    Workload,
    joined,
    make_policy,
    waiting_s,
)
from workbench.trace import RequestTrace

if TYPE_CHECKING:
    from threading import Event

    from workbench.deployment.deployment import Deployment

__all__ = ["predict_replay", "replay", "serve"]


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
    desk = Desk(run, policy or default_policy(), on_served)
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
    desk = Desk(run, policy or default_policy(), None)
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
            trace=joined(job.traces),
        )
        for served, job, times in zip(ran, jobs, played.served, strict=True)
    }
    return Report(tuple(modelled.get(id(served), served) for served in report.served))


def _modelled(run: Deployment, trace: RequestTrace) -> RequestTrace:
    """The cost model's trace of a request that ran."""
    return run.predict(
        prompt_tokens=trace.prompt_tokens, new_tokens=max(1, trace.n_tokens), feature=trace.facts["feature"]
    )


def _player(run: Deployment) -> type[Player]:
    return Wall if run.clock == "wall" else Virtual


def _check(run: Deployment, workload: Workload) -> None:
    workload.check(run.plan)
    if missing := sorted(set(run.plan.features) - set(run.features)):
        raise PlanError(
            f"only {', '.join(run.features)} of the plan runs here, and a policy may choose "
            f"{', '.join(missing)}: deploy without feature=, or use generate()"
        )
