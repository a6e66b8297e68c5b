"""Runs are kept by name, in a file where there is one, and given away whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tests.exploration.conftest import make_run
from workbench.errors import InputError, UnknownNameError
from workbench.exploration import Forecaster, Run, RunBook, Setting
from workbench.models import Model


@pytest.fixture
def run(model: Model, setting: Setting) -> Run:
    return make_run(setting, Forecaster(model.profile).trace(setting, setting.position))


def test_names_are_their_own_and_order_stays(run: Run) -> None:
    book = RunBook()
    names = [book.add(run).name for _ in range(3)]
    assert names == ["a run", "a run (2)", "a run (3)"]
    book.rename("a run (2)", "second")
    assert [r.name for r in book] == ["a run", "second", "a run (3)"]
    book.remove("a run")
    assert len(book) == 2
    assert book.add(run).name == "a run"
    with pytest.raises(InputError, match="taken"):
        book.rename("a run", "second")
    with pytest.raises(InputError, match="empty"):
        book.rename("a run", " ")
    with pytest.raises(UnknownNameError, match="second"):
        book.remove("seconds")


def test_the_last_run_of_a_setting_is_found(run: Run) -> None:
    book = RunBook()
    assert book.of(run.setting) is None
    book.add(run)
    last = book.add(run)
    assert book.of(replace(run.setting, back=7)) == last
    assert book.of(replace(run.setting, split=4)) is None


def test_a_file_holds_every_change_at_once(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "kept" / "runs.json"
    book = RunBook(path)
    book.add(run)
    book.rename("a run", "best")
    assert list(RunBook(path)) == [replace(run, name="best")]
    book.remove("best")
    assert len(RunBook(path)) == 0
    assert [p.name for p in path.parent.iterdir()] == ["runs.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"format": 99, "runs": []}', '{"format": 1, "runs": [{}]}'])
def test_a_file_of_another_kind_is_refused_and_left_as_it_is(text: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    path.write_text(text)
    with pytest.raises(InputError, match="take another file"):
        RunBook(path)
    assert path.read_text() == text


def test_an_export_can_be_read_again(run: Run, tmp_path: Path) -> None:
    book = RunBook()
    with pytest.raises(InputError, match="run a plan first"):
        book.export(tmp_path)
    book.add(run)
    paths = book.export(tmp_path / "out")
    assert list(RunBook(paths["json"])) == list(book)
    frame = pd.read_csv(paths["csv"])
    assert frame["ttft (s) run"][0] == pytest.approx(run.measured.ttft_s)
    assert frame["clock"][0] == "wall"
    page = paths["html"].read_text(encoding="utf-8")
    assert page.count("Plotly.newPlot(") >= 2
    assert "a run" in page
    assert 'src="http' not in page
    assert json.loads(paths["json"].read_text())["format"] == 1
