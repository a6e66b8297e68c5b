"""Plans as people write them, and what is said of those that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from tests.strategies import plans
from workbench.deployment.plan_files import plan_names, read_plan, write_plan
from workbench.errors import InputError
from workbench.plan import CLOUD, EDGE, QUEUE, Partition, Plan

BLOCKS = {"tiny": 8, "tiny@4": 4}.__getitem__
TEXT = """
model: tiny
features:
  default: {place: cloud, fallback: small}
  small: {place: edge, model: tiny@4, bits: 8}
  continue:
    split: [2, 6]
    edge_bits: 8
    wire: int8
    fallback: queue
bounds: {name: edge}
"""


def test_a_plan_reads_as_it_is_written() -> None:
    plan = read_plan(TEXT, blocks_of=BLOCKS)
    assert plan.default.place == CLOUD
    assert plan.features["small"].partition == Partition.unsplit(4, EDGE, 8)
    assert plan.features["continue"].partition == Partition.u_shaped(8, (2, 6), 8, 16)
    assert (plan.features["continue"].wire, plan.features["continue"].fallback) == ("int8", QUEUE)
    assert plan.bound_of("name") is not None


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_what_is_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    plan = read_plan(TEXT, blocks_of=BLOCKS)
    file = write_plan(plan, tmp_path / f"plan.{suffix}")
    assert read_plan(file, blocks_of=BLOCKS) == plan


@given(plans())
def test_any_plan_is_read_back(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> None:
    file = write_plan(plan, tmp_path_factory.mktemp("plan") / "plan.json")
    assert read_plan(file, blocks_of=lambda _: plan.partition.n_blocks) == plan


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("place: cloud", "plaec: cloud", "did you mean 'place'"),
        ("place: cloud", "place: clod", "did you mean 'cloud'"),
        ("bits: 8}", "bits: 7}", "7 weight bits"),
        ("split: [2, 6]", "split: [2, 9]", "out of range"),
        ("split: [2, 6]", "split: 3\n    place: edge", "says where it runs once"),
        ("fallback: small", "fallback: smal", "which the plan has not"),
        ("name: edge", "nmae: edge", "neither a feature"),
        ("model: tiny\n", "", "lacks model"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(before: str, after: str, said: str) -> None:
    assert before in TEXT
    with pytest.raises(InputError, match=said):
        read_plan(TEXT.replace(before, after, 1), blocks_of=BLOCKS)


def test_shipped_plans_are_read() -> None:
    assert "hybrid" in plan_names()
    for name in plan_names():
        assert read_plan(name).features
