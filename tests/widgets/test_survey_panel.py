"""The survey without a browser: controls reach the plans, a click moves the point, stale work is dropped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import workbench as wb
from tests.cost.models import llama
from workbench.errors import InputError, UnknownNameError
from workbench.exploration.planning import GRIDS
from workbench.widgets import SurveyPanel
from workbench.widgets.link_rows import CUSTOM

MODEL = llama("m", 8, 1024, 2816, 8, 4, 32000, tied=True)


@pytest.fixture
def panel() -> Iterator[SurveyPanel]:
    made = wb.survey(MODEL, edge="jetson-orin-nano", cloud="h100-sxm", link="fibre", new_tokens=16)
    yield made
    made.close()
    made.close()
    assert "survey" not in {thread.name for thread in threading.enumerate()}


def trace(panel: SurveyPanel, name: str) -> Any:
    return next(t for t in panel.figure.data if t.name == name)


def test_it_begins_with_all_of_it(panel: SurveyPanel) -> None:
    panel.settle()
    assert panel.message == ""
    assert panel.answer is not None
    assert panel.verdict in (panel.answer.verdict, panel._sentence.value)
    assert panel.region is not None
    assert (len(panel.region.x), len(panel.region.y)) == GRIDS[1]
    assert panel.sweep is not None
    assert panel.sweep.parameter.name == "rtt"
    assert "modelled" in panel._numbers.value
    assert "all planned" in panel._status.value
    assert len(trace(panel, "cells").x) == GRIDS[1][0] * GRIDS[1][1]


def test_a_slider_moves_the_point_on_the_same_map(panel: SurveyPanel) -> None:
    panel.settle()
    region, before = panel.region, panel.answer
    panel.controls._link_rows["rtt_s"].value = 200
    panel.settle()
    assert panel.region is region
    assert panel.answer is not before
    assert trace(panel, "here").y[0] == pytest.approx(2.301, abs=1e-3)
    assert panel.controls.link.value == CUSTOM
    panel.controls.aim.value = "ttft"
    panel.settle()
    assert panel.region is not region
    assert panel.answer is not None
    assert "to the first token" in panel.verdict


def test_a_click_goes_to_a_cell_or_to_a_link(panel: SurveyPanel) -> None:
    panel.settle()
    cells = trace(panel, "cells")
    panel._clicked(cells.customdata[30])
    panel.settle()
    up, rtt = cells.customdata[30]
    assert (panel.link.uplink_bps, panel.link.rtt_s) == pytest.approx((up, rtt), rel=5e-3)
    assert panel.link.downlink_bps == pytest.approx(3 * panel.link.uplink_bps, rel=1e-3)
    panel._clicked("lte")
    panel.settle()
    assert panel.link == wb.link("lte")
    assert panel.message == ""


def test_on_a_map_of_speeds_a_click_sets_the_speed(panel: SurveyPanel) -> None:
    panel.controls.across.value = "edge_speed"
    panel.settle()
    panel._clicked([4.0, 0.02])
    panel.settle()
    assert (panel.setting.edge_speed, panel.link.rtt_s) == (4.0, pytest.approx(0.02))
    assert trace(panel, "here").x[0] == pytest.approx(0.602, abs=1e-3)


def test_pins_and_limits_reach_the_plans(panel: SurveyPanel) -> None:
    panel.settle()
    assert panel.answer is not None
    assert panel.answer.baselines["cloud-only"].broken
    panel.controls.embedding_here.value = False
    panel.settle()
    assert not panel.answer.baselines["cloud-only"].broken
    assert panel.controls.first_blocks.enabled is False
    panel.controls.head_here.value = True
    panel.settle()
    assert panel.answer is not None
    assert panel.answer.problem.choices.u_shaped
    panel.controls.cloud_gb.value = 2
    panel.settle()
    assert dict(panel.answer.problem.limits.memory_bytes) == {"cloud": 2e9}


def test_where_nothing_keeps_the_limits_it_says_why_and_goes_on(panel: SurveyPanel) -> None:
    panel.setting = replace(panel.setting, cloud_memory_bytes=1e8, edge=wb.device("raspberry-pi-5"))
    panel.edge = replace(panel.edge, memory_bytes=10**7)
    panel.settle()
    assert panel.answer is None
    assert panel.verdict.startswith("No plan: ")
    assert "nothing keeps every limit" in panel._numbers.value
    panel.edge = "raspberry-pi-5"
    panel.settle()
    assert panel.answer is not None


def test_a_burst_of_changes_ends_with_the_last(panel: SurveyPanel) -> None:
    for tokens in range(100, 130):
        panel.controls.prompt_tokens.value = tokens
    panel.settle()
    assert panel.answer is not None
    assert panel.region is not None
    assert panel.answer.problem.request.prompt_tokens == 129
    assert panel.region.problem.request.prompt_tokens == 129


def test_what_it_cannot_show_is_refused(panel: SurveyPanel) -> None:
    with pytest.raises(InputError, match="use wb"):
        panel.setting = replace(panel.setting, edge_speed=1000.0)
    with pytest.raises(InputError, match="in another cell"):
        panel.setting = replace(panel.setting, model=llama("other", 8, 64, 128, 2, 2, 100))
    with pytest.raises(UnknownNameError, match="loss"):
        panel.go(loss=0.1)
    with pytest.raises(UnknownNameError, match="aim"):
        wb.survey(MODEL, aim="beauty")


def test_what_goes_wrong_while_drawing_is_said(panel: SurveyPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.settle()
    monkeypatch.setattr(panel._surveyor, "look", lambda setting: 1 / 0)
    panel.controls.prompt_tokens.value = 33
    panel.settle()
    assert "ZeroDivisionError" in panel.message
    monkeypatch.undo()
    panel.controls.prompt_tokens.value = 34
    panel.settle()
    assert panel.message == ""
