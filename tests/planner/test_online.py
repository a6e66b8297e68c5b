"""When to move: moves cost what they should, nobody beats the clairvoyant, and hysteresis keeps still."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cost.models import LLAMA_8B, SMALL
from workbench.cost import predict, weight_bytes
from workbench.errors import InfeasibleError, InputError, PlanError, PromptError, UnknownNameError
from workbench.links.traces import LinkStep, LinkTrace
from workbench.plan import Partition, Plan
from workbench.planner import (
    Candidates,
    Choices,
    Clairvoyant,
    Decision,
    Estimator,
    Hysteresis,
    Limits,
    LoadTrace,
    Moving,
    Observation,
    Pin,
    Problem,
    Reactive,
    Request,
    Scene,
    Sensor,
    Static,
    move_cost,
    regret_table,
    simulate,
)
from workbench.planner.moving import STORAGE_BYTES_PER_S
from workbench.planner.online.candidates import Conditions
from workbench.planner.online.clairvoyant import best_cost
from workbench.profiles import LinkProfile, device

NEAR, FAR = (100e6, 100e6, 0.002), (2e6, 10e6, 0.2)  # uplink, downlink, round trip
PRIVATE = (Pin("embedding", "edge"),)
FOUR = Choices(bits={"edge": (4,), "cloud": (4,)}, wires=("int8",))
PERFECT = Sensor.perfect()


def problem(
    model=LLAMA_8B, edge="jetson-orin-nano", pins=PRIVATE, request=None, choices=FOUR, **more
) -> Problem:
    devices = {"edge": device(edge), "cloud": device("h100-sxm")}
    link = LinkProfile(0.02, 20e6, 20e6)
    return Problem(model, devices, (link,), request or Request(), pins=pins, choices=choices, **more)


def trace(*levels, every_s=20.0) -> LinkTrace:
    """One level after another, None for an outage."""
    steps = [
        LinkStep(i * every_s, *level) if level else LinkStep(i * every_s, loss=1.0)
        for i, level in enumerate(levels)
    ]
    return LinkTrace("drawn", tuple(steps), every_s * len(levels), label="modelled")


def plan(at: int | None, bits: int = 4, place: str = "edge", wire: str = "int8", model=LLAMA_8B) -> Plan:
    n = model.n_blocks
    if at is None:
        return Plan.of(model.name, Partition.unsplit(n, place, bits), wire)
    return Plan.of(model.name, Partition.split(n, at, bits, bits), wire)


# ---- what a move takes


def test_a_plan_that_stays_takes_nothing() -> None:
    found = move_cost(problem(), plan(8), plan(8), 500)
    assert (found.seconds, found.link_bytes, found.cache, found.loaded_bytes) == (0.0, 0.0, "none", {})


def test_another_codec_moves_nothing() -> None:
    assert move_cost(problem(), plan(8), plan(8, wire="fp16"), 500).seconds == 0.0


def test_blocks_that_move_are_loaded_where_they_go_and_nowhere_else() -> None:
    found = move_cost(problem(), plan(8), plan(12))
    n_bytes = 4 * weight_bytes(LLAMA_8B.block_params[0], LLAMA_8B.block_quantizable[0], 4)
    assert found.loaded_bytes == {"edge": int(n_bytes)}
    assert found.seconds == pytest.approx(n_bytes / STORAGE_BYTES_PER_S)
    assert found.cache == "none"
    assert "edge loads" in found.why


def test_going_back_loads_in_the_cloud_unless_it_has_everything() -> None:
    assert set(move_cost(problem(), plan(12), plan(8)).loaded_bytes) == {"cloud"}
    has_all = Moving(resident=frozenset({"cloud"}))
    assert move_cost(problem(), plan(12), plan(8), has_all).seconds == 0.0


def test_other_bits_load_every_block_again_and_make_every_cache_again() -> None:
    found = move_cost(problem(), plan(None), plan(None, bits=8), 64)
    blocks = 32 * weight_bytes(LLAMA_8B.block_params[0], LLAMA_8B.block_quantizable[0], 8)
    assert found.loaded_bytes == {"edge": pytest.approx(blocks, abs=1)}  # both ends keep 16 bits
    assert found.cache == "rebuilt"


def test_a_cache_is_sent_or_made_again_whichever_is_sooner() -> None:
    slow = problem(edge="raspberry-pi-5")
    fast = replace(slow, links=(LinkProfile(0.001, 1e9, 1e9),))
    sent, made = (move_cost(p, plan(8), plan(12), 1000) for p in (fast, problem()))
    assert (sent.cache, made.cache) == ("sent", "rebuilt")
    n_bytes = 4 * LLAMA_8B.kv_elements[0] * 1000 * 2  # down from the cloud
    assert sent.link_bytes == n_bytes
    assert sent.cache_s == pytest.approx(0.0005 + n_bytes * 8 / 1e9)


def test_making_a_cache_again_is_a_prefill_of_the_context_by_the_new_plan() -> None:
    asked = problem()
    found = move_cost(asked, plan(8), plan(12), 1000)
    request = predict(
        plan(12), asked.model, asked.devices, asked.links, prompt_tokens=1000, new_tokens=1, must_fit=False
    )
    assert found.cache_s == pytest.approx(request.ttft_s)


def test_weights_may_come_over_the_link() -> None:
    found = move_cost(problem(), plan(8), plan(12), Moving(over_link=frozenset({"edge"})))
    assert found.seconds == pytest.approx(0.01 + found.loaded_bytes["edge"] * 8 / 20e6, rel=1e-6)
    assert found.link_bytes == found.loaded_bytes["edge"]


def test_a_tied_head_is_loaded_once() -> None:
    asked = problem(SMALL)
    cloud = move_cost(asked, plan(8, model=SMALL), plan(None, place="cloud", model=SMALL))
    split = move_cost(asked, plan(None, model=SMALL), plan(8, model=SMALL))
    blocks = 8 * weight_bytes(SMALL.block_params[0], SMALL.block_quantizable[0], 4)
    assert cloud.loaded_bytes["cloud"] == pytest.approx(
        blocks, abs=1
    )  # it has the head, and so the embedding
    assert split.loaded_bytes == {"cloud": SMALL.embedding_params * 2}


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (InputError, lambda: Moving(context_tokens=-1)),
        (InputError, lambda: Moving(storage_bytes_per_s={"edge": 0.0})),
        (
            UnknownNameError,
            lambda: move_cost(problem(), plan(1), plan(2), Moving(resident=frozenset({"egde"}))),
        ),
        (PlanError, lambda: move_cost(problem(), plan(1), plan(2, model=SMALL))),
        (PlanError, lambda: move_cost(problem(), plan(1), plan(None, place="fog"))),
        (PromptError, lambda: move_cost(problem(), plan(1), plan(2), 200_000)),
        (InputError, lambda: Observation(0.0, 0.0, 1.0, 0.1)),
        (InputError, lambda: Observation(-1.0, 1.0, 1.0, 0.1)),
        (InputError, lambda: Observation(0.0, 1.0, 1.0, 0.1, {"cloud": 0.5})),
        (InputError, lambda: LoadTrace("cloud", ((0.0, math.nan),))),
        (InputError, lambda: LoadTrace("cloud", ((5.0, 2.0), (5.0, 1.0)))),
        (InputError, lambda: Estimator(0.0)),
        (InputError, lambda: Sensor(lag_s=-1.0)),
        (InputError, lambda: Sensor(every_s=0.0)),
        (InputError, lambda: Scene(problem(), trace(NEAR), request_period_s=0.0)),
        (InputError, lambda: Scene(problem(), trace(NEAR), (LoadTrace("fog", ((0.0, 2.0),)),))),
        (InputError, lambda: Scene(problem().with_(aims={"ttft": 1.0}), trace(NEAR)).candidates),
        (InputError, lambda: Candidates(problem(), [])),
        (
            InputError,
            lambda: Scene(problem(), trace(NEAR), plans=Candidates(problem(SMALL), [NEAR_CONDITIONS])),
        ),
        (InputError, lambda: Hysteresis(Candidates(problem(), [NEAR_CONDITIONS]), horizon_s=0.0)),
        (InputError, lambda: Hysteresis(Candidates(problem(), [NEAR_CONDITIONS]), dwell_s=-1.0)),
        (InputError, lambda: regret_table([], {"static": Static.best})),
        (InputError, lambda: simulate(Scene(problem(), trace(NEAR)), Static(plan(5, bits=8)))),
        (
            InfeasibleError,
            lambda: Scene(problem(limits=Limits(memory_bytes={"edge": 1.0})), trace(NEAR)).best,
        ),
    ],
)
def test_what_cannot_be_is_refused(error, call) -> None:
    with pytest.raises(error):
        call()


NEAR_CONDITIONS = Conditions(LinkProfile(NEAR[2], NEAR[0], NEAR[1]))


# ---- what can be seen


def test_an_estimate_follows_what_is_seen_and_begins_with_it() -> None:
    estimator = Estimator()
    assert estimator.update(Observation(0.0, 8e6, 8e6, 0.1)).rtt_s == 0.1
    later = estimator.update(Observation(1.0, 4e6, 8e6, 0.2))
    assert later.rtt_s == pytest.approx(0.1 + 0.1 / 8)
    assert 1 / later.uplink_bps == pytest.approx(7 / 8 / 8e6 + 1 / 8 / 4e6)
    assert later.time_s == 1.0


def test_nothing_is_learned_of_a_link_that_is_down() -> None:
    estimator = Estimator()
    estimator.update(Observation(0.0, 8e6, 8e6, 0.1))
    down = estimator.update(Observation(1.0, 1e6, 1e6, 0.9, {"cloud": 9.0}, link_up=False))
    assert (down.uplink_bps, down.rtt_s, down.link_up) == (8e6, 0.1, False)
    assert down.load == {"cloud": 2.0}


def test_a_runtime_sees_only_the_past() -> None:
    late = Sensor(noise=0.0, lag_s=3.0, gain=1.0)
    seen = Scene(problem(), trace(NEAR, FAR)).observations(late)
    assert [o.rtt_s for o in seen[19:25]] == [0.002] * 4 + [0.2] * 2


# ---- the world


def test_requests_are_what_the_model_of_costs_says() -> None:
    scene = Scene(problem(), trace(NEAR))
    for chosen, seconds in zip(scene.candidates.plans, scene.seconds[0], strict=True):
        link = replace(problem().links[0], uplink_bps=NEAR[0], downlink_bps=NEAR[1], rtt_s=NEAR[2])
        played = predict(chosen, LLAMA_8B, problem().devices, link, prompt_tokens=64, new_tokens=32)
        assert seconds == pytest.approx(played.total_s, rel=0.02), chosen


def test_moves_between_candidates_are_those_of_any_two_plans() -> None:
    moving = Moving(context_tokens=200)
    scene = Scene(problem(), trace(FAR), moving=moving)
    link = replace(problem().links[0], uplink_bps=FAR[0], downlink_bps=FAR[1], rtt_s=FAR[2])
    table = scene.move_s(0)
    for old, new in [(0, 5), (5, 0), (3, 9)]:
        plans = scene.candidates.plans
        own = move_cost(problem().with_(links=(link,)), plans[old], plans[new], moving)
        assert table[old, new] == pytest.approx(own.seconds, rel=1e-6)


def test_a_plan_that_needs_the_link_waits_for_an_outage_and_the_edge_goes_on() -> None:
    scene = Scene(problem(), trace(NEAR, None, NEAR, every_s=10.0))
    edge = scene.candidates.index(plan(None))
    split = next(i for i in range(len(scene.candidates)) if scene.candidates.uses_link[i])
    at = np.array([10.0, 20.0])
    assert np.ptp(scene.work(at, np.array([split, split]))) == 0.0
    assert np.ptp(scene.work(at, np.array([edge, edge]))) > 0.0
    own_s = scene.seconds[0, split]
    finished = scene.finish_s(np.array([10.0 - own_s / 2]), np.array([split]))
    assert finished[0] == pytest.approx(20.0 + own_s / 2)


def test_a_move_over_the_link_waits_until_the_link_is_up() -> None:
    moving = Moving(context_tokens=64, resident=frozenset({"edge", "cloud"}))
    scene = Scene(problem(), trace(NEAR, None, NEAR, every_s=10.0), moving=moving)
    edge = scene.candidates.index(plan(None))
    split = int(np.argmin(scene.seconds[0]))
    assert scene.move_s(12)[edge, split] > 8.0
    assert scene.move_s(12)[split, edge] < 8.0


def test_a_loaded_device_computes_longer() -> None:
    load = LoadTrace("cloud", ((10.0, 3.0),))
    scene = Scene(problem(pins=()), trace(NEAR), (load,))
    busy_s = (scene.seconds[1] - scene.seconds[0]) / 2
    edge = scene.candidates.index(plan(None))
    assert busy_s[edge] == 0.0
    cloud = scene.candidates.index(plan(None, place="cloud"))
    slow = predict(plan(None, place="cloud"), LLAMA_8B, problem().devices, problem().links[0])
    computing = sum(s for (_, kind), s in slow.seconds_by().items() if kind in ("compute", "sample"))
    assert busy_s[cloud] == pytest.approx(computing, rel=0.01)


# ---- policies


def short(levels, period_s=None, moving=None, every_s=4.0, pins=PRIVATE, loads=(), most=3) -> Scene:
    """A few epochs and plans, so that every course can be tried."""
    return Scene(
        problem(pins=pins),
        trace(*levels, every_s=every_s),
        loads,
        moving or Moving(),
        period_s,
        decide_every_s=2.0,
        most_plans=most,
    )


def tried(scene: Scene) -> float:
    """The least of all courses, one by one."""
    plans = range(len(scene.candidates))
    moves = [scene.move_s(epoch) for epoch in range(scene.n_epochs)]

    def least(epoch: int, at: int) -> float:
        if epoch >= scene.n_epochs:
            return 0.0
        found = []
        for new in plans:
            cost, following = scene.after(epoch, np.array([new]), np.array([moves[epoch][at, new]]))
            found.append(float(cost[0]) + least(int(following[0]), new))
        return min(found)

    firsts = [scene.after(0, np.array([p]), np.zeros(1)) for p in plans]
    return min(
        float(cost[0]) + least(int(after[0]), p) for p, (cost, after) in zip(plans, firsts, strict=True)
    )


LEVELS = st.lists(st.sampled_from([NEAR, FAR, (8e6, 8e6, 0.06), None]), min_size=1, max_size=3)
MOVINGS = st.builds(
    Moving,
    context_tokens=st.sampled_from([0, 100, 1500]),
    resident=st.sampled_from([frozenset(), frozenset({"cloud"}), frozenset({"cloud", "edge"})]),
    storage_bytes_per_s=st.sampled_from([{}, {"edge": 5e8}, {"edge": 2e10, "cloud": 2e10}]),
    over_link=st.sampled_from([frozenset(), frozenset({"edge"})]),
)
PERIODS = st.sampled_from([None, 1.0, 3.0])


@given(LEVELS, PERIODS, MOVINGS)
@settings(max_examples=25, deadline=None)
def test_the_clairvoyant_is_as_good_as_trying_every_course(levels, period_s, moving) -> None:
    scene = short(levels, period_s, moving)
    assert best_cost(scene) == pytest.approx(tried(scene), rel=1e-9, abs=1e-9)
    run = simulate(scene, Clairvoyant(scene))
    assert run.mean_s == pytest.approx(scene.per_request_s(best_cost(scene)), rel=1e-9)


class Anything:
    """Moves as it was drawn."""

    def __init__(self, candidates: Candidates, draws: list[int]) -> None:
        self.candidates, self.draws = candidates, itertools.cycle(draws)

    def decide(self, seen: Observation, now: Plan | None) -> Decision:
        chosen = self.candidates.plans[next(self.draws) % len(self.candidates)]
        return Decision(chosen, now not in (None, chosen), "drawn")


@given(LEVELS, PERIODS, MOVINGS, st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_nobody_beats_the_clairvoyant(levels, period_s, moving, draws, seed) -> None:
    scene = short(levels, period_s, moving, most=6)
    least_s = simulate(scene, Clairvoyant(scene)).mean_s
    plans = scene.candidates
    for policy in (Anything(plans, draws), Reactive(plans), Hysteresis(plans), Static.best(scene)):
        assert simulate(scene, policy, Sensor(seed=seed)).mean_s >= least_s * (1 - 1e-9)


@given(st.lists(st.sampled_from([NEAR, FAR, (8e6, 8e6, 0.06), None]), min_size=1, max_size=4))
@settings(max_examples=15, deadline=None)
def test_with_free_moves_and_clear_sight_reacting_is_all_there_is_to_do(levels) -> None:
    scene = short(levels, moving=Moving(free=True, context_tokens=100), most=8)
    clairvoyant, reactive = (
        simulate(scene, p, PERFECT).mean_s for p in (Clairvoyant(scene), Reactive(scene.candidates))
    )
    assert reactive == pytest.approx(clairvoyant, rel=1e-9)


@given(
    st.lists(st.sampled_from([NEAR, FAR, None]), min_size=2, max_size=8),
    st.sampled_from([1.0, 2.5, 6.0]),
    st.integers(0, 99),
)
@settings(max_examples=20, deadline=None)
def test_hysteresis_never_moves_twice_within_its_dwell_time(levels, dwell_s, seed) -> None:
    scene = Scene(
        problem(),
        trace(*levels, every_s=3.0),
        moving=Moving(resident=frozenset({"edge", "cloud"})),
        most_plans=6,
    )
    run = simulate(scene, Hysteresis(scene.candidates, dwell_s=dwell_s), Sensor(seed=seed, noise=0.5))
    moved = [turn.at_s for turn in run.turns[1:]]
    assert all(after - before >= dwell_s for before, after in itertools.pairwise(moved))


@pytest.mark.parametrize("period_s", [None, 5.0])
def test_nothing_moves_while_nothing_changes(period_s) -> None:
    scene = Scene(problem(), trace(FAR), request_period_s=period_s)
    for make in (
        Static.best,
        Clairvoyant,
        lambda s: Reactive(s.candidates),
        lambda s: Hysteresis(s.candidates),
    ):
        assert simulate(scene, make(scene), PERFECT).n_moves == 0


def test_hysteresis_moves_where_it_pays_for_long_and_says_why() -> None:
    scene = Scene(
        problem(), trace(NEAR, FAR, NEAR, every_s=60.0), moving=Moving(resident=frozenset({"cloud"}))
    )
    run = simulate(scene, Hysteresis(scene.candidates))
    assert run.n_moves == 2
    assert "instead of" in run.turns[1].why
    assert run.mean_s < simulate(scene, Static.best(scene)).mean_s


def test_hysteresis_sits_out_what_a_move_would_not_pay_for() -> None:
    shy = Scene(
        problem(), trace(NEAR, FAR, NEAR, every_s=60.0), moving=Moving(storage_bytes_per_s={"edge": 5e7})
    )
    assert simulate(shy, Hysteresis(shy.candidates)).n_moves == 0
    brief = Scene(problem(), trace(NEAR, None, NEAR, every_s=1.0))
    assert simulate(brief, Hysteresis(brief.candidates, dwell_s=2.0), PERFECT).n_moves == 0


def test_a_step_in_load_moves_work_away_from_the_cloud() -> None:
    load = LoadTrace("cloud", ((40.0, 20.0),))
    scene = Scene(problem(pins=()), trace(NEAR, every_s=120.0), (load,))
    run = simulate(scene, Hysteresis(scene.candidates))
    places = [turn.plan.partition.places for turn in run.turns]
    assert (places[0], places[-1]) == (("cloud",), ("edge",))
    assert len(places) <= 3  # by way of a split while the estimate still rises


def test_the_table_has_every_policy_and_says_where_nothing_is_to_be_gained() -> None:
    scenes = [Scene(problem(), trace(FAR), name="far"), Scene(problem(), trace(NEAR, FAR), name="walk")]
    rows = regret_table(scenes)
    assert [row.policy for row in rows[:4]] == ["static", "reactive", "hysteresis", "clairvoyant"]
    still = {row.policy: row for row in rows if row.scene == "far"}
    assert still["static"].regret == pytest.approx(0.0, abs=1e-12)
    assert still["static"].n_best == 1
    assert all(row.regret >= -1e-9 for row in rows)
    assert rows[-1].regret == 0.0
    assert rows[0].to_dict()["label"] == "modelled"


def test_a_link_that_is_never_up_leaves_the_edge() -> None:
    scene = Scene(problem(), trace(None, None), request_period_s=5.0)
    run = simulate(scene, Clairvoyant(scene))
    assert run.plans[0].partition.places == ("edge",)
    assert math.isfinite(run.mean_s)
    split = next(p for p in scene.candidates.plans if p.partition.split_points)
    assert simulate(scene, Static(split)).mean_s == math.inf
