"""Tables hold the numbers of the records behind them, each with unit and label."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.exploration.conftest import make_run, make_setting
from workbench.exploration import Forecaster, Outlook, Run
from workbench.models import Model, load_model
from workbench.plots.style import Scale
from workbench.records import Accuracy, Share
from workbench.widgets.numbers import numbers_table, runs_table


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("tiny")


@pytest.fixture
def outlook(model: Model) -> Outlook:
    setting = make_setting()
    return Outlook(setting, dict(Forecaster(model.profile).rest(setting)), frozenset())


def cells(html: str) -> list[list[str]]:
    """Of the first table, row by row."""
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def slower(run: Run, by: float) -> Run:
    times = tuple(by * t for t in run.measured.token_times_s)
    return replace(run, measured=replace(run.measured, token_times_s=times))


def test_the_plan_stands_beside_both_baselines(outlook: Outlook) -> None:
    head, *rows = cells(numbers_table(outlook))
    assert head == ["", "this plan", "edge-only", "cloud-only", "label"]
    traces = [outlook.traces[position] for position in ("3", "edge-only", "cloud-only")]
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["TTFT"] == [*(Scale.seconds(t.ttft_s).text(t.ttft_s) for t in traces), "modelled"]
    assert by_name["bytes up"][1] == "0 B"
    assert by_name["memory cloud"][1] == "–"
    assert all(row[-1] == "modelled" for row in rows)


def test_why_there_is_no_accuracy_is_said_safely(outlook: Outlook) -> None:
    html = numbers_table(replace(outlook, accuracy_note="not <yet>"))
    assert "accuracy: not &lt;yet&gt;" in html


def test_an_accuracy_comes_with_its_interval(outlook: Outlook) -> None:
    accuracy = Accuracy(1.5, {"copy": Share.of(30, 32)}, Share.of(990, 1000), "quick", 9000)
    rows = {row[0]: row for row in cells(numbers_table(replace(outlook, accuracy=accuracy)))}
    assert re.fullmatch(r"93\.8 % \[\d+\.\d, \d+\.\d\]", rows["exact match"][1])
    assert rows["exact match"][-1] == "measured"
    assert rows["bits per byte"][1] == "1.5 bits/B"


def test_a_run_adds_what_it_gave_and_the_error_of_the_prediction(outlook: Outlook) -> None:
    run = slower(make_run(outlook.setting, outlook.trace), 2)
    head, *rows = cells(numbers_table(replace(outlook, run=run)))
    assert head[1:4] == ["this plan", "run (measured)", "error"]
    by_name = {row[0]: row for row in rows}
    assert by_name["TTFT"][2:4] == [Scale.seconds(run.measured.ttft_s).text(run.measured.ttft_s), "-50.0%"]
    assert by_name["TTFT"][-1] == "modelled"


def test_runs_stand_side_by_side(outlook: Outlook) -> None:
    first = make_run(outlook.setting, outlook.trace, "<first>")
    second = slower(make_run(outlook.setting, outlook.trace, "second"), 2)
    head, clock, *rows = cells(runs_table([first, second]))
    assert head == ["", "&lt;first&gt;", "second"]
    assert clock == ["clock", "wall", "wall"]
    ttft = {row[0]: row[1:] for row in rows}["TTFT"]
    assert ttft[0].endswith("(+0%)")
    assert ttft[1].endswith("(-50%)")
