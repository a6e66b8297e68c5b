"""Tables of losses: what they say of a plan, how they are kept, and limits that planners keep by them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cost.models import SMALL
from tests.planner.problems import EDGE_CLOUD
from workbench import profiles
from workbench.errors import InfeasibleError, PlanError, ProfileError, UnknownNameError
from workbench.models import load_model, shipped_models
from workbench.plan import Partition, Placement
from workbench.planner import Choices, Limits, LossTable, Problem, plan

TABLE = LossTable("m", {8: (0.1, 0.2), 4: (1.0, 2.0)}, {"int8": 0.01, "int4": 0.5}, base=2.0, suite="own")
PROBLEM = Problem(SMALL, EDGE_CLOUD, (profiles.link("lte"),), losses=LossTable.of_shipped("tiny"))


def test_losses_add_up_over_blocks_and_codecs() -> None:
    def of(partition: Partition, wire: str = "fp16") -> float:
        return TABLE.of(Placement(partition, wire))

    assert of(Partition.unsplit(2, "edge")) == 0.0
    assert of(Partition.unsplit(2, "edge", 32), "int4") == 0.0  # nothing crosses
    assert of(Partition.unsplit(2, "edge", [8, 4])) == 2.1
    assert of(Partition.split(2, 1, 4, 8), "int8") == pytest.approx(1.21)
    assert of(Partition.split(2, 1), "fp16") == 0.0


def test_what_was_not_measured_is_said() -> None:
    only8 = LossTable("m", {8: (0.1, 0.2)}, {})
    with pytest.raises(ProfileError, match="4 bits"):
        only8.of(Placement(Partition.unsplit(2, "edge", 4)))
    with pytest.raises(ProfileError, match="int8"):
        only8.of(Placement(Partition.split(2, 1), "int8"))
    with pytest.raises(PlanError, match="3"):
        TABLE.of(Placement(Partition.unsplit(3, "edge")))
    with pytest.raises(ProfileError, match="finite"):
        LossTable("m", {8: (math.nan,)}, {})


@given(st.lists(st.floats(-1, 9), min_size=1, max_size=9), st.floats(0, 9) | st.just(math.nan))
def test_a_table_comes_back_from_json(row: list[float], base: float) -> None:
    table = LossTable("m", {8: tuple(row)}, {"int8": row[0]}, base, "quick", "abc")
    text = json.dumps(table.to_dict(), allow_nan=False)
    again = LossTable.from_dict(json.loads(text))
    assert again.to_dict() == table.to_dict()
    assert again.blocks == table.blocks


def test_a_file_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "losses.json"
    TABLE.save(path)
    assert LossTable.load(path) == TABLE
    for text in ("{", "[]", '{"model": "m"}', '{"model": "m", "blocks": {"8": ["x"]}, "wires": {}}'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ProfileError):
            LossTable.load(path)
    with pytest.raises(ProfileError, match="sensitivity"):
        LossTable.load(tmp_path / "none.json")
    with pytest.raises(UnknownNameError, match="tiny"):
        LossTable.of_shipped("tini")


@pytest.mark.parametrize("name", sorted(shipped_models()))
def test_shipped_tables_are_of_the_shipped_weights(name: str) -> None:
    table, model = LossTable.of_shipped(name), load_model(name)
    assert table.fingerprint == model.fingerprint
    assert table.n_blocks == model.n_blocks
    assert set(table.blocks) == {8, 4}
    assert set(table.wires) == {"int8", "int4"}
    assert sum(table.blocks[4]) > sum(table.blocks[8])


@pytest.mark.parametrize("planner", ["exhaustive", "depth"])
def test_a_limit_of_loss_is_kept_by_the_shipped_table(planner: str) -> None:
    problem = PROBLEM.with_(choices=Choices(bits={"edge": (16, 4), "cloud": (16, 4)}))
    assert problem.losses is not None
    free, bound = plan(problem, planner), plan(problem.with_(limits=Limits(loss=0.002)), planner)
    assert free.best.values["loss"] > 0.002 >= bound.best.values["loss"]
    assert bound.best.values["total"] >= free.best.values["total"]
    for answer in (free, bound):
        placement = answer.best.plan.default
        assert answer.best.values["loss"] == pytest.approx(problem.losses.of(placement), abs=1e-12)


def test_a_loss_that_no_plan_keeps_is_named() -> None:
    only4 = PROBLEM.with_(choices=Choices(bits={"edge": (4,), "cloud": (4,)}), limits=Limits(loss=1e-4))
    with pytest.raises(InfeasibleError, match="loss"):
        plan(only4)
