"""The last word on where a request goes: bounds, and what happens with no link.

What is bound is the feature that a request was taken for, the one that it is tagged as, and every class of
data that its prompt holds. A bound is kept or the request is refused; nothing overrules it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from workbench.errors import BoundError, OfflineError
from workbench.plan import DATA_CLASSES, EDGE, QUEUE, Bound, Placement, Plan
from workbench.routing.modules import edge_module, modules_at, own_module
from workbench.routing.policies.base import Route, Situation
from workbench.routing.request import Request
from workbench.routing.sensitive import Finding, find_sensitive

__all__ = ["OUTCOMES", "Settled", "settle"]

OUTCOMES = ("as routed", "moved", "degraded", "queued")
"""Where the policy said; where a bound has it; what the plan falls back to with no link; it waits for one."""


@dataclass(frozen=True)
class Settled:
    """Where a request goes in the end."""

    module: str  # key of plan.features, or QUEUE
    outcome: str  # one of OUTCOMES
    reason: str  # one or more short sentences
    escalate_to: str | None = None  # the route's, where that keeps every bound and can be reached
    bound: Bound | None = None  # what moved it, if anything did
    findings: tuple[Finding, ...] = ()  # what its prompt holds, if the plan binds a class of data


def settle(route: Route, request: Request, plan: Plan, situation: Situation) -> Settled:
    """Where a routed request goes, with every bound kept.

    Raises:
        BoundError: two bounds contradict each other, or no module that can be reached keeps them.
        OfflineError: there is no link, and the plan has nothing that answers without.
        UnknownNameError: the route names a module that the plan has not.
    """
    plan.placement(route.module)
    findings = find_sensitive(request.prompt) if _binds_data(plan) else ()
    bounds = tuple(_bounds(route, request, plan, findings))
    _check_agreement(bounds)
    settled = _bounded(route, plan, bounds)
    if not situation.online:
        settled = _offline(settled, route, plan, bounds)
    target, why = _escalation(settled, route, plan, bounds, situation.online)
    reason = "; ".join(filter(None, (settled.reason, why)))
    return replace(settled, escalate_to=target, reason=reason, findings=findings)


def _binds_data(plan: Plan) -> bool:
    return any(bound.subject in DATA_CLASSES for bound in plan.bounds)


def _bounds(route: Route, request: Request, plan: Plan, findings: Sequence[Finding]) -> Iterator[Bound]:
    subjects = [route.feature, request.feature, *(finding.data_class for finding in findings)]
    for subject in dict.fromkeys(subjects):
        bound = None if subject is None else plan.bound_of(subject)
        if bound is not None:
            yield bound


def _check_agreement(bounds: Sequence[Bound]) -> None:
    for bound in bounds:
        if bound.place != bounds[0].place:
            raise BoundError(
                f"one request, two places: {bounds[0]}, but {bound}: split the request, or drop one bound",
                bound.subject,
            )


def _keeps(placement: Placement, bounds: Sequence[Bound]) -> bool:
    return all(bound.allows(placement) for bound in bounds)


def _bounded(route: Route, plan: Plan, bounds: Sequence[Bound]) -> Settled:
    if _keeps(plan.features[route.module], bounds):
        return Settled(route.module, "as routed", route.reason)
    bound = bounds[0]
    for module in _instead(route.feature, plan, bound.place):
        if _keeps(plan.features[module], bounds):
            return Settled(module, "moved", f"{bound}: moved from {route.module} to {module}", bound=bound)
    raise BoundError(
        f"{bound}, but {route.module} is {plan.features[route.module]}, and no module of the plan runs on "
        f"the {bound.place} alone: add a feature that does, or drop the bound",
        bound.subject,
    )


def _instead(feature: str, plan: Plan, place: str) -> Iterator[str]:
    """Modules to try, the nearest first."""
    yield own_module(plan, feature)
    if place == EDGE and (module := edge_module(plan, feature)) is not None:
        yield module
    yield from modules_at(plan, place)


def _offline(settled: Settled, route: Route, plan: Plan, bounds: Sequence[Bound]) -> Settled:
    if plan.features[settled.module].is_local:
        return settled
    owner = own_module(plan, route.feature)
    answer = plan.answers_offline(owner)
    if answer is None:
        raise OfflineError(
            f"there is no link, {settled.module} is {plan.features[settled.module]}, and {owner} has no "
            f"fallback: give its placement one, a local feature's name or {QUEUE!r}"
        )
    if answer == QUEUE:
        return replace(settled, module=QUEUE, outcome="queued", reason="no link: waits for one")
    if not _keeps(plan.features[answer], bounds):
        bound = bounds[0]
        raise BoundError(
            f"{bound}, and with no link {owner} would be answered by {answer} on the edge: give it the "
            f"fallback {QUEUE!r}, or drop the bound",
            bound.subject,
        )
    reason = f"no link: {answer} answers instead of {settled.module}"
    return replace(settled, module=answer, outcome="degraded", reason=reason)


def _escalation(
    settled: Settled, route: Route, plan: Plan, bounds: Sequence[Bound], online: bool
) -> tuple[str | None, str]:
    """Where an answer that is not sure enough is asked for again, and why not where the route says."""
    target = route.escalate_to
    if target is None or settled.module in (target, QUEUE):
        return None, ""
    if settled.module != route.module and not plan.features[settled.module].is_local:
        return None, ""  # it was the edge that was not to be trusted
    placement = plan.placement(target)
    if not _keeps(placement, bounds):
        return None, f"{bounds[0]}: no second opinion from {target}"
    if not online and not placement.is_local:
        return None, f"no link: no second opinion from {target}"
    return target, ""
