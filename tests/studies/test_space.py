"""A space lists each plan once, and every way to draw a choice stays inside it."""

from __future__ import annotations

import json

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import PlanError, UnknownNameError
from workbench.plan import BITS, WIRE_CODECS
from workbench.records import role_of
from workbench.studies import Space
from workbench.studies.sampling import suggest
from workbench.studies.space import distance


def some_of(values: tuple[object, ...]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(st.sampled_from(values), min_size=1, unique=True).map(tuple)


spaces = st.builds(
    Space,
    splits=st.none() | some_of(tuple(range(5))),
    edge_bits=some_of(BITS),
    cloud_bits=some_of(BITS),
    wires=some_of(WIRE_CODECS),
    u_shaped=st.booleans(),
)


@given(spaces)
@settings(max_examples=40, deadline=None)
def test_choices_are_different_plans(space: Space) -> None:
    keys = [space.plan("m", 4, choice).key for choice in space.choices(4)]
    assert len(set(keys)) == len(keys)


@given(spaces, st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_what_a_sampler_draws_is_in_the_space(space: Space, seed: int) -> None:
    known = {space.plan("m", 4, choice).key for choice in space.choices(4)}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(5):
        choice = suggest(study.ask(), space, 4)
        assert space.plan("m", 4, choice).key in known


@given(spaces)
def test_space_round_trips_through_json(space: Space) -> None:
    assert Space.from_dict(json.loads(json.dumps(space.to_dict()))) == space


def test_counts_of_a_small_space() -> None:
    space = Space(edge_bits=(16, 4), cloud_bits=(16, 8), wires=("fp16", "int8", "int4"))
    plans = [space.plan("m", 8, choice) for choice in space.choices(8)]
    roles = [role_of(plan) for plan in plans]
    assert (roles.count("edge-only"), roles.count("cloud-only"), roles.count("split")) == (2, 2, 9 * 12)


def test_u_shapes_have_every_pair_of_split_points() -> None:
    space = Space(edge_bits=(16,), cloud_bits=(16,), wires=("fp16",), u_shaped=True)
    plans = [space.plan("m", 4, choice) for choice in space.choices(4)]
    points = [p.partition.split_points for p in plans if role_of(p) == "U-shaped"]
    assert sorted(points) == [(a, b) for a in range(4) for b in range(a + 1, 5)]


def test_baselines_have_the_most_bits() -> None:
    edge, cloud = (
        Space(edge_bits=(4, 8), cloud_bits=(4, 16)).plan("m", 3, c)
        for c in Space(edge_bits=(4, 8), cloud_bits=(4, 16)).baselines(3)
    )
    assert [s.bits for s in (*edge.partition.stages, *cloud.partition.stages)] == [8, 16]


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"edge_bits": (3,)}, PlanError, "3 weight bits"),
        ({"wires": ("fp12",)}, UnknownNameError, "wire codec"),
        ({"wires": ()}, PlanError, "wires are empty"),
        ({"splits": (1, 1)}, PlanError, "repeat"),
    ],
)
def test_impossible_spaces_are_refused(changes: dict[str, tuple[int, ...]], error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        Space(**changes)


def test_split_points_beyond_the_model_are_refused() -> None:
    with pytest.raises(PlanError, match=r"\[9\] are out of range: choose 0 to 8"):
        Space(splits=(1, 9)).split_values(8)


def test_near_choices_are_near() -> None:
    here = {"split": 3, "edge_bits": 16, "cloud_bits": 16, "wire": "fp16"}
    assert distance(here, here, 8) == 0
    assert distance(here, {**here, "split": 4}, 8) < distance(here, {**here, "split": 6}, 8)
    assert distance(here, {**here, "split": 6}, 8) < distance(here, {**here, "wire": "int8"}, 8)
