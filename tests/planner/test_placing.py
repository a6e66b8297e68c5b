"""Placing features is exact: brute force over whole plans finds the same fronts, and nothing that breaks."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planner.placings import ADAPTERS, DEVICES, LINK, MODELS, POOL, TASKS, covers, small_problem
from workbench.cost import fits_together, predict
from workbench.errors import DoesNotFitError, InfeasibleError, InputError, PlanError, UnknownNameError
from workbench.plan import CLOUD, EDGE, QUEUE, Bound, Plan
from workbench.planner import (
    PLACING_AIMS,
    Demand,
    PlacingAnswer,
    PlacingLimits,
    PlacingProblem,
    Prices,
    non_dominated,
    place,
)
from workbench.planner.placing import Table, exact_front
from workbench.trace import RequestTrace

_PRICES = Prices({CLOUD: 3.0, EDGE: 0.01}, per_gb=2.0)


@cache
def _trace(module: str, prompt: int, new: int) -> RequestTrace:
    plan = Plan("small", {"default": POOL[module]})
    model = MODELS[plan.model_of()]
    return predict(plan, model, DEVICES, LINK, prompt_tokens=prompt, new_tokens=new, must_fit=False)


@st.composite
def problems(draw: st.DrawFn) -> PlacingProblem:
    """Up to three features and four modules; the default is among the features, or a module's name."""
    modules = draw(st.lists(st.sampled_from(sorted(POOL)), min_size=1, max_size=4, unique=True))
    named = draw(st.booleans())
    names = draw(st.lists(st.sampled_from(["copy", "sort", "recall"]), min_size=1, max_size=3, unique=True))
    if not named:
        names[0] = "default"
    demands = tuple(
        Demand(f, draw(st.integers(1, 4)), draw(st.sampled_from([16, 200])), draw(st.sampled_from([1, 8])))
        for f in names
    )
    quality = {(f, m): draw(st.integers(0, 20)) / 20 for f in names for m in modules if draw(_OFTEN)}
    for f in names:
        quality.setdefault((f, draw(st.sampled_from(modules))), 0.5)
    limits = PlacingLimits(
        edge_memory_bytes=draw(st.sampled_from([None, None, 4e6, 7e6, 1.4e7, 2.5e7])),
        mean_latency_s=draw(st.sampled_from([None, None, 0.2, 0.6])),
        latency_s=draw(st.sampled_from([None, None, 0.5])),
        quality=draw(st.sampled_from([None, None, 0.4, 0.8])),
        relative_quality=draw(st.sampled_from([None, 0.9])),
        edge_share=draw(st.sampled_from([None, None, 0.5, 0.9])),
    )
    bounds = [Bound(f, draw(st.sampled_from([EDGE, CLOUD]))) for f in names if draw(_RARELY)]
    return PlacingProblem(
        "small",
        demands,
        {m: POOL[m] for m in modules},
        MODELS,
        DEVICES,
        LINK,
        quality,
        bounds=tuple(bounds),
        limits=limits,
        aim=draw(st.sampled_from(sorted(PLACING_AIMS))),
        prices=_PRICES,
        adapter_bytes=ADAPTERS,
        default=draw(st.sampled_from(modules)) if named else None,
    )


_OFTEN = st.sampled_from([True, True, True, False])
_RARELY = st.sampled_from([False, False, False, False, True])


def _brute_force(problem: PlacingProblem) -> Iterator[tuple[dict[str, str], dict[str, float]]]:
    """Every plan that keeps every limit, each looked at as a whole."""
    for picked in itertools.product(problem.modules, repeat=len(problem.features)):
        modules = dict(zip(problem.features, picked, strict=True))
        if all(pair in problem.quality for pair in modules.items()):
            values = _means(problem, modules)
            if _keeps(problem, modules, values) and _fits(problem, modules):
                yield modules, values


