"""Shares, accuracies and trial records keep what they are told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import UnknownNameError
from workbench.plan import Partition, Plan
from workbench.records import OBJECTIVES, Accuracy, Share, TrialRecord, objective


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_share(case: tuple[int, int]) -> None:
    share = Share.of(*case)
    assert 0 <= share.low <= share.value <= share.high <= 1


def test_interval_is_wilsons() -> None:
    share = Share.of(8, 10)  # by hand: 0.4902 to 0.9433
    assert (share.low, share.high) == pytest.approx((0.49016, 0.94331), abs=1e-5)


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 4), (5, 4)])
def test_impossible_shares_are_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        Share.of(successes, n)


def test_pooling_counts_every_example() -> None:
    assert Share.pooled([Share.of(1, 3), Share.of(5, 7)]) == Share.of(6, 10)


def test_accuracy_round_trips_through_json() -> None:
    found = Accuracy(1.5, {"copy": Share.of(3, 4)}, Share.of(90, 100), "quick", 1000)
    assert Accuracy.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_record_round_trips_through_json() -> None:
    plan = Plan.of("toy", Partition.u_shaped(8, (2, 6), 8, 4), "int8")
    record = TrialRecord(3, plan, "complete", {"latency": 0.5}, {"accuracy": (0.1, 0.2)})
    assert TrialRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record
    assert record.title == "U-shaped at 2–6, edge 8 bit, cloud 4 bit, wire int8"


def test_record_of_an_unsplit_plan_has_no_wire() -> None:
    record = TrialRecord(0, Plan.of("toy", Partition.unsplit(8, "edge", 4)), "complete")
    assert (record.role, record.split, record.wire, record.title) == (
        "edge-only",
        "edge-only",
        None,
        "edge-only, edge 4 bit",
    )


def test_unknown_objective_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'latency'"):
        objective("latancy")
    assert objective("energy") is OBJECTIVES["energy"]
