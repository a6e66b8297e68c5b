"""The routing panel without a browser: menus and sliders reach the plan, a replay runs and can be ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.exploration.routed import make_known, make_plan
from workbench.deployment.plan_files import read_plan
from workbench.errors import InputError, UnknownNameError
from workbench.exploration.routing import Known
from workbench.plan import CLOUD, EDGE, QUEUE, Bound, Partition, Placement, Plan
from workbench.routing import AnswerTable
from workbench.widgets import RoutingPanel


@pytest.fixture
def panel() -> Iterator[RoutingPanel]:
    made = wb.place(make_plan(), known=make_known(), threshold=0.6)
    yield made
    made.close()
    made.close()
    assert not {"routing", "replay"} & {thread.name for thread in threading.enumerate()}


def trace(panel: RoutingPanel, name: str) -> Any:
    return next(t for t in panel.figure.data if t.name == name)


def test_it_begins_with_a_verdict_a_curve_and_the_plan(panel: RoutingPanel) -> None:
    panel.settle()
    assert panel.message == ""
    assert panel.verdict.startswith("The hybrid")
    assert panel.verdict in panel._sentence.value.replace("&#x27;", "'")
    assert trace(panel, "here").text == ("<b>threshold 0.60</b>",)
    assert "measured" in panel._numbers.value
    assert "modelled" in panel._numbers.value
    assert "health stays on the edge" in panel._numbers.value
    assert panel._replay_box.layout.display == "none"


def test_the_threshold_moves_along_the_same_curve(panel: RoutingPanel) -> None:
    before, curves = panel.result.here, panel.result.curves
    panel.controls.threshold.value = 0
    panel.settle()
    assert panel.result.curves is curves
    assert panel.result.here is not None
    assert before is not None
    assert panel.result.here.escalated == 0 < before.escalated
    panel.threshold = 0.6
    panel.settle()
    assert panel.result.here == before


def test_a_menu_moves_a_feature_in_the_plan_and_in_the_picture(panel: RoutingPanel) -> None:
    panel.controls.features["sort"].value = "cloud: m"
    panel.settle()
    assert panel.plan.placement("sort").place == CLOUD
    assert panel.plan.placement("sort").fallback == "small"
    row = list(panel.figure.layout.yaxis2.ticktext).index("sort")
    assert row in trace(panel, "blocks in the cloud").y
    panel.place("sort", panel.plan.features["small"])
    panel.settle()
    assert panel.plan == make_plan()
    panel.place("sort", "split at 4: m")
    panel.settle()
    assert panel.plan.placement("sort").partition.split_points == (4,)
    assert panel.result.setting.plan == panel.plan


def test_another_cost_link_or_device_changes_the_numbers(panel: RoutingPanel) -> None:
    panel.controls.cost.value = "energy"
    panel.settle()
    assert panel.figure.layout.xaxis.title.text.startswith("energy")
    before = panel.result.ends[1].latency_s
    panel.controls._link_rows["rtt_s"].value = 800
    panel.settle()
    assert panel.result.ends[1].latency_s > before
    assert panel.controls.link.value == "custom"
    panel.edge = "jetson-agx-orin"
    panel.settle()
    assert panel.result.setting.edge == wb.device("jetson-agx-orin")
    panel.link = "lte"
    panel.settle()
    assert panel.link == wb.link("lte")
    assert panel.message == ""


def test_what_cannot_be_compared_is_said_and_it_goes_on(panel: RoutingPanel) -> None:
    for menu in panel.controls.features.values():
        menu.value = "edge: m@4"
    panel.settle()
    assert panel.verdict.startswith("Nothing to compare: nothing of the plan runs in the cloud")
    assert panel.message == ""
    panel.place("default", "cloud: m")
    panel.settle()
    assert panel.verdict.startswith("The hybrid")


def test_what_it_cannot_show_is_refused(panel: RoutingPanel) -> None:
    with pytest.raises(UnknownNameError, match="cloud: m"):
        panel.place("sort", "cloud: n")
    with pytest.raises(UnknownNameError, match="sort"):
        panel.place("sorting", "cloud: m")
    with pytest.raises(InputError, match="in another cell"):
        panel.setting = replace(panel.setting, plan=Plan.of("m", Partition.unsplit(8, CLOUD)))


def test_a_plan_is_saved_and_read_back(panel: RoutingPanel, tmp_path: Path) -> None:
    panel.place("sort", "split at 2: m")
    panel.settle()
    path = tmp_path / "mine.yaml"
    panel._save_pressed(str(path))
    panel.settle()
    assert str(path) in panel.replays._saved.value
    assert read_plan(path, blocks_of=lambda model: 4 if "@4" in model else 8) == panel.plan
    panel._save_pressed(str(tmp_path / "no folder" / "x" / "\0"))
    panel.settle()
    assert panel.message


def test_a_model_that_cannot_be_had_is_said_when_it_is_replayed(panel: RoutingPanel) -> None:
    panel._pressed()
    panel.settle()
    panel.wait(60)
    assert "'m'" in panel.message
    assert panel.report is None
    assert not panel.replays._play.disabled


def _tiny() -> tuple[Plan, Known]:
    """The shipped model, for what runs for real."""
    local = Placement(Partition.unsplit(4, EDGE), model="tiny@4")
    features = {
        "default": Placement(Partition.unsplit(8, CLOUD), fallback="small"),
        "small": local,
        "sort": local,
        "copy": Placement(Partition.unsplit(8, CLOUD), fallback=QUEUE),
        "recall": Placement(Partition.unsplit(8, CLOUD), fallback="small"),
    }
    synthetic = make_known().answers
    names = {"m @16b": "tiny @16b", "m@4 @16b": "tiny@4 @16b"}
    modules = {new: synthetic.modules[old] for old, new in names.items()}
    tasks = tuple(task.replace("arithmetic", "recall") for task in synthetic.tasks)
    table = AnswerTable(tasks, synthetic.prompts, synthetic.prompt_tokens, modules)
    profiles = {name: wb.load_model(name).profile for name in ("tiny", "tiny@4")}
    return Plan("tiny", features, (Bound("health", EDGE),)), Known(table, profiles, table)


@pytest.mark.slow
def test_a_replay_runs_for_real_and_shows_what_an_outage_does() -> None:
    plan, known = _tiny()
    panel = wb.place(plan, known=known, threshold=0.5)
    r = panel.replays
    r.n.value, r.rate.value, r.outage_from.value, r.outage_s.value = 16, 8.0, 0.5, 1.0
    panel._pressed()
    panel.settle()
    assert r._play.disabled
    panel.wait(120)
    assert panel.message == ""
    assert panel.report is not None
    assert panel.report.n == 16
    assert {"degraded", "as routed"} <= {name for name, n in panel.report.outcomes.items() if n}
    assert panel.replayed is not None
    assert panel.replayed.outages == ((0.5, 1.5),)
    assert panel._replay_box.layout.display == ""
    assert panel._answers.value.count("<tr>") == 17
    assert "wb-edge" in panel._answers.value
    assert "wb-cloud" in panel._answers.value
    assert "16 requests on the virtual clock" in r.status
    waiting = next(t for t in panel.lower.shown.data if t.name == "waiting")
    assert len(waiting.y) == 16

    panel.unplug()
    r.outage_s.value = 0
    panel._pressed()
    panel.settle()
    panel.wait(120)
    assert {s.module for s in panel.report.served if s.taken != "copy"} <= {"small", "sort"}
    (outage,) = panel.replayed.outages
    assert outage[0] == 0

    panel.unplug(False)
    r.n.value = 120
    panel._pressed()
    panel.settle()
    panel.cancel()
    panel.wait(60)
    assert "cancelled" in r.status
    assert panel.message == ""
    panel.close()
