"""The explorer of notebook 01 as a user meets it: what is shown is what ``predict`` gives, whatever is done.

One notebook on one page serves most of the tests; each sets what it needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect

import workbench as wb
from tests.browser.lab import Lab
from tests.browser.pages import ERROR, Watch, complaints, menu, opened, run_all
from tests.browser.panel import Panel
from workbench import plots
from workbench.exploration import Setting
from workbench.plots.style import Scale

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOST = "This machine, as it is"
PI, H100, LTE = wb.device("raspberry-pi-5"), wb.device("h100-sxm"), wb.link("lte")
TINY = Setting("tiny", 8, PI, H100, LTE, split=3, back=7, edge_bits=8, wire="int8")
WIDTHS, HEIGHT = (1280, 1920), 2300  # the whole panel is in view
THEMES = ("Dark", "Light")
OVERFLOW = """panel => {
  const over = (inner, outer) => inner.getBoundingClientRect().right - outer.getBoundingClientRect().right;
  const figure = panel.querySelector(".wb-figure"), svg = panel.querySelector(".main-svg");
  const seen = panel.closest(".jp-WindowedPanel-outer, .jp-Notebook");
  return [over(svg, figure), over(figure, panel), over(panel, seen)].map(Math.round);
}"""
AXES = "g => Object.keys(g.layout).filter(key => /^[xy]axis/.test(key)).sort()"
FOCUS = """() => {
  const at = document.activeElement;
  const label = at.id ? document.querySelector(`label[for="${at.id}"]`)?.textContent : "";
  const name = at.getAttribute("aria-label") || label || at.innerText || at.title;
  return [!!at.closest(".wb-panel"), at.dataset.number ?? "", name];
}"""
NUMBERED = """panel => {
  const all = [...panel.querySelectorAll("input, select, textarea, button, .noUi-handle, pre[tabindex]")];
  const usable = all.filter(e => e.offsetParent && !e.disabled);
  usable.forEach((e, i) => { e.dataset.number = i; });
  return usable.length;
}"""


@pytest.fixture(scope="module")
def folder(artifacts: Path) -> Path:
    """Where the screenshots go."""
    return artifacts / "explorer"


@pytest.fixture(scope="module")
def panel(browser: Browser, lab: Lab, folder: Path) -> Iterator[Panel]:
    """That of notebook 01, run from top to bottom."""
    context = browser.new_context(viewport={"width": 1400, "height": HEIGHT})
    page = context.new_page()
    watch = Watch(page)
    run_all(page, opened(page, lab, "notebooks/01_split_explorer.ipynb"))
    made = Panel(page)
    made.photograph(folder / "01-run-all.png")
    yield made
    assert (watch.errors, watch.strangers, complaints(page), lab.complaints()) == ([], [], [], [])
    context.close()


@pytest.fixture
def posed(panel: Panel) -> Panel:
    """Between devices that a test can predict for too."""
    for label, option in (("Edge device", PI.title), ("Cloud device", H100.title), ("Link", LTE.title)):
        panel.choose(label, option)
    panel.choose("Predicted as", "TCP, simulated (slow start, loss)")
    panel.type("Prompt", 64)
    panel.type("Output", 32)
    _start_at(panel, 3)
    return panel


def _start_at(panel: Panel, split: int) -> None:
    panel.type("Split point", split)
    panel.wait_for_split(split)


def _predicted(setting: Setting) -> dict[str, Any]:
    devices = (setting.edge, setting.cloud, setting.link)
    return {p: wb.predict(setting.plan_at(p), *devices, **setting.request) for p in setting.positions}


def _shows(panel: Panel, setting: Setting) -> None:
    """Figure and table hold the numbers of ``predict``, once they have come."""
    traces = _predicted(setting)
    figure = json.loads(plots.explorer(traces, setting.position, setting.devices).to_json())
    wanted = _numbers(figure)
    until = monotonic() + 20
    while (shown := _numbers(panel.drawn())) != wanted and monotonic() < until:
        panel.page.wait_for_timeout(20)
    assert shown == wanted
    for name in ("ttft", "tpot"):
        seconds = [getattr(traces[p], f"{name}_s") for p in (setting.position, "edge-only", "cloud-only")]
        texts = [Scale.seconds(s).text(s) for s in seconds]
        expect(panel.number(name.upper(), "this plan")).to_have_text(texts[0])
        assert [panel.table()[name.upper()][i] for i in (0, -3, -2)] == texts


def _numbers(figure: dict[str, Any]) -> list[list[Any]]:
    """All but the accuracy, whose measurement may or may not have come."""
    return [[trace.get(key) for key in ("name", "x", "y", "base")] for trace in figure["data"][:-2]]


def test_figure_and_table_follow_the_split_point(posed: Panel, folder: Path) -> None:
    _shows(posed, TINY)
    for key, split in (("ArrowRight", 4), ("ArrowRight", 5), ("ArrowLeft", 4), ("Home", 0), ("End", 8)):
        posed.handle("Split point").press(key)
        posed.wait_for_split(split)
        _shows(posed, replace(TINY, split=split))
    expect(posed.box("Split point")).to_have_value("8")
    posed.type("Split point", 2)
    posed.wait_for_split(2)
    expect(posed.handle("Split point")).to_have_attribute("aria-valuetext", "2")
    _shows(posed, replace(TINY, split=2))
    posed.photograph(folder / "02-moved.png")


def test_link_numbers_and_request_count_too(posed: Panel) -> None:
    posed.type("Round trip", 125)
    posed.type("Prompt", 100)
    expect(posed.field("Link", "select")).to_have_value("your own numbers")
    link = replace(LTE, rtt_s=0.125, name="custom", title="your own numbers", sources={})
    _shows(posed, replace(TINY, link=link, prompt_tokens=100))


def test_a_burst_of_moves_ends_in_the_right_picture(posed: Panel) -> None:
    posed.figure.evaluate("g => { window.plots = 0; g.on('plotly_afterplot', () => window.plots++); }")
    handle = posed.handle("Split point")
    handle.focus()
    for i in range(50):
        posed.page.keyboard.press("ArrowRight" if i % 10 < 5 else "ArrowLeft")
    handle.press("ArrowRight")
    posed.wait_for_split(4)
    posed.page.wait_for_timeout(500)
    _shows(posed, replace(TINY, split=4))
    plots_seen = posed.page.evaluate("window.plots")
    print(f"51 moves, {plots_seen} redraws")
    assert plots_seen < 25


def test_run_it_shows_measured_bars_while_the_panel_stays_in_use(panel: Panel, folder: Path) -> None:
    _on_this_machine(panel, new_tokens=150)
    kept = panel.kept.count()
    panel.start_run()
    panel.handle("Split point").press("ArrowRight")
    panel.wait_for_split(4)
    assert panel.button("Cancel").is_enabled(), "the run ended before the panel was used"
    panel.photograph(folder / "03-running.png")
    panel.handle("Split point").press("ArrowLeft")
    panel.wait_for_run()
    expect(panel.kept).to_have_count(kept + 1)
    expect(panel.status).to_contain_text("measured (wall clock)")
    assert "narrow bars: measured, wall clock" in panel.drawn()["title"]
    assert panel.table()["TTFT"][1].endswith("s")
    assert panel.table()["TTFT"][2].endswith("%")
    panel.photograph(folder / "04-measured.png")


@pytest.mark.parametrize("moment", ["starting", "running"])
def test_cancel_acts_at_once_and_leaves_no_process(panel: Panel, lab: Lab, folder: Path, moment: str) -> None:
    _on_this_machine(panel, new_tokens=900)
    panel.start_run()
    expect(panel.status).to_contain_text(moment, timeout=30_000)
    if moment == "running":
        expect(panel.root.get_by_label("Text of the run")).to_be_visible(timeout=30_000)
        assert len(lab.processes("workbench.runtime")) == 2
    began = monotonic()
    panel.button("Cancel").click()
    panel.wait_for_status("cancelled: nothing is left running")
    took = monotonic() - began
    print(f"cancelled while {moment} after {took:.2f} s")
    assert lab.processes("workbench.runtime") == []
    assert took < 10  # on a quiet machine half a second; no test may fail because a host is busy
    expect(panel.button("Run it")).to_be_enabled()
    panel.photograph(folder / f"05-cancelled-{moment}.png")


def _on_this_machine(panel: Panel, new_tokens: int) -> None:
    """A setting that is run by the wall clock."""
    for label, option in (("Edge device", HOST), ("Cloud device", HOST), ("Link", wb.link("wifi-6").title)):
        panel.choose(label, option)
    panel.type("Output", new_tokens)
    _start_at(panel, 3)


def test_runs_lie_side_by_side_get_names_and_leave_as_files(panel: Panel, lab: Lab, folder: Path) -> None:
    names = panel.kept.all_inner_texts()
    panel.field("Kept runs", "select").select_option(names[0])
    panel.field("New name").fill("the first")
    panel.button("Rename").click()
    expect(panel.kept.first).to_have_text("the first")
    panel.button("Side by side").click()
    shown = "g => g.layout.title.text.startsWith('Runs side by side') && g.data.every(t => t.y.length)"
    panel.page.wait_for_function(shown, arg=panel.figure.element_handle())
    assert panel.figure.evaluate(AXES) == ["xaxis", "xaxis2", "yaxis", "yaxis2"]
    assert not panel.drawn().get("shapes")
    panel.photograph(folder / "06-side-by-side.png")
    panel.button("Export").click()
    expect(panel.root.get_by_text("written:")).to_be_visible()
    exported = lab.root / "notebooks" / "results" / "runs"
    assert {path.suffix for path in exported.iterdir()} == {".json", ".csv", ".html"}
    panel.button("Side by side").click()
    _start_at(panel, 5)


def test_an_error_is_said_in_the_panel_which_goes_on(posed: Panel, folder: Path) -> None:
    posed.type("Prompt", 1000)
    posed.type("Output", 900)
    expect(posed.message).to_be_visible()
    said = posed.message.inner_text()
    assert "1024" in said
    assert "defect" not in said
    assert not posed.message.locator("pre").is_visible()
    posed.photograph(folder / "07-error.png")
    posed.message.locator("summary").click()
    expect(posed.message.locator("pre")).to_contain_text("PromptError")
    posed.type("Prompt", 64)
    posed.type("Output", 32)
    expect(posed.message).not_to_be_visible()
    _start_at(posed, 6)


def test_tab_reaches_every_control_and_each_has_a_name(posed: Panel) -> None:
    count = posed.root.evaluate(NUMBERED)
    assert count > 30
    names: dict[str, str] = {}
    posed.field("Shape", "select").focus()
    inside, number, name = posed.page.evaluate(FOCUS)
    while inside and number not in names:
        names[number] = name
        posed.page.keyboard.press("Tab")
        inside, number, name = posed.page.evaluate(FOCUS)
    assert set(map(str, range(count))) <= set(names), names
    assert [number for number, name in names.items() if number and not name.strip()] == []


def test_it_fits_and_reads_in_both_themes_and_widths(panel: Panel, folder: Path) -> None:
    page = panel.page
    for theme in THEMES:
        _choose_theme(page, theme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": HEIGHT})
            page.wait_for_timeout(700)
            panel.photograph(folder / f"08-{theme.lower()}-{width}.png")
            assert max(panel.root.evaluate(OVERFLOW)) <= 0
    page.set_viewport_size({"width": 1400, "height": HEIGHT})


def _choose_theme(page: Page, name: str) -> None:
    menu(page, "Settings", "Theme", f"JupyterLab {name}")
    expect(page.locator("body")).to_have_attribute("data-jp-theme-name", f"JupyterLab {name}")


TWO = """import workbench as wb
model = wb.load_model("tiny")
explorer = wb.explore(model, edge="host", cloud="host", link="wifi-6", accuracy=False, new_tokens=900)
explorer"""


def test_two_explorers_take_turns_and_an_interrupt_ends_one_run(page: Page, lab: Lab, folder: Path) -> None:
    watch = Watch(page)
    sources = [TWO, TWO.replace("explorer", "other").replace("wb.other", "wb.explore"), "1"]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), lab.root / "two.ipynb")
    code = opened(page, lab, "two.ipynb")
    run_all(page, code)
    first, second = Panel(page, 0), Panel(page, 1)
    for one in (first, second):
        expect(one.figure).to_be_visible()
    _second_waits_for_the_first(first, second)
    second.photograph(folder / "10-two.png")
    _interrupt(page, first)
    page.screenshot(path=folder / "11-interrupted.png")
    assert "the run is ended, the panel can be used again" in page.locator(ERROR).first.inner_text()
    expect(first.status).to_have_text("cancelled: nothing is left running")
    _start_at(first, 6)
    assert lab.processes("workbench.runtime") == []
    assert (watch.errors, lab.complaints()) == ([], [])


def _second_waits_for_the_first(first: Panel, second: Panel) -> None:
    first.start_run()
    expect(first.status).to_contain_text("running", timeout=30_000)
    second.start_run()
    expect(second.status).to_contain_text("waiting for another measurement", timeout=10_000)
    for one in (second, first):
        one.button("Cancel").click()
        expect(one.status).to_have_text("cancelled: nothing is left running", timeout=10_000)


def _interrupt(page: Page, panel: Panel) -> None:
    """Run a cell that waits for a run, and interrupt the kernel in the middle."""
    cell = page.locator(".jp-CodeCell").last
    cell.locator(".cm-content").fill("explorer.measure(); explorer.wait()")
    page.keyboard.press("Control+Enter")
    expect(panel.status).to_contain_text("running", timeout=30_000)
    menu(page, "Kernel", "Interrupt Kernel")
    expect(page.locator(ERROR).first).to_be_visible(timeout=10_000)


@pytest.mark.timeout(150)
def test_it_works_in_notebook_7_too(page: Page, notebook_app: Lab, folder: Path) -> None:
    cells = opened(page, notebook_app, "notebooks/01_split_explorer.ipynb")
    watch = Watch(page)  # from here on: opening any notebook, Notebook 7.6 fails to read a setting of its own
    run_all(page, cells)
    shown = Panel(page)
    shown.handle("Split point").press("ArrowRight")
    shown.wait_for_split(4)
    page.screenshot(path=folder / "12-notebook-7.png")
    assert (watch.errors, watch.strangers, complaints(page), notebook_app.complaints()) == ([], [], [], [])
