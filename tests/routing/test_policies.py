"""One contract for all policies, and what each adds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.routing.plans import (
    CLOUD_8,
    EDGE_8,
    SITUATION,
    bound_plans,
    drawn_request,
    mixed_plan,
    policies,
    small,
)
from workbench.errors import InputError, PlanError, UnknownNameError
from workbench.plan import Partition, Placement, Plan
from workbench.routing import (
    POLICIES,
    Calibration,
    Cascade,
    Classified,
    CloudOnly,
    CostAware,
    EdgeOnly,
    Hybrid,
    Oracle,
    Policy,
    RandomChoice,
    Request,
    Route,
    Situation,
    Tagged,
    cloud_module,
    edge_module,
    make_policy,
)

PROMPT = "copy: a b c ="
ALL = [policy.name for policy in policies(mixed_plan(), PROMPT)]


def _policy(name: str, plan: Plan, prompt: str = PROMPT) -> Policy:
    return next(policy for policy in policies(plan, prompt) if policy.name == name)


# --- the contract ----------------------------------------------------------------------------------


def test_the_contract_is_run_against_every_policy() -> None:
    assert sorted(ALL) == sorted(POLICIES)


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_a_route_names_modules_of_the_plan_and_says_why(name: str, data: st.DataObject) -> None:
    plan = data.draw(bound_plans())
    request = data.draw(st.composite(drawn_request)(plan))
    policy = _policy(name, plan, request.prompt)
    before = plan.key
    try:
        route = policy.route(request, plan, SITUATION)
    except PlanError:
        nowhere = edge_module(plan, request.feature or "default") is None or cloud_module(plan) is None
        assert nowhere
        return
    assert route.module in plan.features
    assert route.escalate_to is None or route.escalate_to in plan.features
    assert route.escalate_to != route.module
    assert len(route.reason) > 5
    assert "\n" not in route.reason
    assert plan.key == before


@pytest.mark.parametrize("name", ALL)
def test_made_anew_it_routes_the_same(name: str) -> None:
    plan = mixed_plan()
    requests = [Request(PROMPT, tag) for tag in (None, "copy", "translate", "default") * 3]
    first, second = (
        [policy.route(request, plan, SITUATION) for request in requests]
        for policy in (_policy(name, plan), _policy(name, plan))
    )
    assert first == second


@pytest.mark.parametrize("name", ALL)
def test_confidence_is_a_probability_and_grows_with_the_tokens(name: str) -> None:
    policy = _policy(name, mixed_plan())
    route = Route("copy", "copy", "because")
    low, high = policy.confidence(route, [-3.0, -1.0]), policy.confidence(route, [-0.1, -0.01])
    assert 0 <= low < high <= 1


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("tag", ["copy", None])
def test_a_plan_of_one_feature_is_enough(name: str, tag: str | None) -> None:
    """A pure layer split: whatever is asked, the default answers."""
    plan = Plan("tiny", {"default": Placement(Partition.split(8, 4), fallback="queue")})
    policy, request = _policy(name, plan), Request(PROMPT, tag)
    if (name, tag) == ("tagged", "copy"):
        with pytest.raises(UnknownNameError, match="no feature is called 'copy'"):
            policy.route(request, plan, SITUATION)
    elif name in ("edge-only", "random"):
        with pytest.raises(PlanError, match="runs on the edge alone"):
            policy.route(request, plan, SITUATION)
    else:
        assert policy.route(request, plan, SITUATION).module == "default"


# --- each ------------------------------------------------------------------------------------------


def test_a_tag_is_followed_an_unknown_one_refused_and_none_said() -> None:
    plan, policy = mixed_plan(), Tagged()
    assert policy.route(Request("x", "translate"), plan, SITUATION).module == "translate"
    untagged = policy.route(Request("x"), plan, SITUATION)
    assert (untagged.module, untagged.reason) == ("default", "no tag: the default")
    with pytest.raises(UnknownNameError, match="did you mean 'translate'"):
        policy.route(Request("x", "translat"), plan, SITUATION)


def test_edge_and_cloud_modules() -> None:
    plan = mixed_plan()
    assert [edge_module(plan, f) for f in ("copy", "arithmetic", "translate", "unheard")] == ["copy"] * 4
    assert cloud_module(plan) == "default"
    local = Plan("tiny", {"default": EDGE_8, "b": CLOUD_8_QUEUED, "a": CLOUD_8_QUEUED})
    assert (edge_module(local, "a"), cloud_module(local)) == ("default", "a")
    assert edge_module(Plan("tiny", {"default": CLOUD_8_QUEUED}), "x") is None
    assert cloud_module(Plan("tiny", {"default": EDGE_8})) is None


CLOUD_8_QUEUED = Placement(CLOUD_8.partition, fallback="queue")


def test_baselines_say_what_a_plan_lacks() -> None:
    with pytest.raises(PlanError, match="put the default there, or split it"):
        CloudOnly().route(Request("x"), Plan("tiny", {"default": EDGE_8}), SITUATION)
    with pytest.raises(PlanError, match="add one that does"):
        EdgeOnly().route(Request("x"), Plan("tiny", {"default": CLOUD_8_QUEUED}), SITUATION)


@given(st.floats(0, 1))
def test_chance_keeps_its_share(share: float) -> None:
    policy, plan = RandomChoice(share, 1), mixed_plan()
    routes = [policy.route(Request("x", "copy"), plan, SITUATION).module for _ in range(400)]
    assert abs(routes.count("copy") / 400 - share) < 0.13  # five standard deviations


def test_the_classified_reads_the_text_and_not_the_tag() -> None:
    route = Classified(small(), 0.3).route(Request("copy: a b c d =", "translate"), mixed_plan(), SITUATION)
    assert (route.feature, route.module) == ("copy", "copy")
    assert 0.3 < route.sureness <= 1


def test_a_text_of_no_known_kind_goes_to_the_default() -> None:
    route = Classified(small(), 1.0).route(Request("wxyz"), mixed_plan(), SITUATION)
    assert (route.feature, route.module) == ("default", "default")
    assert re.match(r"only \d+% sure of \w+: the default", route.reason)


def test_a_cascade_asks_the_edge_first_and_the_default_then() -> None:
    plan, policy = mixed_plan(), Cascade(0.8, classifier=small())
    for tag in ("copy", "translate", "arithmetic"):
        route = policy.route(Request("x", tag), plan, SITUATION)
        assert (route.feature, route.module, route.escalate_to) == (tag, "copy", "default")
        assert route.threshold == 0.8
    only_cloud = Plan("tiny", {"default": CLOUD_8_QUEUED})
    assert policy.route(Request("x", "copy"), only_cloud, SITUATION).escalate_to is None


def test_a_cascade_holds_an_answer_against_its_features_calibration() -> None:
    calibration = Calibration({"copy": (0.0, 3.0)}, (0.0, -3.0))
    policy = Cascade(0.5, calibration, small())
    answers = [policy.confidence(Route(f, "copy", "r"), [-0.1]) for f in ("copy", "sort")]
    assert answers[0] > 0.9 > 0.1 > answers[1]


def test_the_hybrid_keeps_the_plans_placements_and_escalates_local_ones_by_their_threshold() -> None:
    plan = mixed_plan()
    policy = Hybrid(thresholds={"copy": 0.6, "translate": 0.9}, classifier=small())
    copied = policy.route(Request("x", "copy"), plan, SITUATION)
    assert (copied.module, copied.escalate_to, copied.threshold) == ("copy", "default", 0.6)
    split = policy.route(Request("x", "translate"), plan, SITUATION)
    assert (split.module, split.escalate_to, split.threshold) == ("translate", None, 0.0)


def test_cost_aware_takes_the_fastest_that_is_good_enough() -> None:
    quality = {("copy", "copy"): 0.5, ("copy", "default"): 0.95, ("copy", "translate"): 0.99}
    plan, request = mixed_plan(), Request("x", "copy")
    seconds = {"copy": 0.1, "default": 0.3, "translate": 0.2}
    situation = Situation(latency_s=lambda module, _: seconds[module])
    assert CostAware(quality, 0.9, small()).route(request, plan, situation).module == "translate"
    assert CostAware(quality, 0.4, small()).route(request, plan, situation).module == "copy"
    assert CostAware(quality, 1.0, small()).route(request, plan, situation).module == "translate"
    assert CostAware({}, 0.9, small()).route(request, plan, Situation()).reason.endswith("its own module")
    with pytest.raises(InputError, match="give Situation"):
        CostAware(quality, 0.4, small()).route(request, plan, Situation())
    with pytest.raises(InputError, match="at least 0"):
        CostAware(quality, 0.4, small()).route(request, plan, Situation(latency_s=lambda *_: float("nan")))


def test_the_oracle_takes_the_cheapest_right_one() -> None:
    plan, order = mixed_plan(), ("copy", "translate", "default")
    right = {("x", "copy"): False, ("x", "translate"): True, ("x", "default"): True, ("y", "copy"): False}
    policy = Oracle(right, order)
    assert policy.route(Request("x"), plan, SITUATION).module == "translate"
    assert policy.route(Request("y"), plan, SITUATION).module == "copy"
    with pytest.raises(InputError, match="was not told"):
        policy.route(Request("z"), plan, SITUATION)
    with pytest.raises(UnknownNameError, match="no module of the plan is called 'elsewhere'"):
        Oracle(right, ("elsewhere",)).route(Request("x"), plan, SITUATION)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "0.5", True])
def test_a_threshold_outside_0_to_1_is_refused(value: object) -> None:
    for make in (
        lambda v: Cascade(v),
        lambda v: Hybrid(thresholds={"copy": v}),
        lambda v: Hybrid(threshold=v),
        lambda v: Classified(least_sure=v),
        lambda v: CostAware({}, v),
        lambda v: CostAware({("copy", "copy"): v}),
        lambda v: RandomChoice(v),
        lambda v: Route("copy", "copy", "r", threshold=v),
    ):
        with pytest.raises(InputError, match="from 0 to 1"):
            make(value)


def test_policies_by_name() -> None:
    assert isinstance(make_policy("cascade", threshold=0.4), Cascade)
    with pytest.raises(UnknownNameError, match="did you mean 'cascade'"):
        make_policy("cascades")
    with pytest.raises(InputError, match="'tagged' takes"):
        make_policy("tagged", threshold=0.4)
    with pytest.raises(InputError, match="missing a required argument: 'quality'"):
        make_policy("cost-aware")
