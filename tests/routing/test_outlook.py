"""What a plan is expected to give: baselines, thresholds, the oracle, and the same as a workload played."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.routing.answers import DEVICES, PLAN, PROFILES, TABLE
from workbench.errors import InputError, PlanError, UnknownNameError
from workbench.plan import DEFAULT_FEATURE, EDGE, Partition, Placement, Plan
from workbench.profiles import link
from workbench.routing import (
    AnswerTable,
    Cascade,
    CloudOnly,
    EdgeOnly,
    Hybrid,
    Outlook,
    Rehearsal,
    Request,
    Tagged,
    Workload,
    area_under,
    calibrated,
    module_of,
)

SHARES = {"easy": 1.0, "hard": 1.0}
CALIBRATION = calibrated(PLAN, TABLE)
OUTLOOK = Outlook(PLAN, TABLE, PROFILES, DEVICES, link("lte"), shares=SHARES, calibration=CALIBRATION)
REQUESTS = tuple(
    Request(prompt, task, 5, answer="x", arrival_s=60.0 * i)
    for i, (prompt, task) in enumerate(zip(TABLE.prompts, TABLE.tasks, strict=True))
)


def test_a_module_is_named_by_what_answers() -> None:
    assert module_of(PLAN) == "m @16b"
    assert module_of(PLAN, "hard") == "m@4 @16b"
    tuned = Placement(Partition.split(8, 3, 4, 16), adapter="sorting")
    assert module_of(Plan("m", {DEFAULT_FEATURE: tuned})) == "m @16/4b + sorting"


def test_quality_is_what_was_measured() -> None:
    assert TABLE.quality("m@4 @16b", "hard") == 0.5
    assert TABLE.quality("m @16b", "continue") == 1.0
    assert TABLE.quality("m@4 @16b", "continue") == pytest.approx(1.2 / 1.5)
    assert TABLE.qualities(PLAN)["hard", DEFAULT_FEATURE] == 1.0
    with pytest.raises(UnknownNameError, match="measured module"):
        TABLE.quality("m@2 @16b", "hard")
    with pytest.raises(UnknownNameError, match="measured feature"):
        TABLE.quality("m @16b", "hrad")


def test_a_table_survives_its_file_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "answers.json"
    TABLE.save(file)
    again = AnswerTable.load(file)
    assert again.prompts == TABLE.prompts
    assert again.quality("m@4 @16b", "hard") == 0.5
    data = json.loads(file.read_text(encoding="utf-8"))
    del data["modules"]["m @16b"]["right"][0]
    with pytest.raises(InputError, match="of one length"):
        AnswerTable.from_dict(data)
    file.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        AnswerTable.load(file)


def test_baselines_are_all_of_one_side() -> None:
    edge, cloud = OUTLOOK.edge_only(), OUTLOOK.cloud_only()
    assert (edge.quality, edge.edge_share) == pytest.approx((0.75, 1.0))
    assert edge.n_bytes == 0
    assert (cloud.quality, cloud.edge_share) == pytest.approx((1.0, 0.0))
    assert cloud.latency_s > link("lte").rtt_s
    half = OUTLOOK.random(0.5)
    assert half.quality == pytest.approx((edge.quality + cloud.quality) / 2)
    assert half.latency_s == pytest.approx((edge.latency_s + cloud.latency_s) / 2)


def test_a_threshold_asks_the_cloud_where_the_edge_is_not_sure() -> None:
    none, some, all_ = (OUTLOOK.at(threshold) for threshold in (0.0, 0.6, 1.0))
    assert (none.quality, none.escalated) == pytest.approx((0.75, 0.0))
    assert some.quality == pytest.approx(1.0)
    assert some.escalated == pytest.approx(0.25)
    assert some.edge_share == pytest.approx(0.75)
    assert all_.escalated == pytest.approx(1.0)
    assert all_.latency_s == pytest.approx(OUTLOOK.edge_only().latency_s + OUTLOOK.cloud_only().latency_s)
    assert OUTLOOK.at(0.0, {"hard": 0.6}).quality == pytest.approx(1.0)
    curve = OUTLOOK.curve((0.0, 0.5, 1.0))
    assert [point.threshold for point in curve] == [0.0, 0.5, 1.0]
    assert sorted(p.latency_s for p in curve) == [p.latency_s for p in curve]


def test_the_oracle_is_never_worse_than_a_threshold() -> None:
    for threshold in (0.2, 0.6, 0.9):
        point = OUTLOOK.at(threshold)
        oracle = OUTLOOK.oracle(1 - point.edge_share)
        assert oracle.quality >= point.quality - 1e-9
        assert oracle.latency_s <= point.latency_s + 1e-9
    assert OUTLOOK.oracle(0.0).quality == OUTLOOK.edge_only().quality
    assert OUTLOOK.oracle(1.0).edge_share == pytest.approx(0.75)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=12))
def test_an_area_is_a_share_and_grows_with_points(points: list[tuple[float, float]]) -> None:
    area = area_under(points, (0.0, 1.0))
    assert 0 <= area <= 1
    assert area_under([*points, (0.0, 1.0)], (0.0, 1.0)) == pytest.approx(1.0)
    assert area_under([*points, (0.5, 0.5)], (0.0, 1.0)) >= area - 1e-9
    with pytest.raises(PlanError):
        area_under(points, (1.0, 1.0))


def test_a_plan_without_a_cloud_has_no_outlook() -> None:
    local = Plan("m", {DEFAULT_FEATURE: Placement(Partition.unsplit(8, EDGE))})
    with pytest.raises(PlanError, match="nothing of the plan runs in the cloud"):
        Outlook(local, TABLE, PROFILES, DEVICES, link("lte"), shares=SHARES)


# ---- the same as a workload


def test_a_rehearsal_of_requests_far_apart_is_the_outlook() -> None:
    rehearsal = Rehearsal(PLAN, TABLE, PROFILES, DEVICES, link("lte"))
    for policy, expected in (
        (EdgeOnly(), OUTLOOK.edge_only()),
        (CloudOnly(), OUTLOOK.cloud_only()),
        (Hybrid(CALIBRATION, threshold=0.6), OUTLOOK.at(0.6)),
        (Cascade(0.6, CALIBRATION), OUTLOOK.cascade(0.6)),
    ):
        report = rehearsal.run(Workload(REQUESTS), policy)
        assert report.mean_quality == pytest.approx(expected.quality)
        assert report.edge_share == pytest.approx(expected.edge_share)
        assert report.escalated_share == pytest.approx(expected.escalated)
        assert report.latency_s["mean"] == pytest.approx(expected.latency_s)
        assert report.label == "modelled"


def test_requests_at_once_wait_and_outages_queue() -> None:
    at_once = Workload(tuple(replace(r, arrival_s=0.0) for r in REQUESTS[:8]))
    rehearsal = Rehearsal(PLAN, TABLE, PROFILES, DEVICES, link("lte"), slots=2)
    crowded = rehearsal.run(at_once, EdgeOnly())
    alone = rehearsal.run(Workload(REQUESTS[:8]), EdgeOnly())
    assert crowded.latency_s["p95"] > 2 * alone.latency_s["p95"]
    assert crowded.served[-1].queued_s > 0
    away = replace(PLAN, features={DEFAULT_FEATURE: PLAN.default})
    queued = Rehearsal(away, TABLE, PROFILES, DEVICES, link("lte")).run(
        Workload((Request("hard 1", arrival_s=1.0),)), Tagged(), outages=[(0.5, 3.0)]
    )
    assert queued.served[0].outcome == "queued"
    assert queued.served[0].ready_s == 3.0
    assert queued.served[0].latency_s > 2.0  # type: ignore[operator]


def test_bounds_hold_in_a_rehearsal_too() -> None:
    rehearsal = Rehearsal(PLAN, TABLE, PROFILES, DEVICES, link("lte"))
    report = rehearsal.run(Workload((Request("My name is Ada Lovelace"),)), CloudOnly())
    assert (report.served[0].outcome, report.served[0].on_edge) == ("moved", True)
