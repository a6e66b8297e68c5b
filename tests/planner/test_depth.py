"""Widths along depth are planned exactly: every way to pack every block, one by one, finds no better plan."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.cost.models import llama
from tests.planner.problems import EDGE_CLOUD, problems
from tests.profiles.tables import table_of, with_times
from workbench import profiles
from workbench.cost import Floats
from workbench.errors import InfeasibleError, InputError
from workbench.plan import BITS, Plan
from workbench.planner import Choices, Depth, Exhaustive, Limits, LossTable, Pin, Problem, plan
from workbench.planner.answer import Proposal, traced
from workbench.planner.depth.families import families_of
from workbench.planner.depth.labels import kept
from workbench.planner.depth.mixed import MixedPlans, mixed_plans
from workbench.planner.landscape import Landscape
from workbench.planner.limits import bounds_of
from workbench.planner.pareto import front_of
from workbench.planner.routes import all_cuts, routes_of
from workbench.profiles import ModelProfile

FOUR = llama("four", 4, 512, 1408, 8, 4, 8000, tied=True)
LOSSES = LossTable(
    "four", {8: (1e-3, 0.0, -1e-4, 2e-3), 4: (0.03, 0.01, 0.02, 0.05)}, {"int8": 1e-3, "int4": 0.02}
)
SIMPLE = Problem(FOUR, EDGE_CLOUD, (profiles.link("lte"),), losses=LOSSES)
FRONTS = (("total", "loss"), ("ttft", "loss"), ("tpot", "loss"), ("memory", "loss"), ("edge_energy", "loss"))


def timed_on_edge(*bits: int) -> ModelProfile:
    """Each block as slow as its number says, at widths that were measured on the edge's device."""
    tables = [
        (b, table_of(4, lambda i, t, c, s, b=b: 1e-4 * (b + 3 + i * i + t + c / 9) * s, overhead_s=b * 1e-5))
        for b in bits
    ]
    return with_times(FOUR, *tables, device=EDGE_CLOUD["edge"].name) if tables else FOUR


def all_mixed(problem: Problem) -> list[MixedPlans]:
    """Every plan that there is, one batch for each route, cut and family: nothing is left out early."""
    n, found = problem.model.n_blocks, []
    for route in routes_of(problem.chain.places, u_shaped=False):
        for families in product(*(families_of(problem, place) for place in route.places)):
            devices = {**problem.devices, **{family.place: family.device for family in families}}
            landscape = Landscape(problem.with_(devices=devices))
            wires = tuple(problem.choices.wires)[: None if len(families) > 1 else 1]
            for cuts in all_cuts(route, n):
                widths = _widths(families, cuts)
                index, wire = (axis.ravel() for axis in np.indices((len(widths), len(wires))))
                rows = np.repeat(cuts[None], len(index), axis=0)
                found.append(mixed_plans(landscape, families, rows, widths[index], wires, wire))
    return found


def _widths(families: tuple, cuts: np.ndarray) -> np.ndarray:
    sides = []
    for family, start, stop in zip(families, cuts, cuts[1:], strict=False):
        ways = list(product(family.widths, repeat=stop - start))
        sides.append([way for way in ways if not way or family.needed & set(way)])
    rows = [sum(sides_of_plan, ()) for sides_of_plan in product(*sides)]
    return np.array(rows, dtype=np.uint8).reshape(len(rows), int(cuts[-1]))


def feasible_points(problem: Problem, batches: list[MixedPlans]) -> Floats:
    points = [np.zeros((0, len(problem.front)))]
    for plans in filter(len, batches):
        fits = np.max([bound.excess for bound in bounds_of(problem, plans)], axis=0) <= 1e-9
        points.append(np.stack([plans.numbers[name][fits] for name in problem.front], axis=1))
    return np.concatenate(points)


def assert_same_front(problem: Problem, found: Floats, everything: Floats) -> None:
    """Every point of the true front is found, and nothing that it does not have, but for rounding."""
    true = everything[front_of(everything)] if len(everything) else everything
    found = found[front_of(found)] if len(found) else found
    slack = 1e-9 * (1 + np.abs(everything).max(axis=0, initial=0))
    for point in true:
        assert (found <= point + slack).all(axis=1).any(), (point, found)
    for point in found:
        assert (true <= point + slack).all(axis=1).any()
        assert not (everything < point - slack).all(axis=1).any()


