"""No bound is broken, whatever a policy says; offline a request goes on, degrades, waits or is refused."""

from __future__ import annotations

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.routing.plans import EDGE_8, SITUATION, bound_plans, drawn_request, mixed_plan, policies
from workbench.errors import BoundError, OfflineError, PlanError, UnknownNameError
from workbench.plan import QUEUE, Bound, Partition, Placement, Plan
from workbench.routing import (
    OUTCOMES,
    CloudOnly,
    Request,
    Route,
    Settled,
    Situation,
    Tagged,
    find_sensitive,
    settle,
)

ONLINE, OFFLINE = Situation(), Situation(online=False)
REMOTE = Placement(Partition.unsplit(8, "cloud"))


@given(st.data(), st.booleans(), st.integers(0, 9))
def test_no_policy_prompt_or_plan_breaks_a_bound(data: st.DataObject, online: bool, which: int) -> None:
    plan = data.draw(bound_plans())
    request = data.draw(st.composite(drawn_request)(plan))
    policy = policies(plan, request.prompt)[which]
    try:
        route = policy.route(request, plan, SITUATION)
    except PlanError:
        return
    _settle_and_check(route, request, plan, online)


@settings(max_examples=300)
@given(st.data(), st.booleans())
def test_no_route_breaks_a_bound(data: st.DataObject, online: bool) -> None:
    """A policy of somebody's own may say anything that the plan has."""
    plan = data.draw(bound_plans())
    request = data.draw(st.composite(drawn_request)(plan))
    feature, module, target = (data.draw(st.sampled_from(sorted(plan.features))) for _ in range(3))
    _settle_and_check(Route(feature, module, "so", target, 0.5), request, plan, online)


def _settle_and_check(route: Route, request: Request, plan: Plan, online: bool) -> None:
    subjects = [route.feature, request.feature, *(f.data_class for f in find_sensitive(request.prompt))]
    bounds = [bound for s in subjects if s is not None and (bound := plan.bound_of(s))]
    try:
        settled = settle(route, request, plan, Situation(online))
    except BoundError as refusal:
        event("refused by a bound")
        settled, refused = None, refusal.subject in {bound.subject for bound in bounds}
    except OfflineError:
        event("refused with no link")
        settled, refused = None, not online
    if settled is None:
        assert refused
        return
    event(settled.outcome)
    _check_settled(settled, plan, bounds, online)
    assert (settled.outcome == "as routed") == (settled.module == route.module and settled.bound is None)


def _check_settled(settled: Settled, plan: Plan, bounds: list[Bound], online: bool) -> None:
    assert settled.outcome in OUTCOMES
    assert settled.reason
    assert (settled.module == QUEUE) == (settled.outcome == "queued")
    for name in (settled.module, settled.escalate_to):
        if name in (None, QUEUE):
            continue
        placement = plan.features[name]
        assert all(bound.allows(placement) for bound in bounds)
        assert online or placement.is_local


@given(st.sampled_from(["contact", "number", "name", "health"]), st.booleans())
def test_what_a_prompt_holds_stays_on_the_edge(data_class: str, disguised: bool) -> None:
    secret = {
        "contact": "jo@example.com",
        "number": "4111111111111111",
        "name": "Katharina",
        "health": "insulin",
    }
    prompt = " ".join(secret[data_class]) if disguised else f"about {secret[data_class]} again"
    plan, request = mixed_plan(Bound(data_class, "edge")), Request(prompt, "translate")
    settled = settle(Tagged().route(request, plan, SITUATION), request, plan, ONLINE)
    assert (settled.module, settled.outcome) == ("copy", "moved")
    assert settled.bound == Bound(data_class, "edge")
    assert data_class in {finding.data_class for finding in settled.findings}
    assert f"{data_class} stays on the edge" in settled.reason


