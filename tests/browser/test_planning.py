"""The survey of notebook 04 as a user meets it: sliders and clicks move the point, verdict and map follow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.lab import Lab
from tests.browser.pages import menu, whole_run
from tests.browser.panel import Panel

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

NOTEBOOK = "notebooks/04_planning.ipynb"
HEIGHT = 1750  # the whole panel is in view
READY_MS = 60_000
TRACE = "(g, name) => g.data.find(t => t.name === name)"
FINE = f"g => ({TRACE})(g, 'cells').x.length >= 192"
AT = f"g => {{ const t = ({TRACE})(g, 'here'); return [t.x[0], t.y[0]]; }}"
PIXEL = """([g, x, y]) => {
  const box = g.querySelector('.nsewdrag').getBoundingClientRect(), l = g._fullLayout;
  return [box.left + l.xaxis.d2p(x), box.top + l.yaxis.d2p(y)];
}"""
OVERLAPS = """g => {
  const boxes = [...g.querySelectorAll('.legend, .g-gtitle, .xtitle, .x3title, .ytitle, .y2title, .y3title')]
    .map(e => e.getBoundingClientRect());
  const over = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  return boxes.some((a, i) => boxes.slice(i + 1).some(b => over(a, b)));
}"""


@pytest.fixture(scope="module")
def folder(artifacts: Path) -> Path:
    return artifacts / "planning"


@pytest.fixture(scope="module")
def page(browser: Browser, lab: Lab) -> Iterator[Page]:
    """Notebook 04, run from top to bottom."""
    with whole_run(browser, lab, NOTEBOOK, height=HEIGHT) as made:
        yield made


@pytest.fixture(scope="module")
def panel(page: Page) -> Panel:
    made = Panel(page)
    made.root.scroll_into_view_if_needed()
    _planned(made)
    return made


def _planned(panel: Panel) -> None:
    """Until the map is fine and nothing is under way."""
    panel.page.wait_for_function(FINE, arg=panel.figure.element_handle(), timeout=READY_MS)
    expect(panel.status.first).to_have_text("all planned", timeout=READY_MS)


def _verdict(panel: Panel, text: str) -> None:
    expect(panel.root.locator(".wb-sentence")).to_contain_text(text, timeout=READY_MS)


def _place(panel: Panel) -> list[float]:
    found: list[float] = panel.figure.evaluate(AT)
    return found


def _click(panel: Panel, x: float, y: float) -> None:
    """On the map, at powers of ten of Mbit/s and of ms."""
    across, up = panel.page.evaluate(PIXEL, [panel.figure.element_handle(), x, y])
    panel.page.mouse.move(across, up)
    panel.page.wait_for_timeout(300)  # plotly takes a click where it last saw the mouse hover
    panel.page.mouse.click(across, up)


def test_it_begins_with_a_verdict_a_map_and_the_plans(panel: Panel, folder: Path) -> None:
    _verdict(panel, "Split: ")
    names = panel.figure.evaluate("g => [...g.querySelectorAll('.annotation-text')].map(e => e.textContent)")
    assert {"split", "edge-only"} <= set(names)
    assert not panel.figure.evaluate(OVERLAPS)
    assert panel.table()["TTFT"][-1] == "modelled"
    panel.photograph(folder / "01-begin.png")


def test_a_slider_moves_the_point_and_turns_the_verdict(panel: Panel, folder: Path) -> None:
    x, y = _place(panel)
    handle = panel.handle("Round trip")
    handle.focus()
    for _ in range(40):  # a decade
        handle.press("ArrowRight")
    _verdict(panel, "Don't split: edge-only")
    moved = "([g, y]) => Math.abs(g.data.find(t => t.name === 'here').y[0] - y - 1) < 0.03"
    panel.page.wait_for_function(moved, arg=[panel.figure.element_handle(), y], timeout=READY_MS)
    assert _place(panel)[0] == pytest.approx(x)
    expect(panel.field("Link", "select")).to_have_value("your own numbers")
    panel.photograph(folder / "02-slower.png")


def test_a_click_on_the_map_goes_there(panel: Panel, folder: Path) -> None:
    _click(panel, 2.2, 0.1)
    _verdict(panel, "Split: ")
    x, y = _place(panel)
    assert (x, y) == pytest.approx((2.2, 0.1), abs=0.13)  # half a cell
    assert float(panel.box("Round trip").input_value()) == pytest.approx(10**y, rel=0.01)
    assert float(panel.box("Uplink").input_value()) == pytest.approx(10**x, rel=0.01)
    assert panel.message.count() == 0


def test_what_is_wished_for_redraws_the_map(panel: Panel, folder: Path) -> None:
    before = _names(panel)
    panel.choose("Best is", "throughput")
    _verdict(panel, "tokens/s")
    panel.page.wait_for_timeout(500)
    _planned(panel)
    panel.root.get_by_text("Prompts: embedding and first blocks").click()
    panel.page.wait_for_timeout(500)
    _planned(panel)
    assert _names(panel) != before
    panel.photograph(folder / "03-throughput.png")
    panel.choose("Map over", "round trip × speed of the edge")
    panel.page.wait_for_timeout(500)
    _planned(panel)
    panel.photograph(folder / "04-speed.png")


def _names(panel: Panel) -> Any:
    return panel.figure.evaluate("g => g.data.find(t => t.name === 'regions').z.flat().join('')")


def test_nothing_that_keeps_the_limits_is_said(panel: Panel, folder: Path) -> None:
    panel.choose("Edge weights", "16 bit")
    panel.choose("Edge device", "Raspberry Pi 5, 8 GB (4 x Cortex-A76)")
    panel.type("Its memory", 1)
    _verdict(panel, "No plan: ")
    panel.page.wait_for_timeout(500)
    _planned(panel)
    panel.photograph(folder / "05-nothing.png")
    panel.type("Its memory", 200)
    _verdict(panel, "Don't split")


def test_dark_too(panel: Panel, folder: Path) -> None:
    panel.choose("Best is", "total time")
    panel.choose("Map over", "round trip × bandwidth")
    panel.choose("Edge device", "NVIDIA Jetson AGX Orin, 64 GB")
    panel.choose("Edge weights", "16, 8, 4 bit")
    panel.root.get_by_text("Prompts: embedding and first blocks").click()
    panel.page.wait_for_timeout(500)
    _planned(panel)
    for theme in ("Dark", "Light"):
        menu(panel.page, "Settings", "Theme", f"JupyterLab {theme}")
        panel.page.wait_for_timeout(1000)
        panel.photograph(folder / f"06-{theme.lower()}.png")