@st.composite
def deep_problems(draw: st.DrawFn) -> Problem:
    problem = draw(problems(pins=True, u_shaped=False))
    n = problem.model.n_blocks
    assume(n <= 4)
    row = st.lists(st.floats(-0.01, 0.2), min_size=n, max_size=n).map(tuple)
    losses = LossTable(problem.model.name, {8: draw(row), 4: draw(row)}, {"int8": 0.01})
    limits = draw(
        st.sampled_from(
            [
                Limits(),
                Limits(loss=0.1),
                Limits(total_s=0.5),
                Limits(memory_bytes={"edge": 3e7}),
                Limits(ttft_s=0.2),
            ]
        )
    )
    return problem.with_(losses=losses, limits=limits, front=draw(st.sampled_from(FRONTS)))


@settings(max_examples=60, deadline=None)
@given(deep_problems())
def test_the_front_is_that_of_every_plan(problem: Problem) -> None:
    assume(len(Landscape(problem).crossings("fp16").pauses) == 1)
    everything = feasible_points(problem, all_mixed(problem))
    found = feasible_points(problem, list(Depth().fronts(problem)))
    assert_same_front(problem, found, everything)


@settings(max_examples=40, deadline=None)
@given(deep_problems())
def test_the_best_is_that_of_every_plan(problem: Problem) -> None:
    assume(len(Landscape(problem).crossings("fp16").pauses) == 1)
    (aim, *others) = problem.aims
    assume(not others)
    everything = feasible_points(problem.with_(front=(aim,)), all_mixed(problem))
    try:
        best = Depth().plan(problem).best.values[aim]
    except InfeasibleError:
        assert not len(everything)
    else:
        assert best == pytest.approx(everything.min(), rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(deep_problems(), st.data())
def test_a_mixed_plan_takes_what_is_predicted(problem: Problem, data: st.DataObject) -> None:
    batches = [plans for plans in all_mixed(problem) if len(plans)]
    plans = data.draw(st.sampled_from(batches))
    proposal = Proposal.of(problem, plans, data.draw(st.integers(0, len(plans) - 1)))
    assert problem.losses is not None
    assert proposal.values["ttft"] == pytest.approx(proposal.trace.ttft_s, rel=1e-6)
    assert proposal.values["total"] == pytest.approx(proposal.trace.total_s, rel=0.02)
    assert proposal.values["loss"] == pytest.approx(problem.losses.of(proposal.plan.default), abs=1e-12)
    memory = proposal.trace.memory_bytes["edge"]
    assert proposal.values["memory"] == pytest.approx(memory, abs=2)


def test_where_messages_are_large_the_front_is_within_what_a_pause_adds() -> None:
    wide = llama("wide", 4, 8192, 16384, 64, 8, 8000)
    problem = SIMPLE.with_(model=wide, front=("total", "loss"), choices=Choices(wires=("fp16", "int8")))
    assert len(Landscape(problem).crossings("fp16").pauses) > 1
    everything = feasible_points(problem, all_mixed(problem))
    found = feasible_points(problem, list(Depth().fronts(problem)))
    slack = np.array([0.01 * everything[:, 0].min(), 1e-12])
    for point in everything[front_of(everything)]:
        assert (found <= point + slack).all(axis=1).any()


def test_plans_are_of_blocks_with_widths_of_their_own() -> None:
    answer = plan(SIMPLE.with_(front=("tpot", "loss")), "depth")
    assert answer.planner == "depth"
    assert any(stage.block_bits for found in answer.front for stage in found.plan.partition.stages)
    for found in answer.front:
        assert Plan.from_dict(found.plan.to_dict()) == found.plan
        assert found.values["tpot"] == pytest.approx(traced(SIMPLE, found.plan).tpot_s, rel=1e-6)
    assert {"edge-only", "cloud-only"} == set(answer.baselines)


def test_no_front_of_one_width_a_side_is_better() -> None:
    problem = SIMPLE.with_(front=("total", "loss"), limits=Limits(loss=0.06))
    coarse, fine = Exhaustive().plan(problem), Depth().plan(problem)
    for one in coarse.front:
        assert any(
            all(two.values[name] <= one.values[name] + 1e-12 for name in problem.front) for two in fine.front
        )
    assert len(fine.front) > len(coarse.front)


def test_a_pinned_block_and_its_limits_are_kept() -> None:
    problem = SIMPLE.with_(
        pins=(Pin("blocks", "edge", 0, 2),),
        limits=Limits(loss=0.02, memory_bytes={"edge": 2e7}),
        choices=Choices(bits={"edge": (8, 4), "cloud": (16,)}),
    )
    answer = Depth().plan(problem)
    for found in answer.front:
        assert not found.broken
        first = found.plan.partition.stages[0]
        assert first.place == "edge"
        assert first.stop >= 2
        assert set(first.widths) <= {8, 4}
        assert found.values["loss"] <= 0.02


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(InfeasibleError, match="memory"):
        Depth().plan(SIMPLE.with_(limits=Limits(memory_bytes={"edge": 1.0, "cloud": 1.0})))
    with pytest.raises(InputError, match="sensitivity"):
        Depth().plan(SIMPLE.with_(losses=None))
    with pytest.raises(InputError, match="throughput"):
        Depth().plan(SIMPLE.with_(aims={"throughput": 1.0}))
    with pytest.raises(InputError, match="one cut"):
        Depth().plan(SIMPLE.with_(choices=Choices(u_shaped=True)))


def test_a_long_front_is_thinned_with_both_its_ends() -> None:
    problem = SIMPLE.with_(front=("total", "loss"))
    whole, thin = Depth().plan(problem).front, Depth(most=3).plan(problem).front
    assert len(whole) > len(thin) <= 5
    assert [thin[0].values, thin[-1].values] == [whole[0].values, whole[-1].values]


@pytest.mark.parametrize("offered", [(16, 8, 4), (32, 16), (4, 8), (32,)])
@pytest.mark.parametrize("timed", [(), (16,), (16, 8, 4)])
def test_every_stage_is_of_one_family(offered: tuple[int, ...], timed: tuple[int, ...]) -> None:
    problem = SIMPLE.with_(model=timed_on_edge(*timed), choices=Choices(bits={"edge": offered}))
    families = families_of(problem, "edge")
    for stage in product(BITS, repeat=3):
        if set(stage) <= set(offered) and (32 not in stage or set(stage) == {32}):
            own = [f for f in families if set(stage) <= set(f.widths) and f.needed & set(stage)]
            assert len(own) == 1
            if set(stage) & set(timed):
                assert (own[0].device is EDGE_CLOUD["edge"]) == (set(stage) <= set(timed))


@pytest.mark.parametrize("timed", [(16, 8), (16, 8, 4), (4,)])
def test_measured_blocks_are_planned_exactly(timed: tuple[int, ...]) -> None:
    problem = SIMPLE.with_(model=timed_on_edge(*timed), front=("total", "loss"))
    everything = feasible_points(problem, all_mixed(problem))
    assert_same_front(problem, feasible_points(problem, list(Depth().fronts(problem))), everything)
    for found in Depth(most=20).plan(problem).front:
        assert found.values["ttft"] == pytest.approx(traced(problem, found.plan).ttft_s, rel=1e-6)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 4), st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_kept_is_the_front(n_columns: int, n: int, seed: int) -> None:
    points = np.random.default_rng(seed).integers(0, 6, (n, n_columns)).astype(float)
    index = kept(points)
    assert len({tuple(points[i]) for i in index}) == len(index)
    front = front_of(points) if n else []
    assert {tuple(points[i]) for i in front} == {tuple(points[i]) for i in index}