def _means(problem: PlacingProblem, modules: dict[str, str]) -> dict[str, float]:
    total = sum(demand.share for demand in problem.demands)
    means = dict.fromkeys((*PLACING_AIMS, "edge_share"), 0.0)
    for demand in problem.demands:
        module, share = modules[demand.feature], demand.share / total
        trace = _trace(module, demand.prompt_tokens, demand.new_tokens)
        n_bytes = trace.bytes_up + trace.bytes_down
        busy = {p: sum(s.duration_s for s in trace.spans if s.place == p) for p in (EDGE, CLOUD)}
        hours = sum(busy[p] * price / 3600 for p, price in problem.prices.per_hour.items())
        means["latency"] += share * trace.total_s
        means["energy"] += share * (trace.energy_j[EDGE] + trace.energy_j["radio"])
        means["bytes"] += share * n_bytes
        means["price"] += share * (hours + problem.prices.per_gb * n_bytes / 1e9)
        means["quality"] += share * problem.quality[demand.feature, module]
        means["edge_share"] += share * POOL[module].is_local
    return means


def _keeps(problem: PlacingProblem, modules: dict[str, str], values: dict[str, float]) -> bool:
    limits, slack = problem.limits, 1e-9
    best = [max(q for (g, _), q in problem.quality.items() if g == d.feature) for d in problem.demands]
    weights = [d.share for d in problem.demands]
    relative = (limits.relative_quality or 0) * float(np.average(best, weights=weights))
    times = [_trace(modules[d.feature], d.prompt_tokens, d.new_tokens).total_s for d in problem.demands]
    return (
        values["latency"] <= (limits.mean_latency_s or np.inf) + slack
        and max(times) <= (limits.latency_s or np.inf) + slack  # type: ignore[operator]
        and values["quality"] >= max(limits.quality or 0, relative) - slack
        and values["edge_share"] >= (limits.edge_share or 0) - slack
        and all(b.allows(POOL[modules[b.subject]]) for b in problem.bounds)
    )


def _fits(problem: PlacingProblem, modules: dict[str, str]) -> bool:
    default = {} if problem.default is None else {"default": POOL[problem.default]}
    plan = Plan("small", {**default, **{f: POOL[m] for f, m in modules.items()}})
    tokens = {d.feature: (d.prompt_tokens, d.new_tokens) for d in problem.demands}
    edge = DEVICES[EDGE]
    most = min(edge.memory_bytes, int(problem.limits.edge_memory_bytes or edge.memory_bytes))
    devices = {**DEVICES, EDGE: replace(edge, memory_bytes=most)}
    try:
        fits_together(
            plan,
            MODELS,
            devices,
            tokens={"default": problem.longest, **tokens},
            adapter_bytes=ADAPTERS,
        )
    except DoesNotFitError:
        return False
    return True


def _points(problem: PlacingProblem, values: list[dict[str, float]]) -> np.ndarray:
    aims = (problem.aim, problem.rival_aim)
    return np.array([[PLACING_AIMS[aim].sign * v[aim] for aim in aims] for v in values])


@settings(max_examples=120)
@given(problems())
def test_placing_is_exact(problem: PlacingProblem) -> None:
    every = list(_brute_force(problem))
    if not every:
        with pytest.raises(InfeasibleError) as refused:
            place(problem)
        assert refused.value.binding
        return
    answer = place(problem)
    points = _points(problem, [values for _, values in every])
    front = points[non_dominated([tuple(p) for p in points.tolist()])]
    ours = _points(problem, [dict(placed.values) for placed in answer.front])
    assert covers(ours, front)
    assert covers(points, ours)
    assert ours[0, 0] == pytest.approx(points[:, 0].min())
    assert (np.diff(ours[:, 0]) > 0).all()
    _check(answer, every)


def _check(answer: PlacingAnswer, every: list[tuple[dict[str, str], dict[str, float]]]) -> None:
    """The best is one of those that keep the limits, its figures are theirs, and its plan says the same."""
    problem, best = answer.problem, answer.best
    values = next(values for modules, values in every if modules == best.modules)
    assert best.values == pytest.approx(values)
    assert best.broken == ()
    for feature, module in best.modules.items():
        placement = answer.plan.placement(feature)
        assert replace(placement, fallback=None) == POOL[module]
        assert placement.is_local == (placement.fallback is None)
    assert answer.plan.bounds == problem.bounds
    means = dict.fromkeys(PLACING_AIMS, 0.0)
    for row in answer.rows():
        for aim in means:
            means[aim] += float(row["share"]) * float(row[aim])
    assert means == pytest.approx({aim: best.values[aim] for aim in PLACING_AIMS})
    capacity = problem.limits.edge_memory_bytes or DEVICES[EDGE].memory_bytes
    assert EDGE not in answer.memory or answer.memory[EDGE].total <= capacity


