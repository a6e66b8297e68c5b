"""The search of notebook 02 as a user meets it: points appear, Cancel acts, a restarted kernel goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.lab import Lab
from tests.browser.pages import EXECUTED, Watch, complaints, menu, opened, run_all
from tests.browser.panel import Panel
from workbench.records import TrialRecord
from workbench.studies import Study

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

NOTEBOOK = "notebooks/02_study.ipynb"
FIRST = 24  # plans that the notebook asks for
WORKER = "workbench.studies.worker"
LEGEND = "g => [...g.querySelectorAll('.legendtext')].map(e => e.textContent)"


@pytest.fixture(scope="module")
def page(browser: Browser, lab: Lab, artifacts: Path) -> Iterator[Page]:
    """Notebook 02, run from top to bottom."""
    context = browser.new_context(viewport={"width": 1400, "height": 2000})
    made = context.new_page()
    watch = Watch(made)
    run_all(made, opened(made, lab, NOTEBOOK), timeout_s=180)
    yield made
    assert (watch.errors, watch.strangers, complaints(made), lab.complaints()) == ([], [], [], [])
    context.close()


@pytest.fixture
def panel(page: Page) -> Panel:
    return Panel(page)


@pytest.fixture(scope="module")
def folder(artifacts: Path) -> Path:
    return artifacts / "search"


def kept(lab: Lab) -> list[TrialRecord]:
    """What the study's file says."""
    return Study.open(lab.root / "notebooks" / "studies.db").records()


def says(panel: Panel, text: str, within_s: float = 60.0) -> None:
    expect(panel.status.first).to_contain_text(re.compile(text), timeout=1000 * within_s)


def ask(panel: Panel, n_trials: int) -> None:
    panel.type("Trials", n_trials)
    panel.button("Start").click()


def test_every_plan_of_the_file_is_a_point_between_both_baselines(
    panel: Panel, lab: Lab, folder: Path
) -> None:
    records = kept(lab)
    assert len(records) == FIRST
    assert panel.trials() == [r.number for r in records if r.state == "complete" or r.baseline]
    drawn = {trace.get("name") for trace in panel.drawn()["data"] if trace.get("x")}
    assert drawn >= {"edge-only (baseline)", "cloud-only (baseline)", "front"}
    assert not [text for text in panel.figure.evaluate(LEGEND) if text.startswith("trace")]
    table = panel.root.locator(".dt-container tbody tr")
    assert table.count() == 10
    panel.photograph(folder / "01-run-all.png")


def test_points_appear_while_it_searches_and_pause_keeps_what_remains(
    panel: Panel, lab: Lab, folder: Path
) -> None:
    before = len(panel.trials())
    ask(panel, 8)
    says(panel, "searching")
    panel.wait_for_more_trials(than=before)
    assert lab.processes(WORKER)
    panel.photograph(folder / "02-searching.png")
    panel.button("Pause").click()
    says(panel, r"paused: \d+ plans tried, \d+ to go", within_s=10)
    assert lab.processes(WORKER) == []
    tried = [r for r in kept(lab) if r.state == "complete"]
    assert FIRST < len(tried) < FIRST + 8


def test_a_restarted_kernel_finds_it_paused_and_goes_on_to_the_end(
    panel: Panel, lab: Lab, folder: Path
) -> None:
    page = panel.page
    menu(page, "Kernel", "Restart Kernel and Run All Cells…")
    page.locator(".jp-Dialog").get_by_text("Restart", exact=True).click()
    last = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell .jp-InputPrompt").last
    expect(last).to_have_text("[*]:", timeout=60_000)
    expect(last).to_have_text(EXECUTED, timeout=120_000)
    again = Panel(page)
    says(again, r"paused: \d+ plans tried, \d+ to go")
    again.photograph(folder / "03-after-restart.png")
    again.button("Resume").click()
    says(again, f"done: {FIRST + 8} plans tried", within_s=120)
    assert len([r for r in kept(lab) if r.state in ("complete", "infeasible")]) == FIRST + 8
    assert len(again.trials()) == FIRST + 8
    expect(again.root.locator(".dt-info")).to_contain_text(f"of {len(kept(lab))} ")


def test_cancel_acts_at_once_and_leaves_no_process(panel: Panel, lab: Lab) -> None:
    ask(panel, 40)
    says(panel, "searching")
    panel.button("Cancel").click()
    says(panel, "cancelled", within_s=10)
    assert lab.processes(WORKER) == []


def test_a_click_on_a_row_chooses_its_plan_for_the_explorer(panel: Panel, lab: Lab, folder: Path) -> None:
    panel.root.locator(".dt-container tbody tr").nth(3).click()
    record = kept(lab)[3]
    expect(panel.root.get_by_text(f"trial {record.number}: {record.title}")).to_be_visible(timeout=20_000)
    explorer = Panel(panel.page, nth=1)
    split = record.plan.partition.split_points
    if split:
        expect(explorer.box("Split point")).to_have_value(str(split[0]), timeout=20_000)
    panel.photograph(folder / "04-chosen.png")


def test_a_click_on_a_point_chooses_its_plan(panel: Panel, lab: Lab) -> None:
    """Where plotly knows that the mouse is: it has to come to rest on the point first."""
    layer, mouse = panel.figure.locator(".scatterlayer .trace .points path.point"), panel.page.mouse
    numbers = {r.number for r in kept(lab)}
    chosen = panel.root.get_by_text(re.compile(r"^trial \d+: "))
    before = chosen.inner_text()
    for i in range(layer.count()):
        box = layer.nth(i).bounding_box()
        assert box is not None
        at = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        mouse.move(*at, steps=4)
        panel.page.wait_for_timeout(200)
        mouse.click(*at)
        panel.page.wait_for_timeout(700)
        if chosen.inner_text() != before:
            break
    found = re.match(r"trial (\d+): ", chosen.inner_text())
    assert found is not None
    assert chosen.inner_text() != before
    assert int(found[1]) in numbers


def test_what_cannot_be_asked_is_said_and_the_panel_goes_on(panel: Panel, folder: Path) -> None:
    panel.choose("Study", "a new study")
    limits = panel.field("Limits")
    expect(limits).to_be_enabled(timeout=20_000)
    limits.fill("latency < 1")
    limits.press("Enter")
    panel.button("Start").click()
    expect(panel.message).to_contain_text("is no limit", timeout=20_000)
    assert panel.message.locator("details").get_attribute("open") is None
    panel.photograph(folder / "05-error.png")
    limits.fill("latency <= 0.05")
    limits.press("Enter")
    ask(panel, 3)
    says(panel, "done: 3 plans tried", within_s=60)
    expect(panel.message).to_have_count(0)
    panel.photograph(folder / "06-limited.png")
