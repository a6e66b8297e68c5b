"""Every plan at once says what one prediction after the other says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.cost.models import LLAMA_70B
from tests.planner.problems import EDGE_CLOUD, MODEL, problems
from workbench import profiles
from workbench.plan import Plan
from workbench.planner import Choices, Prices, Problem, Request
from workbench.planner.answer import traced
from workbench.planner.landscape import Landscape, Plans
from workbench.planner.routes import Route, all_cuts, partition_along, routes_of


def _all(problem: Problem) -> Iterator[tuple[Plan, Plans, int]]:
    for plans in Landscape(problem).plans():
        for index in range(len(plans)):
            yield plans.plan(problem.model.name, index), plans, index


def test_large_messages_pay_for_long_pauses() -> None:
    """16 KiB per token do not fit into a first window of ten segments."""
    tiers = {"edge": profiles.device("jetson-agx-orin"), "cloud": EDGE_CLOUD["cloud"]}
    for name, rtt_s in (("lte", 0.07), ("fibre", 0.01), ("geostationary", 0.6)):
        link = replace(profiles.link(name), rtt_s=rtt_s, jitter_s=0.0, loss=0.0)
        problem = Problem(LLAMA_70B, tiers, (link,), choices=Choices(wires=("fp32", "fp16", "int8")))
        for k in (0, 20, 60, 80):
            for plan, plans, index in _all(problem):
                if plan.partition.split_points == (k,) and {s.bits for s in plan.partition.stages} == {8}:
                    trace = traced(problem, plan)
                    assert plans.numbers["tpot"][index] == pytest.approx(trace.tpot_s, rel=0.05)


@settings(max_examples=40, deadline=None)
@given(problems(most_places=3), st.randoms(use_true_random=False))
def test_columns_equal_predictions(problem: Problem, dice: object) -> None:
    assume(all(len(Landscape(problem).crossings(wire).pauses) == 1 for wire in problem.choices.wires))
    found = list(_all(problem))
    for plan, plans, index in dice.sample(found, min(8, len(found))):  # type: ignore[attr-defined]
        trace = traced(problem, plan)
        numbers = {name: float(column[index]) for name, column in plans.numbers.items()}
        # Contexts are sampled, and tokens of a split that begins beyond the user's device queue on their way.
        share = 0.05 if len(plans.route.places) > 1 and plans.route.places[0] != problem.user else 0.01
        assert numbers["ttft"] == pytest.approx(trace.ttft_s, rel=1e-9)
        assert numbers["total"] == pytest.approx(trace.token_times_s[-1], rel=share)
        assert numbers["tpot"] == pytest.approx(trace.tpot_s, rel=share, abs=1e-9)
        assert numbers["bytes"] == trace.bytes_up + trace.bytes_down
        energy = trace.energy_j[problem.user] + trace.energy_j["radio"]
        assert numbers["edge_energy"] == pytest.approx(energy, rel=share)
        for place, held in plans.memory_bytes.items():
            assert held[index] == pytest.approx(trace.memory_bytes.get(place, 0), rel=1e-6, abs=2)


def test_every_plan_is_there_once() -> None:
    problem = Problem(MODEL, EDGE_CLOUD, (profiles.link("lte"),), choices=Choices(u_shaped=True))
    keys = [plan.key for plan, _, _ in _all(problem)]
    assert len(keys) == len(set(keys))
    splits, u_shapes = 7 * 9 * 3, 21 * 9 * 3
    assert len(keys) == 3 + 3 + splits + u_shapes


def test_batches_of_any_size_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(MODEL, EDGE_CLOUD, (profiles.link("lte"),))
    whole = {plan.key: plans.numbers["total"][i] for plan, plans, i in _all(problem)}
    monkeypatch.setattr("workbench.planner.landscape._AT_ONCE", 50)
    assert {plan.key: plans.numbers["total"][i] for plan, plans, i in _all(problem)} == whole


def test_another_link_shares_what_is_computed() -> None:
    problem = Problem(MODEL, EDGE_CLOUD, (profiles.link("lte"),))
    other = problem.with_(links=(profiles.link("wifi-6"),))
    shared = Landscape(problem)
    list(shared.plans())
    fresh = [plans.numbers["total"].tolist() for plans in Landscape(other).plans()]
    assert [plans.numbers["total"].tolist() for plans in shared.over(other).plans()] == fresh


def test_prices_add_hours_and_bytes() -> None:
    problem = Problem(
        MODEL,
        EDGE_CLOUD,
        (profiles.link("lte"),),
        request=Request(64, 10, 2),
        prices=Prices({"cloud": 3.6}, per_gb=1000.0),
        aims={"price": 1.0},
    )
    for plan, plans, index in _all(problem):
        trace = traced(problem, plan)
        busy_s = sum(s.duration_s for s in trace.spans if s.place == "cloud")
        price = (busy_s * 1e-3 + (trace.bytes_up + trace.bytes_down) * 1e-6) / 20
        assert plans.numbers["price"][index] == pytest.approx(price, rel=1e-3)


def test_throughput_is_that_of_the_slowest() -> None:
    problem = Problem(MODEL, EDGE_CLOUD, (profiles.link("loopback"),), aims={"throughput": 1.0})
    for plan, plans, index in _all(problem):
        if len(plan.partition.stages) == 1:
            continue
        trace = traced(problem, plan)
        busy = trace.seconds_by(phase="decode")
        slowest_s = max(s for (place, _), s in busy.items() if place != "link") / (trace.n_tokens - 1)
        assert plans.numbers["throughput"][index] == pytest.approx(1 / slowest_s, rel=1e-3)


def test_routes_of_three_places() -> None:
    found = {route.places for route in routes_of(("a", "b", "c"), u_shaped=False)}
    assert found == {("a",), ("b",), ("c",), ("a", "b"), ("b", "c"), ("a", "b", "c")}
    assert Route(("a", "b", "a")) in routes_of(("a", "b", "c"), u_shaped=True)


def test_a_place_that_is_passed_by_has_no_stage() -> None:
    route = Route(("a", "b", "c"))
    partition = partition_along(route, [0, 2, 2, 4], {"a": 16, "b": 8, "c": 4})
    assert partition.places == ("a", "c")
    assert len(all_cuts(route, 4)) == route.n_plans(4)