# ---- one problem, looked at closely


def test_both_baselines_stand_beside_the_answer() -> None:
    answer = place(small_problem(limits=PlacingLimits(quality=0.9)))
    edge, cloud = answer.baselines["edge-only"], answer.baselines["cloud-only"]
    assert edge is not None
    assert cloud is not None
    assert set(cloud.modules.values()) == {"cloud"}
    assert cloud.broken == ()
    assert any("quality" in said for said in edge.broken)
    assert edge.values["latency"] < answer.best.values["latency"] < cloud.values["latency"]
    assert answer.verdict.startswith("Place by feature: ")
    assert "Edge-only" in answer.verdict
    assert "modelled" in str(answer)
    assert answer.to_dict()["best"]["label"] == "modelled"


def test_not_to_place_by_feature_is_an_answer() -> None:
    answer = place(small_problem())
    assert set(answer.best.modules.values()) <= {"exit", "edge 4 bit"}
    assert answer.verdict.startswith("Don't place by feature: edge-only is as good.")
    only_cloud = place(small_problem("cloud"))
    assert only_cloud.baselines["edge-only"] is None
    assert "Edge-only cannot be." in only_cloud.verdict


def test_the_default_is_the_best_in_the_cloud_and_fallbacks_are_local() -> None:
    answer = place(small_problem(limits=PlacingLimits(quality=0.9), bounds=(Bound("arithmetic", CLOUD),)))
    plan = answer.plan
    assert answer.default == "cloud"
    assert plan.model_of("default") == "large"
    assert plan.placement("arithmetic").fallback == QUEUE  # it may be computed nowhere else
    assert plan.placement(str(plan.default.fallback)).is_local
    assert place(small_problem("cloud")).plan.default.fallback == QUEUE
    assert place(small_problem("exit")).default == "exit"


def test_memory_that_is_shared_is_counted_once() -> None:
    """The whole model and its exit fit where either fits; two widths of it do not."""
    need = place(small_problem("edge")).memory[EDGE].total
    limits = PlacingLimits(edge_memory_bytes=need)
    both = place(small_problem("edge", "exit", limits=limits))
    assert set(both.best.modules.values()) == {"exit"}
    assert both.n_sets == 1
    assert place(small_problem("edge", "edge 4 bit", limits=limits)).n_sets == 2


def test_a_limit_of_one_feature_moves_that_feature() -> None:
    quick = place(small_problem("edge", "cloud", aim="quality")).best
    assert set(quick.modules.values()) == {"cloud"}
    limits = PlacingLimits(latency_s={"sort": 0.05})
    assert place(small_problem("edge", "cloud", aim="quality", limits=limits)).best.modules["sort"] == "edge"
    kept = place(small_problem("edge", "cloud", aim="quality", bounds=(Bound("copy", EDGE),))).best
    assert [f for f, m in kept.modules.items() if m == "edge"] == ["copy"]


@pytest.mark.parametrize(
    ("limits", "binding", "said"),
    [
        (PlacingLimits(quality=0.99, edge_share=0.5), {"quality", "edge share"}, "at least 0.99"),
        (
            PlacingLimits(mean_latency_s=1e-6),
            {"mean latency"},
            r"Never kept: mean latency is 1\d\.\d ms, asked",
        ),
        (PlacingLimits(quality=1.0, mean_latency_s=1e-6), {"mean latency"}, "Never kept: mean latency"),
        (PlacingLimits(latency_s=0.05, quality=0.99, edge_memory_bytes=2e6), None, "cannot be kept together"),
        (PlacingLimits(latency_s={"sort": 1e-6}), {"latency of sort"}, "latency of sort is not kept"),
        (PlacingLimits(edge_memory_bytes=1e6, edge_share=1.0), {"memory of edge", "edge share"}, "of 1 MB"),
    ],
)
def test_infeasible_says_what_binds(limits: PlacingLimits, binding: set[str] | None, said: str) -> None:
    with pytest.raises(InfeasibleError, match=said) as refused:
        place(small_problem(limits=limits))
    assert binding is None or set(refused.value.binding) == binding


