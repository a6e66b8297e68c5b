"""Planners are right: each against the plain loop over every plan that the cost model can predict."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cost.models import LLAMA_8B, llama
from tests.planner.problems import EDGE_CLOUD, MODEL, problems
from workbench import profiles
from workbench.errors import InfeasibleError, InputError, UnknownNameError
from workbench.plan import Partition, Plan
from workbench.planner import (
    Chains,
    Choices,
    Exhaustive,
    Exit,
    Limits,
    Pin,
    Planner,
    Problem,
    Request,
    n_plans,
    plan,
)
from workbench.planner.answer import traced
from workbench.planner.landscape import Landscape
from workbench.planner.limits import bounds_of
from workbench.planner.score import Score

LTE = profiles.link("lte")
SIMPLE = Problem(MODEL, EDGE_CLOUD, (LTE,))


def _brute(problem: Problem) -> float | None:
    """The least score of any plan within the limits: one plan after the other, nothing clever."""
    batches = list(Landscape(problem).plans())
    score = Score(problem, [p for p in batches if len(p.route.places) == 1])
    found = [
        float(score.of(plans.numbers)[i])
        for plans in batches
        for i in range(len(plans))
        if all(bound.excess[i] <= 1e-9 for bound in bounds_of(problem, plans))
    ]
    return min(found, default=None)


def _found(planner: Planner, problem: Problem) -> float | None:
    try:
        answer = planner.plan(problem)
    except InfeasibleError:
        return None
    batches = [p for p in Landscape(problem).plans() if len(p.route.places) == 1]
    values = {name: np.array([value]) for name, value in answer.best.values.items()}
    return float(Score(problem, batches).of(values)[0])


@settings(max_examples=80, deadline=None)
@given(problems(most_places=3, pins=True))
def test_enumeration_finds_the_least(problem: Problem) -> None:
    assert _found(Exhaustive(), problem) == _brute(problem)


@settings(max_examples=150, deadline=None)
@given(problems(most_places=4, u_shaped=False, pins=True), st.booleans())
def test_dynamic_programming_is_exact(problem: Problem, for_throughput: bool) -> None:
    if for_throughput:
        problem = problem.with_(aims={"throughput": 1.0})
    found, least = _found(Chains(), problem), _brute(problem)
    if least is None:
        assert found is None
    else:
        assert found == pytest.approx(least, rel=1e-9)


@settings(max_examples=150, deadline=None)
@given(problems(most_places=3, u_shaped=False), st.integers(0, 10**6), st.sampled_from([1.0, 0.99, 0.9]))
def test_it_is_exact_up_to_what_a_place_may_compute(problem: Problem, nth: int, share: float) -> None:
    """A limit at what some plan takes, or a little below."""
    taken = [s for plans in Landscape(problem).plans() for s in plans.busy_s.get(problem.user, ())]
    limits = Limits(busy_s={problem.user: share * float(sorted(taken)[nth % len(taken)])})
    problem = problem.with_(limits=limits)
    found, least = _found(Chains(), problem), _brute(problem)
    assert found == (None if least is None else pytest.approx(least, rel=1e-9))


def test_one_cut_is_found_by_predicting_them_all() -> None:
    """Not even the columns are trusted: ``cost.predict`` alone."""
    problem = SIMPLE.with_(choices=Choices(bits={"edge": (16,), "cloud": (16,)}, wires=("fp16",)))
    partitions = [Partition.unsplit(6, "edge"), Partition.unsplit(6, "cloud")]
    partitions += [Partition.split(6, k) for k in range(7)]
    best = min((Plan.of("m", p) for p in partitions), key=lambda p: traced(problem, p).token_times_s[-1])
    assert plan(problem).best.plan == best


def test_a_hundred_quadrillion_plans_are_no_matter() -> None:
    model = llama("70b", 80, 8192, 28672, 64, 8, 128_256)
    names = ["galaxy-s24", "jetson-orin-nano", "jetson-agx-orin", "macbook-m1-pro", "rtx-4090", "h100-sxm"]
    tiers = {f"tier{i}": profiles.device(name) for i, name in enumerate(names)}
    problem = Problem(model, tiers, (profiles.link("ethernet"),) * 5)
    assert n_plans(problem) > 10**10
    answer = plan(problem)
    assert answer.planner == "chains"
    with pytest.raises(InputError, match="use the planner"):
        Exhaustive().plan(problem)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"limits": Limits(total_s=1.0)}, "limit total_s"),
        ({"aims": {"edge_energy": 1.0}}, "edge_energy"),
        ({"front": ("total", "bytes")}, "a front"),
        ({"choices": Choices(u_shaped=True)}, "U-shape"),
    ],
)
def test_what_does_not_add_up_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Chains().plan(SIMPLE.with_(**changes))


def test_unknown_planners_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'chains'"):
        plan(SIMPLE, "chain")


@settings(max_examples=40, deadline=None)
@given(problems())
def test_the_front_is_what_nothing_beats(problem: Problem) -> None:
    problem = problem.with_(front=("total", "bytes"))
    batches = list(Landscape(problem).plans())
    points = sorted(
        (float(plans.numbers["total"][i]), float(plans.numbers["bytes"][i]))
        for plans in batches
        for i in range(len(plans))
        if all(bound.excess[i] <= 1e-9 for bound in bounds_of(problem, plans))
    )
    front, least = [], math.inf
    for total, n_bytes in points:
        if n_bytes < least:
            front.append((total, n_bytes))
            least = n_bytes
    if not points:
        return
    found = [(p.values["total"], p.values["bytes"]) for p in Exhaustive().plan(problem).front]
    assert found == front


# ---- limits


def test_pins_hold() -> None:
    private = (Pin("embedding", "edge"), Pin("head", "edge"), Pin("blocks", "edge", 0, 2))
    answer = plan(SIMPLE.with_(pins=private, choices=Choices(u_shaped=True)))
    stages = answer.best.plan.partition.stages
    assert stages[0].place == stages[-1].place == "edge"
    assert stages[0].stop >= 2
    everything = plan(SIMPLE.with_(pins=(Pin("everything", "cloud"),)))
    assert everything.best.plan.partition.places == ("cloud",)
    assert everything.best_split is None
    assert everything.baselines["edge-only"].broken


def test_what_binds_is_said_and_by_how_much() -> None:
    tight = SIMPLE.with_(limits=Limits(total_s=1e-6, memory_bytes={"edge": 1e3}))
    with pytest.raises(
        InfeasibleError, match=r"No plan keeps: .*total needs .* of 0.001 ms .* over"
    ) as caught:
        plan(tight)
    assert "none of 195 plans" in str(caught.value)
    assert caught.value.binding == ("total",)


def test_the_limit_that_would_help_is_named() -> None:
    problem = SIMPLE.with_(pins=(Pin("everything", "edge"),), limits=Limits(memory_bytes={"edge": 1e6}))
    with pytest.raises(InfeasibleError) as caught:
        plan(problem)
    assert set(caught.value.binding) == {"memory of edge", "pin everything on edge"}
    assert "Without pin everything on edge" in str(caught.value)


def test_limits_a_month_are_told_per_request() -> None:
    free = plan(SIMPLE)
    n_bytes = plan(SIMPLE.with_(pins=(Pin("everything", "cloud"),))).best.values["bytes"]
    limits = Limits(bytes_per_month=100 * n_bytes - 1, requests_per_month=100)
    answer = plan(SIMPLE.with_(limits=limits, aims={"edge_energy": 1.0}))
    assert answer.baselines["cloud-only"].broken[0].startswith("data a month needs")
    assert free.n_feasible > answer.n_feasible
    with pytest.raises(InputError, match="requests_per_month"):
        Limits(battery_j=5.0)


def test_an_offline_exit_stays_whole_on_the_edge() -> None:
    exits = (Exit(2, 0.6), Exit(4, 0.9))
    problem = SIMPLE.with_(exits=exits, limits=Limits(offline_quality=0.8), aims={"ttft": 1.0})
    answer = plan(problem)
    assert answer.best.plan.partition.stages[0].stop >= 4
    assert answer.best.plan.partition.stages[0].place == "edge"
    with pytest.raises(InfeasibleError, match="offline exit"):
        plan(problem.with_(limits=Limits(offline_quality=0.95)))
    with pytest.raises(InputError, match="no exits"):
        SIMPLE.with_(limits=Limits(offline_quality=0.5))


def test_computing_can_be_limited() -> None:
    none_there = plan(SIMPLE.with_(limits=Limits(busy_s={"cloud": 0.0})))
    assert none_there.best.plan.partition.places == ("edge",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"aims": {"speed": 1.0}}, "no objective is called 'speed'"),
        ({"aims": {}}, "nothing to optimise"),
        ({"aims": {"total": -1.0}}, "not negative"),
        ({"aims": {"loss": 1.0}}, "never measured"),
        ({"aims": {"price": 1.0}}, "needs prices"),
        ({"pins": (Pin("head", "moon"),)}, "no place of a pin is called 'moon'"),
        ({"pins": (Pin("blocks", "edge", 0, 99),)}, "out of range"),
        ({"links": ()}, "need 1 links"),
        ({"choices": Choices(bits={"moon": (16,)})}, "choice of bits"),
        ({"request": Request(10**6, 10**6)}, "positions"),
        ({"limits": Limits(memory_bytes={"moon": 1.0})}, "place of a limit"),
    ],
)
def test_bad_problems_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SIMPLE.with_(**changes)


@pytest.mark.parametrize("make", [lambda: Limits(total_s=-1.0), lambda: Limits(busy_s={"edge": math.inf})])
def test_limits_are_numbers(make: object) -> None:
    with pytest.raises(InputError, match="finite and not negative"):
        make()  # type: ignore[operator]


# ---- verdicts


def test_a_baseline_that_wins_is_said_with_its_reason() -> None:
    problem = Problem(
        LLAMA_8B, {"edge": profiles.device("jetson-agx-orin"), "cloud": EDGE_CLOUD["cloud"]}, (LTE,)
    )
    answer = plan(problem.with_(aims={"tpot": 1.0}))
    assert not answer.splits
    assert answer.verdict.startswith("Don't split: cloud-only is faster by ")
    assert " ms a token (" in answer.verdict
    assert "the link's round trip is " in answer.verdict
    assert answer.verdict.endswith("% of the split's decode step.")


def test_a_split_that_wins_says_over_what() -> None:
    private = SIMPLE.with_(
        model=LLAMA_8B,
        pins=(Pin("embedding", "edge"),),
        links=(profiles.link("ethernet"),),
        aims={"ttft": 1.0},
    )
    answer = plan(private)
    assert answer.splits
    assert answer.verdict.startswith("Split: split at ")
    assert "than edge-only: computing on edge is " in answer.verdict
    assert answer.verdict.endswith("cloud-only cannot be: pin embedding on edge is not kept.")


def test_too_close_to_call_is_no_split() -> None:
    still = SIMPLE.with_(devices={"edge": EDGE_CLOUD["edge"], "cloud": EDGE_CLOUD["edge"]})
    answer = plan(still.with_(links=(profiles.LinkProfile(0.0, 1e12, 1e12),)))
    assert answer.verdict.startswith(("Don't split for this: ", "Don't split: "))


def test_an_answer_is_plain_json() -> None:
    import json

    answer = plan(SIMPLE.with_(front=("total", "edge_energy")))
    data = json.loads(json.dumps(answer.to_dict()))
    assert data["best"]["label"] == "modelled"
    assert Plan.from_dict(data["best"]["plan"]) == answer.best.plan
    assert set(data["baselines"]) == {"edge-only", "cloud-only"}
    assert data["n_plans"] == n_plans(answer.problem)
