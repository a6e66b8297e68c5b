"""What a routing panel knows: where features may run, what a plan gives, and whether it pays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from tests.exploration.routed import make_known, make_plan, make_setting
from workbench.errors import InputError, PlanError, UnknownNameError
from workbench.exploration.replaying import Replay
from workbench.exploration.routing import (
    Router,
    number_rows,
    placements_of,
    routing_verdict,
    title_of,
)
from workbench.plan import CLOUD, EDGE, QUEUE, Bound, Partition, Placement, Plan
from workbench.routing import Expected

KNOWN = make_known()


def expected(quality: float, latency_s: float, name: str = "") -> Expected:
    return Expected(quality, latency_s, 2 * latency_s, 0.1, 100.0, 0.5, 0.1, name=name)


def test_menus_offer_measured_modules_and_an_adapter_to_its_own_feature() -> None:
    plan = make_plan()
    sort, arithmetic = (placements_of(name, plan, KNOWN) for name in ("sort", "arithmetic"))
    assert set(arithmetic) - set(sort) == {"edge: m@4 + arithmetic"}
    assert list(sort) == [
        "edge: m@4",
        "edge: m",
        "split at 2: m",
        "split at 4: m",
        "split at 6: m",
        "cloud: m",
    ]
    for feature in plan.features:
        assert title_of(plan.placement(feature), placements_of(feature, plan, KNOWN))


def test_a_bound_feature_is_offered_what_keeps_the_bound() -> None:
    plan = make_plan()
    bound = Plan(plan.model, plan.features, (Bound("sort", EDGE),))
    assert list(placements_of("sort", bound, KNOWN)) == ["edge: m@4", "edge: m"]


def test_what_was_not_measured_is_offered_as_it_was_given() -> None:
    plan = make_plan(sort=Placement(Partition.split(8, 3, 4, 16), "int4"))
    offered = placements_of("sort", plan, KNOWN)
    assert title_of(plan.placement("sort"), offered).startswith("as given: ")


def test_whatever_is_placed_anywhere_has_a_fallback_that_works() -> None:
    setting = make_setting()
    cloud, split = Placement(Partition.unsplit(8, CLOUD)), Placement(Partition.split(8, 4), "fp16")
    moved = setting.placed(sort=cloud, small=split).plan
    assert moved.features["sort"].fallback == QUEUE  # the default's is no longer local
    assert moved.features["default"].fallback == QUEUE
    assert setting.placed(sort=cloud).plan.features["sort"].fallback == "small"
    assert setting.placed(copy=setting.plan.features["small"]).plan.features["copy"].fallback is None
    with pytest.raises(UnknownNameError, match="sorting"):
        setting.placed(sorting=cloud)


@given(st.data())
def test_every_choice_of_menus_is_a_plan(data: st.DataObject) -> None:
    setting = make_setting()
    chosen = {
        name: data.draw(st.sampled_from(list(placements_of(name, setting.plan, KNOWN).values())))
        for name in setting.plan.features
    }
    plan = setting.placed(**chosen).plan
    assert all(p.is_local or p.fallback is not None for p in plan.features.values())


def test_a_setting_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="from 0 to 1"):
        replace(make_setting(), threshold=1.5)
    with pytest.raises(UnknownNameError, match="beauty"):
        replace(make_setting(), cost="beauty")
    bound = Plan("m", make_plan().features, (Bound("sort", EDGE),))
    with pytest.raises(PlanError, match="move it, or drop the bound"):
        make_setting(bound).placed(sort=Placement(Partition.unsplit(8, CLOUD)))


def test_a_look_has_the_present_threshold_on_its_curve() -> None:
    found = Router(KNOWN).look(make_setting())
    assert found.here is not None
    assert found.here in found.curves["hybrid"]
    edge, cloud = found.ends
    assert edge.edge_share == pytest.approx(1)
    assert cloud.edge_share == 0
    assert edge.quality < found.here.quality
    assert found.sentence.startswith("The hybrid")


def test_another_link_or_plan_gives_other_numbers_and_the_same_one_the_same() -> None:
    router, setting = Router(KNOWN), make_setting()
    first = router.look(setting)
    assert router.look(replace(setting, threshold=0.1)).curves is first.curves
    slower = replace(setting.link, rtt_s=1.0)
    assert router.look(replace(setting, link=slower)).ends[1].latency_s > first.ends[1].latency_s
    assert router.look(setting).ends == first.ends
    moved = setting.placed(sort=Placement(Partition.unsplit(8, CLOUD)))
    assert router.look(moved).curves["hybrid"] != first.curves["hybrid"]


def test_many_settings_are_not_all_kept() -> None:
    router, setting = Router(KNOWN), make_setting()
    for i in range(30):
        router.look(replace(setting, link=replace(setting.link, name=f"l{i}")))
    assert len(router._outlooks) == len(router._curves) == 24


def test_a_plan_without_a_cloud_has_nothing_to_compare() -> None:
    setting = make_setting()
    local = setting.plan.features["small"]
    found = Router(KNOWN).look(setting.placed(**dict.fromkeys(setting.plan.features, local)))
    assert found.here is None
    assert "nothing of the plan runs in the cloud" in found.sentence
    assert number_rows(found)[1] == []


def test_a_hybrid_pays_where_neither_end_nor_a_coin_is_as_good() -> None:
    edge, cloud = expected(0.8, 0.01), expected(0.99, 0.1)
    assert routing_verdict(expected(0.98, 0.03), edge, cloud).startswith(
        "The hybrid pays: 98.0% right at 30 ms"
    )
    assert "coin between both of that quality would take 95.3 ms" in routing_verdict(
        expected(0.98, 0.03), edge, cloud
    )
    assert "does not pay: the edge alone" in routing_verdict(expected(0.8, 0.03), edge, cloud)
    assert "does not pay: the cloud alone" in routing_verdict(expected(0.97, 0.2), edge, cloud)
    better = routing_verdict(expected(0.999, 0.2), edge, cloud)
    assert "does not pay: it costs more than the cloud alone (99.9% right at 200 ms" in better
    assert "does not pay: a coin" in routing_verdict(expected(0.9, 0.09), edge, cloud)
    assert routing_verdict(expected(0.9, 0.09), edge, cloud, cost="bytes").startswith(
        "The hybrid does not pay"
    )


def test_numbers_stand_beside_both_ends_with_their_source() -> None:
    head, rows = number_rows(Router(KNOWN).look(make_setting()))
    assert head == ["", "hybrid", "edge-only", "cloud-only", "source"]
    table = {row[0]: row[1:] for row in rows}
    assert table["quality"][-1] == "measured"
    assert table["mean latency"][-1] == "modelled"
    assert table["quality ÷ cloud-only"][2] == "1.000"
    assert table["bytes over the link"][1] == "0"
    assert table["requests on the edge alone"][1:3] == ["100%", "0%"]


def test_a_replay_draws_the_features_that_the_plan_has() -> None:
    replay = Replay(make_setting(), n=40, rate_per_s=10.0)
    workload = replay.workload
    assert {request.truth for request in workload} == {"sort", "arithmetic", "copy", "continue"}
    assert {request.feature for request in workload} == {None}
    assert replace(replay, tagged=True).workload.features == ("arithmetic", "continue", "copy", "sort")
    assert workload == replay.workload
    with pytest.raises(InputError, match="at least one request"):
        Replay(make_setting(), n=0)


def test_the_public_door_is_named() -> None:
    assert "place" in wb.__all__