def test_a_feature_bound_to_the_cloud_is_moved_there_all_of_it() -> None:
    plan = mixed_plan(Bound("arithmetic", "cloud"))
    route = Route("arithmetic", "translate", "chosen by hand")
    assert settle(route, Request("x"), plan, ONLINE).module == "arithmetic"
    cascaded = Route("arithmetic", "copy", "the edge first", "default", 0.5)
    settled = settle(cascaded, Request("x"), plan, ONLINE)
    assert (settled.module, settled.escalate_to) == ("arithmetic", None)


def test_the_tag_is_bound_too_where_the_text_reads_as_something_else() -> None:
    plan = mixed_plan(Bound("copy", "edge"))
    settled = settle(Route("translate", "translate", "r"), Request("x", "copy"), plan, ONLINE)
    assert (settled.module, settled.outcome) == ("copy", "moved")


def test_with_nowhere_to_go_it_is_refused_with_the_way_out() -> None:
    plan = Plan("tiny", {"default": REMOTE}, (Bound("health", "edge"),))
    request = Request("insulin")
    with pytest.raises(BoundError, match=r"but default is cloud .* add a feature") as error:
        settle(CloudOnly().route(request, plan, SITUATION), request, plan, ONLINE)
    assert error.value.subject == "health"


def test_two_bounds_to_two_places_are_refused() -> None:
    plan = mixed_plan(Bound("health", "edge"), Bound("contact", "cloud"))
    request = Request("insulin for jo@example.com")
    with pytest.raises(BoundError, match="one request, two places"):
        settle(CloudOnly().route(request, plan, SITUATION), request, plan, ONLINE)


def test_a_second_opinion_that_breaks_a_bound_is_not_asked_for() -> None:
    plan, request = mixed_plan(Bound("health", "edge")), Request("insulin")
    settled = settle(Route("copy", "copy", "the edge first", "default", 0.5), request, plan, ONLINE)
    assert (settled.escalate_to, settled.outcome) == (None, "as routed")
    assert settled.reason == "the edge first; health stays on the edge: no second opinion from default"
    free = settle(Route("copy", "copy", "the edge first", "default", 0.5), Request("x"), plan, ONLINE)
    assert (free.escalate_to, free.reason) == ("default", "the edge first")


# --- no link ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feature", "module", "outcome"),
    [("copy", "copy", "as routed"), ("arithmetic", "copy", "degraded"), ("translate", QUEUE, "queued")],
)
def test_with_no_link_the_plan_says_who_answers(feature: str, module: str, outcome: str) -> None:
    settled = settle(Route(feature, feature, "r", "default", 0.5), Request("x"), mixed_plan(), OFFLINE)
    assert (settled.module, settled.outcome, settled.escalate_to) == (module, outcome, None)
    assert settled.outcome == "as routed" or settled.reason.startswith("no link: ")


def test_with_no_link_and_no_fallback_it_is_refused_with_the_way_out() -> None:
    plan = Plan("tiny", {"default": REMOTE, "copy": EDGE_8})
    with pytest.raises(OfflineError, match="give its placement one, a local feature's name or 'queue'"):
        settle(Route("default", "default", "r"), Request("x"), plan, OFFLINE)


def test_a_local_feature_that_was_routed_to_the_cloud_answers_itself() -> None:
    settled = settle(Route("copy", "default", "r"), Request("x"), mixed_plan(), OFFLINE)
    assert (settled.module, settled.outcome) == ("copy", "degraded")


def test_degrading_keeps_bounds() -> None:
    """A class of data that has to stay in the cloud is not answered on the edge because the link is gone."""
    plan, request = mixed_plan(Bound("number", "cloud")), Request("4111 1111 1111 1111")
    with pytest.raises(BoundError, match="with no link arithmetic would be answered by copy"):
        settle(Route("arithmetic", "arithmetic", "r"), request, plan, OFFLINE)
    with pytest.raises(BoundError, match="number stays in the cloud"):
        settle(
            Route("default", "default", "r"), request, Plan("tiny", {"default": EDGE_8}, plan.bounds), OFFLINE
        )


def test_a_route_to_a_module_that_the_plan_lacks_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'translate'"):
        settle(Route("x", "translat", "r"), Request("x"), mixed_plan(), ONLINE)