def test_limits_that_bind_together_are_a_smallest_set() -> None:
    limits = PlacingLimits(mean_latency_s=0.03, edge_share=0.2, latency_s={"sort": 1e-6}, quality=0.99)
    problem = small_problem(limits=limits)
    with pytest.raises(InfeasibleError, match="cannot be kept together") as refused:
        place(problem)
    table, binding = Table.of(problem), set(refused.value.binding)
    every = {*(c.name for c in table.ceilings), *table.masks, *(s.name for s in table.shelves)}
    assert not len(exact_front(table, without=every - binding))
    for name in binding:
        assert len(exact_front(table, without=(every - binding) | {name}))


def test_eight_features_and_eight_modules_take_a_moment() -> None:
    quality = {(f, m): ((7 * i + 11 * j) % 17) / 17 for i, f in enumerate(TASKS) for j, m in enumerate(POOL)}
    limits = PlacingLimits(edge_memory_bytes=2e7, edge_share=0.5, mean_latency_s=0.5, relative_quality=0.8)
    problem = small_problem(*POOL, features=TASKS, quality=quality, limits=limits)
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        place(problem)
        taken.append(time.perf_counter() - began)
    assert min(taken) < 2.0  # some 100 ms where nothing else runs


def test_what_cannot_be_placed_is_said() -> None:
    problem = small_problem()
    for changes, error, said in (
        ({"demands": ()}, InputError, "nothing to place"),
        ({"demands": problem.demands * 2}, InputError, "more than once"),
        ({"candidates": {}}, InputError, "nothing to choose from"),
        ({"profiles": {}}, UnknownNameError, "model with a profile"),
        ({"devices": {EDGE: DEVICES[EDGE]}}, UnknownNameError, "place with a device"),
        ({"quality": {}}, InputError, "no module's quality"),
        ({"quality": {("copy", "exit"): 1.5}}, InputError, "from 0 to 1"),
        ({"quality": {("nothing", "exit"): 0.5}}, UnknownNameError, "feature"),
        ({"aim": "beauty"}, UnknownNameError, "objective"),
        ({"aim": "price"}, InputError, "needs prices"),
        ({"default": "nobody"}, UnknownNameError, "module"),
        ({"default": "exit", "bounds": (Bound("default", CLOUD),)}, PlanError, "stays in the cloud"),
        ({"bounds": (Bound("copy", EDGE), Bound("copy", CLOUD))}, PlanError, "bound more than once"),
        ({"limits": PlacingLimits(latency_s={"nothing": 1.0})}, UnknownNameError, "feature"),
        ({"candidates": {"exit": replace(POOL["exit"], model="small")}}, PlanError, "blocks"),
    ):
        with pytest.raises(error, match=said):
            problem.with_(**changes)
    bound = problem.with_(
        candidates={"exit": POOL["exit"]},
        bounds=(Bound("default", CLOUD),),
        quality={(f, "exit"): 0.5 for f in problem.features},
    )
    with pytest.raises(InfeasibleError, match="default stays in the cloud"):
        place(bound)
    with pytest.raises(InputError, match="share"):
        Demand("copy", 0.0)
    with pytest.raises(InputError, match="quality"):
        PlacingLimits(quality=1.5)
    with pytest.raises(InputError, match="not negative"):
        PlacingLimits(latency_s={"copy": -1.0})


def test_of_equals_up_to_rounding_the_better_is_taken() -> None:
    """The energies of both modules differ in their last digits alone: the quality decides."""
    problem = small_problem("exit", "edge", aim="energy", features=TASKS[:3])
    table = Table.of(problem)
    table.numbers["energy"][:, 1] = table.numbers["energy"][:, 0] * (1 + 3e-16)
    front = exact_front(table)
    assert front.choices.tolist() == [[1, 1, 1]]
