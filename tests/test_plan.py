"""Stages, partitions and plans: what is valid survives, what cannot be is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import partitions, plans
from workbench.errors import InputError, PlanError, UnknownNameError
from workbench.plan import CLOUD, EDGE, QUEUE, Bound, Partition, Placement, Plan, Stage


@given(plans())
def test_a_plan_survives_json(plan: Plan) -> None:
    again = Plan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert again == plan
    assert again.key == plan.key


@given(partitions())
def test_stages_cover_every_block_once(partition: Partition) -> None:
    blocks = [b for s in partition.stages for b in range(s.start, s.stop)]
    assert blocks == list(range(partition.n_blocks))
    assert len(partition.split_points) == len(partition.stages) - 1


@given(plans(), plans())
def test_the_key_tells_plans_apart(a: Plan, b: Plan) -> None:
    assert (a.key == b.key) == (a == b)


@given(st.integers(1, 80), st.integers(-100, 100))
def test_a_split_point_is_0_to_n(n_blocks: int, at: int) -> None:
    if 0 <= at <= n_blocks:
        partition = Partition.split(n_blocks, at)
        assert partition.split_points == (at,)
        assert [s.n_blocks for s in partition.stages] == [at, n_blocks - at]
    else:
        with pytest.raises(PlanError, match=f"{at} is out of range"):
            Partition.split(n_blocks, at)


@given(st.integers(1, 80), st.integers(-5, 85), st.integers(-5, 85))
def test_a_u_shape_keeps_both_ends_on_the_edge(n_blocks: int, first: int, last: int) -> None:
    if 0 <= first < last <= n_blocks:
        partition = Partition.u_shaped(n_blocks, (first, last))
        assert [s.place for s in partition.stages] == [EDGE, CLOUD, EDGE]
        assert partition.on(CLOUD)[0].n_blocks == last - first
        assert not partition.on(CLOUD)[0].embedding
        assert not partition.on(CLOUD)[0].head
    else:
        with pytest.raises(PlanError):
            Partition.u_shaped(n_blocks, (first, last))


@pytest.mark.parametrize("at", [1.0, "1", None, True, (1, 2), [3]])
def test_a_split_point_is_a_whole_number(at: Any) -> None:
    with pytest.raises(PlanError):
        Partition.split(4, at)


@pytest.mark.parametrize("at", [2, (1,), (1, 2, 3), ("1", "2"), (1.0, 2.0), None])
def test_a_u_shape_needs_two_whole_numbers(at: Any) -> None:
    with pytest.raises(PlanError):
        Partition.u_shaped(4, at)


@pytest.mark.parametrize(
    "values",
    [
        {"place": ""},
        {"place": 3},
        {"start": -1},
        {"start": 3},
        {"start": 0.5},
        {"stop": "2"},
        {"bits": 3},
        {"bits": None},
        {"start": 0, "stop": 0, "embedding": False},
    ],
)
def test_stages_that_cannot_be(values: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        Stage(**{"place": EDGE, "start": 0, "stop": 2, "embedding": True, **values})


def _stage(place: str, start: int, stop: int, ends: str = "") -> Stage:
    return Stage(place, start, stop, embedding="E" in ends, head="H" in ends)


@pytest.mark.parametrize(
    ("n_blocks", "stages"),
    [
        (4, []),
        (0, [_stage(EDGE, 0, 0, "EH")]),
        (4, [_stage(EDGE, 0, 4, "E")]),  # no head
        (4, [_stage(EDGE, 0, 4, "H")]),  # no embedding
        (4, [_stage(EDGE, 0, 2, "E"), _stage(CLOUD, 3, 4, "H")]),  # a gap
        (4, [_stage(EDGE, 0, 3, "E"), _stage(CLOUD, 2, 4, "H")]),  # an overlap
        (4, [_stage(EDGE, 0, 2, "E"), _stage(CLOUD, 2, 5, "H")]),  # too long
        (4, [_stage(EDGE, 0, 2, "E"), _stage(CLOUD, 2, 3, "H")]),  # too short
        (4, [_stage(EDGE, 0, 2, "E"), _stage(EDGE, 2, 4, "H")]),  # no boundary between them
        (4, [_stage(EDGE, 0, 2, "EH"), _stage(CLOUD, 2, 4, "H")]),  # two heads
    ],
)
def test_partitions_that_cannot_be(n_blocks: int, stages: list[Stage]) -> None:
    with pytest.raises(PlanError):
        Partition(n_blocks, tuple(stages))


_GOOD = Plan.of("tiny", Partition.split(4, 2)).to_dict()


def _with(path: tuple[Any, ...], value: Any) -> Any:
    data = json.loads(json.dumps(_GOOD))
    at = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return data


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        None,
        "tiny",
        {"model": "tiny"},
        {"model": "tiny", "features": {}},
        {"model": "tiny", "features": []},
        _with(("unknown",), 1),
        _with(("features", "default"), None),
        _with(("features", "default", "unknown"), 1),
        _with(("features", "default", "partition", "unknown"), 1),
        _with(("features", "default", "partition", "n_blocks"), "4"),
        _with(("features", "default", "partition", "stages"), 4),
        _with(("features", "default", "partition", "stages", 0, "unknown"), 4),
        _with(("features", "default", "partition", "stages", 0, "bits"), 5),
        _with(("features", "default", "partition", "stages", 0, "stop"), 1),
    ],
)
def test_what_is_no_plan_is_refused(data: Any) -> None:
    with pytest.raises(PlanError):
        Plan.from_dict(data)


def test_names_are_checked_and_the_nearest_suggested() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'int8'"):
        Placement(Partition.split(4, 2), wire="int-8")
    with pytest.raises(UnknownNameError, match="plain"):
        Placement(Partition.split(4, 2), decoding="fancy")
    with pytest.raises(UnknownNameError, match="translate"):
        Plan.of("tiny", Partition.split(4, 2)).placement("translate")


def test_features_must_agree_on_the_model() -> None:
    with pytest.raises(PlanError, match=r"\[4, 5\]"):
        Plan("tiny", {"default": Placement(Partition.split(4, 2)), "copy": Placement(Partition.split(5, 2))})


def test_replacing_the_default_leaves_the_rest() -> None:
    plan = Plan("tiny", {name: Placement(Partition.split(4, 2)) for name in ("default", "copy")})
    changed = plan.replace_default(wire="int8")
    assert changed.wire == "int8"
    assert changed.features["copy"] == plan.features["copy"]
    assert plan.wire == "fp16"


def test_text_says_what_runs_where() -> None:
    plan = Plan.of("tiny", Partition.split(8, 3, edge_bits=4), "int8")
    assert str(plan) == "tiny: edge E+[0,3) @4b | cloud [3,8)+H @16b, wire int8"
    assert str(Plan.of("tiny", Partition.unsplit(8, EDGE))) == "tiny: edge E+[0,8)+H @16b"
    assert plan.partition.places == (EDGE, CLOUD)


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.integers(), st.text(), st.lists(st.integers()))))
def test_any_other_dictionary_is_refused_as_a_plan(data: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Plan.from_dict(data)


# ---- features, fallbacks, bounds

EDGE4 = Placement(Partition.unsplit(4, EDGE), model="tiny@4")
CLOUD8 = Placement(Partition.unsplit(8, CLOUD))
SPLIT8 = Placement(Partition.split(8, 3), "int8")


def test_features_have_models_adapters_and_fallbacks_and_survive_json() -> None:
    tuned = replace(EDGE4, adapter="arithmetic")
    features = {"default": replace(CLOUD8, fallback="small"), "small": EDGE4, "arithmetic": tuned}
    plan = Plan("tiny", {**features, "continue": replace(SPLIT8, fallback=QUEUE)}, (Bound("name", EDGE),))
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    assert plan.models == ("tiny", "tiny@4")
    offline = [plan.answers_offline(f) for f in ("default", "small", "arithmetic", "continue")]
    assert offline == ["small", "small", "arithmetic", QUEUE]
    rows = {row["feature"]: row for row in plan.rows()}
    assert next(iter(rows)) == "default"
    assert (rows["arithmetic"]["adapter"], rows["arithmetic"]["offline"]) == ("arithmetic", "goes on")
    assert rows["default"]["offline"] == "degraded to small"
    assert rows["continue"]["offline"] == "queued"


def test_what_was_written_before_there_were_bounds_keeps_its_key() -> None:
    data = Plan.of("tiny", Partition.split(8, 3)).to_dict()
    assert "bounds" not in data
    assert set(data["features"]["default"]) == {"partition", "wire", "decoding", "fallback"}


@pytest.mark.parametrize(
    ("features", "bounds", "said"),
    [
        ({"default": replace(CLOUD8, fallback="smal"), "small": EDGE4}, (), "'smal', which the plan has not"),
        ({"default": replace(CLOUD8, fallback="other"), "other": SPLIT8}, (), "needs the link itself"),
        ({"default": CLOUD8, "small": Placement(Partition.unsplit(4, EDGE))}, (), "disagree"),
        ({"default": CLOUD8, QUEUE: EDGE4}, (), "call the feature something else"),
        ({"default": CLOUD8, "health": EDGE4}, (), "classes of data"),
        ({"default": CLOUD8}, (Bound("name", EDGE), Bound("name", CLOUD)), "more than once"),
        ({"default": CLOUD8}, (Bound("nmae", EDGE),), "neither a feature"),
        ({"default": CLOUD8, "a": SPLIT8}, (Bound("a", EDGE),), "a stays on the edge, but its placement"),
        ({"default": CLOUD8, "a": SPLIT8}, (Bound("a", CLOUD),), "a stays in the cloud, but its placement"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(
    features: dict[str, Placement], bounds: tuple[Bound, ...], said: str
) -> None:
    with pytest.raises(PlanError, match=said):
        Plan("tiny", features, bounds)


def test_a_bound_is_to_the_edge_or_the_cloud() -> None:
    with pytest.raises(PlanError, match="'fog'"):
        Bound("name", "fog")
    assert Bound("name", EDGE).allows(EDGE4)
    assert not Bound("name", EDGE).allows(SPLIT8)
    assert not Bound("health", CLOUD).allows(SPLIT8)
    assert Bound("health", CLOUD).allows(CLOUD8)
