"""The explorer without a browser: it shows what code sets, says what goes wrong, ends what it started."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import ipywidgets
import psutil
import pytest

import workbench as wb
from tests.cost.models import LLAMA_8B
from workbench import plots
from workbench.errors import InputError, PlanError, UnknownNameError
from workbench.exploration import netem_missing
from workbench.models import Model
from workbench.widgets import Explorer
from workbench.widgets.code import CodeBox

THREADS = {"explorer", "appraiser", "measurer", "calibration"}
SLOW = replace(wb.device("raspberry-pi-5"), name="slow", block_overhead_s=0.01)
NEAR = wb.LinkProfile(rtt_s=0.01, uplink_bps=10e6, downlink_bps=20e6)


@pytest.fixture(scope="module")
def model() -> Model:
    return wb.load_model("tiny")


@contextmanager
def explored(model: Any, **options: Any) -> Iterator[Explorer]:
    """An explorer that is closed afterwards and leaves neither thread nor process."""
    before = psutil.Process().children(recursive=True)
    panel = wb.explore(model, **{"accuracy": False, **options})
    try:
        panel.settle()
        yield panel
    finally:
        panel.close()
        panel.close()
    assert THREADS.isdisjoint(thread.name for thread in threading.enumerate())
    assert psutil.Process().children(recursive=True) == before


@pytest.fixture
def panel(model: Model) -> Iterator[Explorer]:
    with explored(model) as made:
        yield made


@pytest.fixture
def posed(model: Model) -> Iterator[Explorer]:
    """Between devices that any host can pose as: the wall clock."""
    with explored(model, edge=SLOW, cloud=SLOW, link=NEAR, new_tokens=4, prompt_tokens=8) as made:
        yield made


def wait_until(done: Callable[[], bool], within_s: float = 60.0) -> None:
    end = monotonic() + within_s
    while not done():
        assert monotonic() < end
        sleep(0.01)


def texts(panel: Explorer) -> str:
    """All HTML that the panel shows."""
    return "".join(w.value for w in widgets_of(panel.widget) if isinstance(w, ipywidgets.HTML))


def widgets_of(widget: Any) -> Iterator[Any]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from widgets_of(child)


# ---- one state, by code and by controls


def test_what_code_sets_the_picture_shows(panel: Explorer, model: Model) -> None:
    plan = wb.split(model, at=(2, 6), edge_bits=4, wire="int8")
    panel.plan, panel.link = plan, "wifi-6"
    panel.edge, panel.cloud = "jetson-orin-nano", wb.device("rtx-4090")
    panel.request = {"prompt_tokens": 100, "batch": 2}
    panel.settle()
    s = panel.setting
    assert (panel.plan, panel.link, panel.edge.name, panel.cloud.name) == (
        plan,
        wb.link("wifi-6"),
        "jetson-orin-nano",
        "rtx-4090",
    )
    assert panel.request == {"prompt_tokens": 100, "new_tokens": 32, "batch": 2}
    traces = {p: wb.predict(s.plan_at(p), s.edge, s.cloud, s.link, **s.request) for p in s.positions}
    note = "not measured: press Measure accuracy"
    expected = plots.explorer(traces, s.position, s.devices, accuracy_note=note)
    assert dict(panel.outlook.traces) == traces
    assert panel.figure.to_dict() == expected.to_dict()
    assert "wb.split(model, at=(2, 6), edge_bits=4" in panel.code


def test_what_a_control_says_the_code_reads(panel: Explorer, model: Model) -> None:
    panel.controls.split.slider.value = 7
    panel.controls.wire.value = "int8"
    panel.settle()
    assert panel.plan == wb.split(model, at=7, wire="int8")
    assert panel.outlook.setting == panel.setting
    assert "at=7" in next(w for w in widgets_of(panel.widget) if isinstance(w, CodeBox)).code


def test_fifty_moves_end_in_the_right_picture_with_few_redraws(panel: Explorer) -> None:
    before = panel.live.redraws
    for i in range(50):
        panel.controls.split.slider.value = i % 9
    panel.controls.split.slider.value = 5
    panel.settle()
    assert panel.outlook.setting.split == 5
    assert panel.figure.layout.shapes[0].x0 == 5.5
    assert 1 <= panel.live.redraws - before <= 5


def test_every_split_point_is_there_from_the_beginning(model: Model) -> None:
    with explored(model, prompt_tokens=500, new_tokens=500) as panel:
        wait_until(lambda: set(panel.outlook.traces) == set(panel.setting.positions))


def test_a_plan_that_cannot_be_is_refused_and_nothing_changes(panel: Explorer, model: Model) -> None:
    before = panel.setting
    with pytest.raises(PlanError, match="explore that model"):
        panel.plan = wb.split(LLAMA_8B, at=3)
    with pytest.raises(InputError, match="prompt_tokens reaches from"):
        panel.request = {"prompt_tokens": 100_000}
    with pytest.raises(UnknownNameError):
        panel.link = "carrier-pigeon"
    with pytest.raises(InputError, match="this explorer is about"):
        panel.setting = replace(before, model="another")
    assert panel.setting == before


def test_every_control_has_a_description(panel: Explorer) -> None:
    skipped = (ipywidgets.Box, ipywidgets.HTML, ipywidgets.FloatProgress)
    for widget in widgets_of(panel.widget):
        if "description" in widget.traits() and not isinstance(widget, skipped):
            assert widget.description, widget
            assert widget.tooltip or isinstance(widget, CodeBox), widget.description


# ---- what goes wrong


def test_an_error_is_said_with_its_traceback_folded_and_goes_when_all_is_well(panel: Explorer) -> None:
    panel.request = {"prompt_tokens": 1000, "new_tokens": 900}
    panel.settle()
    assert "1024" in panel.message
    html = panel.messages.widget.value
    assert "<details><summary>Traceback</summary>" in html
    assert "PromptError" in html
    panel.request = {"prompt_tokens": 64, "new_tokens": 32}
    panel.settle()
    assert (panel.message, panel.messages.widget.value) == ("", "")


def test_a_defect_is_called_so_and_the_panel_goes_on(
    panel: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(panel, "_figure", lambda _: 1 / 0)
        panel.controls.split.value = 2
        panel.settle()
    assert "ZeroDivisionError" in panel.message
    assert "defect of the workbench" in panel.messages.widget.value
    panel.controls.split.value = 6
    panel.settle()
    assert panel.message == ""
    assert panel.figure.layout.shapes[0].x0 == 6.5


def test_a_profile_alone_is_predicted_but_not_run() -> None:
    with explored(LLAMA_8B, edge="jetson-orin-nano") as panel:
        assert panel.outlook.trace.ttft_s > 0
        assert "does not fit" in panel.figure.layout.annotations[2].text
        assert "no weights" in texts(panel)
        with pytest.raises(InputError, match="a profile has no weights"):
            panel.measure()
        assert panel.wait() is None
        panel._press()
        panel.settle()
        assert "a profile has no weights" in panel.message


# ---- runs


@pytest.mark.slow
def test_a_run_lies_over_its_prediction_and_is_kept(posed: Explorer, tmp_path: Path) -> None:
    posed.measure()
    assert posed.measuring
    with pytest.raises(InputError, match="one run at a time"):
        posed.measure()
    run = posed.wait(120)
    assert run is not None
    assert not posed.measuring
    assert [kept.name for kept in posed.runs] == [run.name]
    assert posed.outlook.run == run
    assert posed.setting.link_kind == "proxy"
    narrow = [t for t in posed.figure.data if t.name == "run for real"]
    assert all(t.x[-1] > 0 for t in narrow)
    assert str(run.measured) in texts(posed)


@pytest.mark.skipif(not netem_missing(), reason="this machine can make netem links")
def test_a_run_over_netem_that_cannot_be_made_says_why(posed: Explorer) -> None:
    posed.controls.link_kind.value = "netem"
    posed.measure()
    posed.wait(60)
    assert posed.message
    assert posed.message in netem_missing()
    assert len(posed.runs) == 0


@pytest.mark.slow
def test_the_panel_follows_while_a_run_goes_on(posed: Explorer) -> None:
    posed.request = {"new_tokens": 60}
    posed.controls.link_kind.value = "proxy"  # as a run is predicted
    posed.measure()
    posed.controls.split.value = 7
    posed.settle()
    assert posed.measuring
    assert posed.figure.layout.shapes[0].x0 == 7.5
    run = posed.wait(120)
    assert run is not None
    assert run.setting.split == 4
    assert posed.outlook.run is None  # what is shown is another plan
    posed.controls.split.value = 4
    posed.settle()
    assert posed.outlook.run == run


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.0, 0.5, 2.0])
def test_cancelled_a_run_leaves_no_process_and_the_panel_stands(posed: Explorer, after_s: float) -> None:
    posed.request = {"new_tokens": 900}
    posed.measure()
    sleep(after_s)
    posed.cancel()
    assert posed.wait(30) is None
    assert "cancelled: nothing is left running" in texts(posed)
    assert len(posed.runs) == 0
    posed.controls.split.value = 2
    posed.settle()
    assert posed.message == ""


@pytest.mark.slow
def test_a_wait_that_is_too_long_says_so(posed: Explorer) -> None:
    posed.request = {"new_tokens": 900}
    posed.measure()
    with pytest.raises(TimeoutError, match="wait longer, or cancel it"):
        posed.wait(0.1)


@pytest.mark.slow
def test_a_model_folder_that_is_gone_is_said(model: Model, tmp_path: Path) -> None:
    gone = replace(model, files=replace(model.files, folder=tmp_path / "gone"))
    with explored(gone, edge=SLOW, cloud=SLOW, link=NEAR) as panel:
        panel.measure()
        panel.wait(120)
        assert "gone" in panel.message
        assert "failed: see above" in texts(panel)
        panel.controls.split.value = 2
        panel.settle()
        assert panel.outlook.setting.split == 2


@pytest.mark.slow
def test_accuracy_comes_by_itself_where_it_is_wanted(model: Model) -> None:
    with explored(model, accuracy=True) as panel:
        wait_until(lambda: panel.outlook.accuracy is not None, 120)
        panel.settle()
        assert "95 % intervals" in panel.figure.layout.title.text
        assert "bits per byte" in texts(panel)


def test_runs_of_a_file_are_there_again(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    path.write_text("[]")
    with pytest.raises(InputError, match="take another file"):
        wb.explore(model, runs=path)
    assert THREADS.isdisjoint(thread.name for thread in threading.enumerate())
