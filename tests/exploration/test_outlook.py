"""One record behind figure, table and sentence: its numbers are those of `predict`."""

from __future__ import annotations

from dataclasses import replace

import pytest

import workbench as wb
from tests.cost.models import LLAMA_8B
from tests.exploration.conftest import make_run, make_setting
from workbench.exploration import Forecaster, Outlook, Setting
from workbench.models import Model
from workbench.records import Accuracy, Share


@pytest.fixture
def forecaster(model: Model) -> Forecaster:
    return Forecaster(model.profile)


def outlook_of(forecaster: Forecaster, setting: Setting) -> Outlook:
    traces = dict(forecaster.rest(setting))
    return Outlook(setting, traces, forecaster.unfit(setting, traces))


def test_every_position_is_what_predict_says(forecaster: Forecaster, setting: Setting) -> None:
    for shape in ("split", "U-shape"):
        shaped = replace(setting, shape=shape)
        found = outlook_of(forecaster, shaped)
        assert list(found.traces) == list(shaped.positions)
        for position, trace in found.traces.items():
            plan = shaped.plan_at(position)
            assert trace == wb.predict(plan, setting.edge, setting.cloud, setting.link, **setting.request)


def test_the_chosen_and_the_baselines_come_first_and_nothing_is_predicted_twice(
    forecaster: Forecaster, setting: Setting
) -> None:
    assert set(forecaster.chosen(setting)) == {"cloud-only", "3", "edge-only"}
    first = dict(forecaster.rest(setting))
    moved = replace(setting, split=5)
    assert all(trace is first[p] for p, trace in forecaster.rest(moved))
    assert forecaster.trace(replace(setting, link=wb.link("5g")), "3") is not first["3"]


def test_the_table_holds_the_traces_numbers_beside_the_baselines(
    forecaster: Forecaster, setting: Setting
) -> None:
    found = outlook_of(forecaster, setting)
    rows = {row.name: row for row in found.rows()}
    assert rows["ttft"].plan == found.traces["3"].ttft_s
    assert rows["tpot"].edge_only == found.traces["edge-only"].tpot_s
    assert rows["bytes up"].cloud_only == found.traces["cloud-only"].bytes_up
    assert {row.label for row in rows.values()} == {"modelled"}
    assert rows["ttft"].run is None
    assert rows["ttft"].error is None


def test_a_run_stands_beside_its_prediction_with_the_error(forecaster: Forecaster, setting: Setting) -> None:
    found = outlook_of(forecaster, setting)
    run = make_run(setting, found.trace)
    slower = replace(run.measured, token_times_s=tuple(2 * t for t in run.measured.token_times_s))
    ran = replace(found, run=replace(run, measured=slower))
    rows = {row.name: row for row in ran.rows()}
    assert rows["ttft"].error == pytest.approx(-0.5)
    assert rows["bytes up"].error == pytest.approx(0)
    assert rows["ttft"].run_label == "measured"
    virtual = replace(run, measured=replace(slower, label="modelled", clock="virtual"))
    rows = {row.name: row for row in replace(found, run=virtual).rows()}
    assert rows["ttft"].error is None  # a modelled time is no check of a modelled time


def test_accuracy_comes_with_its_interval_and_label(forecaster: Forecaster, setting: Setting) -> None:
    accuracy = Accuracy(1.5, {"copy": Share.of(30, 32)}, Share.of(990, 1000), "quick", 9000)
    rows = {row.name: row for row in replace(outlook_of(forecaster, setting), accuracy=accuracy).rows()}
    assert rows["exact match"].plan == pytest.approx(93.75)
    low, high = rows["exact match"].interval or (0, 0)
    assert low < 93.75 < high
    assert rows["agreement"].label == "measured"
    assert rows["bits per byte"].plan == 1.5


def test_the_sentence_says_whether_to_split_and_what_dominates(
    forecaster: Forecaster, setting: Setting
) -> None:
    said = outlook_of(forecaster, setting).sentence
    assert said.startswith("Don't split")
    assert "the link" in said
    for shape, other in (("edge-only", "Cloud-only takes"), ("cloud-only", "Edge-only takes")):
        said = outlook_of(forecaster, replace(setting, shape=shape)).sentence
        assert said.startswith("Not split")
        assert other in said


def test_what_does_not_fit_is_said_and_marked() -> None:
    big = make_setting(model="llama-8b", n_blocks=32, split=30, edge_bits=16)
    found = outlook_of(Forecaster(LLAMA_8B), big)
    assert {"30", "edge-only"} <= found.unfit
    assert "0" not in found.unfit
    assert "does not fit: edge needs" in found.sentence
    assert "Edge-only cannot run here" in found.sentence