def test_too_many_labels_leave_a_front_that_says_how_far_off_it_is() -> None:
    draw = np.random.default_rng(1)
    params = tuple(int(x) for x in FOUR.block_params[0] * draw.uniform(0.5, 2.0, 10))
    model = replace(
        llama("ten", 10, 512, 1408, 8, 4, 8000, tied=True),
        block_params=params,
        block_active_params=params,
        block_quantizable=tuple(int(0.99 * n) for n in params),
    )
    losses = LossTable("ten", {b: tuple(draw.uniform(0, 1 / b, 10)) for b in (8, 4)}, {"int8": 0, "int4": 0})
    limits = Limits(memory_bytes={"edge": 4e7})
    problem = SIMPLE.with_(model=model, losses=losses, limits=limits, front=("total", "loss"))
    exact, rough = (list(Depth(labels=n).fronts(problem)) for n in (20_000, 40))
    assert not any(plans.blur for plans in exact)
    assert any("may be missing" in note for note in Depth(labels=40).plan(problem).notes)
    off = np.array([max(plans.blur.get(name, 0.0) for plans in rough) for name in problem.front])
    found = feasible_points(problem, rough)
    for point in feasible_points(problem, exact):
        assert (found <= point + off + 1e-9).all(axis=1).any()


def test_eighty_blocks_take_seconds() -> None:
    deep = llama("deep", 80, 8192, 28672, 64, 8, 128_256)
    draw = np.random.default_rng(0)
    four = 0.004 * np.exp(draw.normal(0, 0.8, 80))
    losses = LossTable("deep", {8: tuple(four / 50), 4: tuple(four)}, {"int8": 1e-3, "int4": 0.02})
    devices = {"edge": profiles.device("jetson-agx-orin"), "cloud": profiles.device("h100-sxm")}
    answer = Depth().plan(Problem(deep, devices, (profiles.link("wifi-6"),), losses=losses))
    assert len(answer.front) > 100
    assert answer.best.values["total"] < min(p.values["total"] for p in answer.front[1:])
