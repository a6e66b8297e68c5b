"""A study tries each plan once, baselines first, and finds what enumeration finds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InputError, StudyError, UnknownNameError
from workbench.plan import Partition, Plan
from workbench.profiles import DeviceProfile
from workbench.records import OBJECTIVES, TrialRecord
from workbench.studies import SAMPLERS, Question, Space, Study
from workbench.studies.fronts import Box, front_of

N_PLANS = 2 + 1 + 9 * 2 * 2  # edge-only at two widths, cloud-only, and the splits of the small space


def test_baselines_come_first(make_study: Any) -> None:
    study = make_study()
    study.optimize(3)
    records = study.records()
    assert [r.role for r in records[:2]] == ["edge-only", "cloud-only"]
    assert [r.baseline for r in records] == [True, True, False]
    assert [r.role for r in study.baselines()] == ["edge-only", "cloud-only"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_plan_is_tried_twice(make_study: Any, sampler: str) -> None:
    study = make_study(sampler=sampler)
    study.optimize(25)
    keys = [r.plan.key for r in study.records()]
    assert len(keys) == 25 == len(set(keys))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_small_space_is_tried_to_the_end(make_study: Any, sampler: str) -> None:
    space = Space(splits=(2, 5), edge_bits=(16, 4), cloud_bits=(16,), wires=("fp16",))
    study = make_study(space=space, sampler=sampler)
    study.optimize(500)
    assert len(study.records()) == 3 + 4
    assert {r.plan for r in study.front()} == {r.plan for r in study.exhaustive_front()}


def test_records_hold_every_number_with_its_prediction(make_study: Any) -> None:
    study = make_study(objectives=("ttft",))
    study.optimize(3)
    record = study.records()[2]
    trace = study.trace(record)
    assert record.values["latency"] == trace.total_s
    assert record.values["ttft"] == trace.ttft_s
    assert record.values["bytes"] == trace.bytes_up + trace.bytes_down
    assert record.values["memory"] == trace.memory_bytes["edge"]


def test_what_does_not_fit_is_recorded_with_its_reason(make_study: Any, tight_edge: DeviceProfile) -> None:
    study = make_study(edge=tight_edge)
    study.optimize(20)
    bad = [r for r in study.records() if r.state == "infeasible"]
    assert bad
    assert "Small edge" in bad[0].reason
    assert bad[0].role == "edge-only"
    assert not {r.number for r in bad} & {r.number for r in study.front()}
    assert all(study.trace(r).memory_bytes["edge"] > tight_edge.memory_bytes for r in bad)


def test_what_breaks_a_limit_keeps_its_numbers_and_is_on_no_front(make_study: Any, file: Path) -> None:
    free = make_study()
    free.optimize(200)
    middle = sorted(r.values["cloud_memory"] for r in free.records())[N_PLANS // 2]
    within = [r for r in free.records() if r.values["cloud_memory"] <= middle]
    study = make_study(limits={"cloud_memory": middle}, storage=file)
    study.optimize(200)
    broken = [r for r in study.records() if r.obstacle]
    assert {r.plan for r in broken} == {r.plan for r in free.records()} - {r.plan for r in within}
    assert {r.role for r in broken} >= {"cloud-only"}
    assert all(r.reason.startswith("breaks a limit: cloud_memory") and "latency" in r.values for r in broken)
    assert [r.plan for r in study.front()] == [r.plan for r in front_of(within, study.goals)]
    assert [r.plan for r in study.exhaustive_front()] == [r.plan for r in study.front()]
    assert Study.open(file).records() == study.records()


def test_a_limit_of_what_is_to_be_large_is_its_least(make_study: Any) -> None:
    q = replace(make_study().question, limits={"agreement": 0.9, "latency": 2.0}, fingerprint="weights")
    assert q.needs_weights
    assert q.excess({"agreement": 0.45, "latency": 3.0}) == pytest.approx({"agreement": 0.5, "latency": 0.5})
    kept = q.excess({"agreement": 0.99, "latency": 1.0})
    assert kept == pytest.approx({"agreement": -0.1, "latency": -0.5})


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=25))
def test_history_is_the_share_of_each_beginning(points: list[tuple[int, int]]) -> None:
    goals = (OBJECTIVES["latency"], OBJECTIVES["memory"])
    plan = Plan.of("toy", Partition.unsplit(4, "edge"))
    records = [
        TrialRecord(i, plan, "complete", {"latency": x, "memory": y}) for i, (x, y) in enumerate(points)
    ]
    box = Box.around(records, goals)
    assert box.history(records) == pytest.approx([box.share(records[: i + 1]) for i in range(len(records))])


def test_the_front_is_that_of_the_oracle(make_study: Any) -> None:
    """Enumeration is the truth; the search must come near it with half of the trials."""
    study = make_study(seed=1)
    study.optimize(N_PLANS // 2)
    everything = list(study.exhaustive())
    assert len(everything) == N_PLANS
    box = Box.around(everything, study.goals)
    assert box.share(study.records()) >= 0.98 * box.share(everything)


def test_tpe_beats_what_it_began_with(make_study: Any) -> None:
    study = make_study()
    study.optimize(20)
    history = study.hypervolume_history()
    assert len(history) == 20
    assert history == sorted(history)
    assert 0 < history[-1] <= 1


def test_the_seed_makes_choices_repeatable(make_study: Any) -> None:
    first, second = make_study(seed=5), make_study(seed=5)
    for study in (first, second):
        study.optimize(12)
    assert [r.plan for r in first.records()] == [r.plan for r in second.records()]


def test_on_trial_sees_each_new_record(make_study: Any) -> None:
    seen: list[TrialRecord] = []
    study = make_study()
    study.optimize(6, on_trial=seen.append)
    assert seen == study.records()


def test_stop_ends_it_and_records_can_be_read_meanwhile(make_study: Any, file: Path) -> None:
    study, stop = make_study(storage=file), Event()
    worker = Thread(target=study.optimize, args=(10**6,), kwargs={"stop": stop})
    worker.start()
    while len(study.records()) < 4:
        pass
    stop.set()
    worker.join(60)
    assert not worker.is_alive()
    assert all(r.state == "complete" for r in study.records())


def test_an_error_in_a_trial_marks_it_and_is_raised(make_study: Any, monkeypatch: Any) -> None:
    study = make_study()
    study.optimize(2)
    monkeypatch.setattr("workbench.studies.outcome.predict", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        study.optimize(1)
    failed = study.records()[-1]
    assert (failed.state, failed.reason) == ("failed", "ZeroDivisionError: division by zero")
    monkeypatch.undo()
    study.optimize(1)
    assert study.records()[-1].state == "complete"


def test_u_shapes_and_three_objectives(make_study: Any) -> None:
    space = Space(edge_bits=(16, 8), cloud_bits=(16,), wires=("int8",), u_shaped=True)
    study = make_study(space=space, objectives=("latency", "memory", "bytes"))
    study.optimize(30)
    assert {r.role for r in study.records()} == {"edge-only", "cloud-only", "split", "U-shaped"}
    assert 0 < study.hypervolume_history()[-1] <= 1


def test_verdict_weighs_split_against_both_baselines(make_study: Any) -> None:
    study = make_study()
    with pytest.raises(StudyError, match="run more trials"):
        study.verdict()
    study.optimize(10)
    found = study.verdict()
    assert set(found.seconds) == {"split", "edge-only", "cloud-only"}
    assert "split" in found.text.lower()


def test_verdict_where_no_split_fits(make_study: Any, tight_edge: DeviceProfile) -> None:
    study = make_study(edge=replace(tight_edge, memory_bytes=1000))
    study.optimize(6)
    assert study.verdict().best == "cloud-only"
    assert "Don't split" in study.verdict().text


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"objectives": ()}, InputError, "at least one"),
        ({"objectives": ("latency", "latency")}, InputError, "different"),
        ({"objectives": ("speed",)}, UnknownNameError, "objective"),
        ({"objectives": ("accuracy",)}, InputError, "weights"),
        ({"prompt_tokens": 0}, InputError, "prompt_tokens"),
        ({"limits": {"speed": 1.0}}, UnknownNameError, "objective"),
        ({"limits": {"latency": float("nan")}}, InputError, "finite"),
        ({"sampler": "magic"}, UnknownNameError, "sampler"),
    ],
)
def test_impossible_questions_are_refused(make_study: Any, changes: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        make_study(**changes)


def test_no_trials_is_no_study(make_study: Any) -> None:
    with pytest.raises(InputError, match="at least one trial"):
        make_study().optimize(0)


def test_question_round_trips_through_json(make_study: Any) -> None:
    question = make_study().question
    assert Question.from_dict(json.loads(json.dumps(question.to_dict()))) == question


def test_table_has_a_row_per_record(make_study: Any, tight_edge: DeviceProfile) -> None:
    study = make_study(edge=tight_edge)
    study.optimize(12)
    frame = study.table()
    assert list(frame["trial"]) == [r.number for r in study.records()]
    assert set(frame.loc[frame["front"], "trial"]) == {r.number for r in study.front()}
    assert frame["edge_bits"].dtype == "Int64"
    assert frame.loc[frame["state"] == "infeasible", "reason"].str.len().min() > 0


def test_export_writes_tables_and_a_page_that_asks_for_nothing(make_study: Any, tmp_path: Path) -> None:
    study = make_study()
    study.optimize(8)
    trace = study.trace(study.front()[0])
    paths = study.export(tmp_path / "out", runs=[(trace, replace(trace, label="measured", clock="wall"))])
    assert {p.name for p in (tmp_path / "out").iterdir()} == {p.name for p in paths.values()}
    assert len(pd.read_csv(paths["csv"])) == len(pd.read_parquet(paths["parquet"])) == 8
    page = paths["html"].read_text()
    assert len(page) < 6_000_000
    assert page.count("<script src") == page.count("<link") == page.count("<img") == 0
    assert "Predicted and measured" in page
    assert "What matters" in page
    assert study.front()[0].title in page


def test_names_in_a_report_are_escaped(make_study: Any, tmp_path: Path) -> None:
    study = make_study(name="<b>bold</b>")
    study.optimize(2)
    page = study.export(tmp_path)["html"].read_text()
    assert "<b>bold</b>" not in page.split("</script>")[-1].split("Plotly")[0]
    assert "&lt;b&gt;bold" in page
