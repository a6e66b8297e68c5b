"""A search as a panel: every button's command, the file as the truth, errors that say what to do."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import psutil
import pytest

import workbench as wb
from tests.studies.conftest import CLOUD, EDGE, LINK, SPACE, model_profile
from workbench import plots
from workbench.errors import CancelledRunError, InputError, StudyError, StudyVersionError
from workbench.plan import WIRE_CODECS
from workbench.studies import Space
from workbench.widgets import SearchPanel

Make = Callable[..., SearchPanel]
N_PLANS = 2 + 1 + 9 * 2 * 2  # of SPACE


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Panels about a model of numbers alone, all on one file; closed at the end."""
    made: list[SearchPanel] = []

    def panel(**changes: Any) -> SearchPanel:
        base: dict[str, Any] = {"objectives": ("latency", "memory"), "space": SPACE}
        base |= {"storage": tmp_path / "studies.db", "edge": EDGE, "cloud": CLOUD, "link": LINK}
        made.append(wb.search(changes.pop("model", model_profile()), **(base | changes)))
        return made[-1]

    yield panel
    for one in made:
        one.close()


def drawn_numbers(panel: SearchPanel) -> list[int]:
    """The trials that the figure shows as points."""
    fronts = [t for t in panel.figure.data if t.type == "scatter" and t.customdata is not None]
    return sorted({data[0] for trace in fronts for data in trace.customdata})


def test_it_begins_empty_and_makes_no_file(make: Make, tmp_path: Path) -> None:
    panel = make()
    assert (panel.state, panel.remaining, panel.studies) == ("idle", 0, [])
    assert list(tmp_path.iterdir()) == []
    assert drawn_numbers(panel) == []
    with pytest.raises(StudyError, match="no study has begun"):
        _ = panel.study


def test_a_search_is_drawn_with_both_baselines(make: Make) -> None:
    panel = make()
    panel.start(12)
    panel.wait()
    assert (panel.state, len(panel.study.records())) == ("done", 12)
    shown = panel.figure
    names = {t.name for t in shown.data if t.type == "scatter" and t.x}
    assert {"edge-only (baseline)", "cloud-only (baseline)", "front"} <= names
    assert drawn_numbers(panel) == [r.number for r in panel.study.records()]
    best = next(t for t in shown.data if t.name == "front")
    expected = plots.front(panel.study.records(), panel.study.front(), x="latency", y="memory")
    assert list(best.x) == list(next(t for t in expected.data if t.name == "front").x)
    assert panel.message == ""


def test_it_goes_on_where_the_file_stopped_after_a_pause_and_in_another_panel(make: Make) -> None:
    deep = model_profile(n_blocks=40)
    panel = make(model=deep)
    panel.start(70)
    while panel.state != "running" or len(panel.study.records()) < 3:
        time.sleep(0.02)
    panel.pause()
    panel.wait()
    tried = len(panel.study.records())
    assert (panel.state, panel.remaining) == ("paused", 70 - tried)
    panel.close()
    again = make(model=deep)
    assert (again.state, again.remaining) == ("paused", 70 - tried)
    assert len(drawn_numbers(again)) == tried
    again.resume()
    again.wait()
    assert (again.state, len(again.study.records())) == ("done", 70)


def test_cancel_drops_what_remains_and_leaves_no_process(make: Make) -> None:
    panel = make(model=model_profile(n_blocks=40))
    panel.start(1000)
    while panel.state != "running":
        time.sleep(0.02)
    panel.cancel()
    panel.wait()
    assert (panel.state, panel.remaining) == ("cancelled", 0)
    assert not [p for p in psutil.Process().children(recursive=True) if "studies.worker" in str(p.cmdline())]
    panel.start(2)
    panel.wait()
    assert panel.state == "done"


def test_until_counts_what_is_there(make: Make) -> None:
    panel = make()
    panel.until(5)
    panel.wait()
    panel.until(5)
    assert panel.state == "done"
    panel.until(7)
    panel.wait()
    assert len(panel.study.records()) == 7
    panel.until(1000)
    panel.wait()
    assert len(panel.study.records()) == N_PLANS


def test_the_controls_say_the_question(make: Make) -> None:
    space = Space(splits=(2, 3, 4), edge_bits=(8,), cloud_bits=(16, 8), wires=("int8",), u_shaped=True)
    panel = make(space=space, limits={"memory": 5e8}, objectives=("ttft", "energy"), batch=2, new_tokens=9)
    asked = panel.controls.question
    assert (asked.space, asked.limits, asked.objectives) == (space, {"memory": 5e8}, ("ttft", "energy"))
    assert (asked.batch, asked.new_tokens, asked.edge, asked.link) == (2, 9, EDGE, LINK)
    panel.start(3)
    panel.wait()
    assert panel.study.question == asked


def test_several_studies_lie_over_each_other(make: Make) -> None:
    first, second = make(name="one"), make(name="two", link=wb.link("lte"))
    for panel in (first, second):
        panel.start(6)
        panel.wait()
    assert second.studies == ["one", "two"]
    second._beside.value = ("one",)
    second.settle()
    assert {"one", "two"} <= {trace.name for trace in second.figure.data}
    second.look_at("one")
    second.settle()
    assert (second.study.name, second.controls.study.value) == ("one", "one")
    assert second.controls.question.link == LINK
    with pytest.raises(StudyError, match="no study 'three'"):
        second.look_at("three")


def test_a_chosen_plan_is_ringed_and_fills_the_explorer(make: Make) -> None:
    explorer = wb.explore(model_profile())
    panel = make(explorer=explorer)
    panel.start(8)
    panel.wait()
    record = panel.study.front()[0]
    panel.choose(record.number)
    panel.settle()
    explorer.settle()
    assert panel.chosen == record
    assert (explorer.plan, explorer.edge, explorer.link) == (record.plan, EDGE, LINK)
    assert explorer.outlook.trace.total_s == pytest.approx(record.values["latency"])
    ring = next(t for t in panel.figure.data if t.name == "chosen")
    assert len(ring.x) == 1
    with pytest.raises(StudyError, match="no record of trial 999"):
        panel.choose(999)
    explorer.close()


def test_clicks_and_table_rows_choose(make: Make) -> None:
    panel = make()
    panel.start(5)
    panel.wait()
    panel.table._table.selected_rows = [3]
    panel.settle()
    assert panel.chosen == panel.study.records()[3]
    panel._choose_soon(1)
    panel.settle()
    assert panel.chosen == panel.study.record(1)


def test_delete_asks_first_and_removes_the_study(make: Make) -> None:
    panel = make()
    panel.start(3)
    panel.wait()
    panel.buttons._delete.click()
    panel.settle()
    assert len(panel.studies) == 1
    assert panel.buttons._delete.description == "Delete for good?"
    panel.buttons._delete.click()
    panel.settle()
    assert (panel.studies, panel.state) == ([], "idle")
    assert drawn_numbers(panel) == []


def test_export_writes_everything(make: Make, tmp_path: Path) -> None:
    panel = make()
    with pytest.raises(StudyError, match="no study has begun"):
        panel.export(tmp_path)
    panel.start(4)
    panel.wait()
    paths = panel.export(tmp_path / "out")
    assert {p.name for p in paths.values()} == {"trials.csv", "trials.parquet", "report.html"}
    assert all(p.stat().st_size > 100 for p in paths.values())


def test_optunas_dashboard_opens_the_same_file(make: Make, tmp_path: Path) -> None:
    from optuna.storages import RDBStorage
    from optuna_dashboard import wsgi

    panel = make(name="shown")
    panel.start(4)
    panel.wait()
    app = wsgi(RDBStorage(f"sqlite:///{tmp_path / 'studies.db'}"))
    said: list[str] = []
    environ: dict[str, Any] = {"PATH_INFO": "/api/studies"}
    setup_testing_defaults(environ)
    body = b"".join(app(environ, lambda status, *_: said.append(status)))
    assert said == ["200 OK"]
    assert b"shown" in body


def test_a_file_of_another_version_is_said_and_another_file_helps(make: Make, tmp_path: Path) -> None:
    panel = make()
    panel.start(2)
    panel.wait()
    panel.close()
    newer = """replace(value_json, '"format": 2', '"format": 9')"""
    with sqlite3.connect(tmp_path / "studies.db") as file:
        file.execute(f"UPDATE study_user_attributes SET value_json = {newer}")
    panel = make()
    assert "another name or file" in panel.message
    with pytest.raises(StudyVersionError, match="another name or file"):
        panel.start(2)
    panel.controls._file.value = str(tmp_path / "other.db")
    panel.settle()
    assert panel.message == ""
    panel.start(2)
    panel.wait()
    assert len(panel.study.records()) == 2


def test_a_file_that_another_process_holds_is_said_at_once(make: Make, tmp_path: Path) -> None:
    panel = make()
    panel.start(2)
    panel.wait()
    with sqlite3.connect(tmp_path / "studies.db") as other:
        other.execute("BEGIN IMMEDIATE")
        held = make()
        assert "another process holds it" in held.message
        other.rollback()
    held.take(tmp_path / "studies.db")
    held.settle()
    assert (held.message, len(held.study.records())) == ("", 2)


def test_what_goes_wrong_shows_in_the_panel_which_goes_on(make: Make) -> None:
    panel = make()
    panel.controls._limits.value = "latency < 1"
    panel.buttons._start.click()
    panel.settle()
    assert "is no limit" in panel.message
    assert "<details>" in panel.messages.widget.value
    panel.controls._limits.value = ""
    panel.buttons._start.click()
    panel.settle()
    panel.wait()
    assert (panel.state, panel.message) == ("done", "")


def test_a_worker_that_is_killed_is_said_and_resume_goes_on(make: Make) -> None:
    panel = make(model=model_profile(n_blocks=40))
    panel.start(60)
    while panel.state != "running":
        time.sleep(0.02)
    (worker,) = [p for p in psutil.Process().children(recursive=True) if "studies.worker" in str(p.cmdline())]
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(StudyError, match="Resume goes on"):
        panel.wait()
    assert "Resume goes on" in panel.message
    panel.resume()
    panel.wait()
    records = panel.study.records()
    given_up = [record for record in records if record.state == "failed"]  # what it was at when it was killed
    assert (panel.state, panel.message, len(records) - len(given_up)) == ("done", "", 60)
    assert len(given_up) <= 1


def test_an_interrupt_pauses_the_search(make: Make) -> None:
    panel = make(model=model_profile(n_blocks=40))
    panel.start(1000)
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(CancelledRunError, match="Resume goes on"):
        panel.wait()
    panel.wait(30)
    assert panel.state == "paused"
    assert panel.remaining > 0


def test_impossible_questions_are_refused(make: Make) -> None:
    with pytest.raises(InputError, match="at least one"):
        make(objectives=())
    panel = make(objectives=("latency", "accuracy"))
    with pytest.raises(InputError, match="no weights"):
        panel.start(3)


def test_every_control_has_a_description(make: Make) -> None:
    panel = make()
    controls = [w for w in _all(panel.widget) if hasattr(w, "description") and not hasattr(w, "code")]
    named = [w for w in controls if type(w).__name__ not in ("HTML", "FigureWidget")]
    assert len(named) > 25
    assert [w for w in named if not w.description] == []


def _all(widget: Any) -> Iterator[Any]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _all(child)


def test_a_space_of_every_codec_can_be_said(make: Make) -> None:
    panel = make(space=replace(SPACE, wires=WIRE_CODECS))
    assert panel.controls.question.space.wires == WIRE_CODECS
