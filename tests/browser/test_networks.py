"""The link of notebook 03 as a user meets it: it runs, points follow the slider, an outage shows, it ends."""

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

NOTEBOOK = "notebooks/03_networks.ipynb"
WORKER = "workbench.runtime.link_worker"
HEIGHT = 1800  # the whole panel is in view
LAST = "(g, name) => g.data.find(t => t.name === name).y.filter(v => v !== null).at(-1)"
NEAR = "([g, name, value]) => Math.abs((" + LAST + ")(g, name) / value - 1) < 0.1"
SHADED = "g => g.layout.shapes.length"
NAMED = "g => [...g.querySelectorAll('.annotation-text')].map(e => e.textContent)"
OVERLAPS = """g => {
  const boxes = [...g.querySelectorAll('.legend, .g-gtitle, .x2title')].map(e => e.getBoundingClientRect());
  const over = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  return boxes.some((a, i) => boxes.slice(i + 1).some(b => over(a, b)));
}"""


@pytest.fixture(scope="module")
def folder(artifacts: Path) -> Path:
    return artifacts / "networks"


@pytest.fixture(scope="module")
def page(browser: Browser, lab: Lab) -> Iterator[Page]:
    """Notebook 03, run from top to bottom."""
    with whole_run(browser, lab, NOTEBOOK, height=HEIGHT, timeout_s=180) as made:
        yield made


@pytest.fixture(scope="module")
def panel(page: Page) -> Panel:
    """Its panel, with a link over LTE that was started by the button."""
    made = Panel(page)
    made.root.scroll_into_view_if_needed()
    made.choose("Link", "your own numbers")
    made.choose("Link", "LTE")
    made.choose("Trace", "none: as set above")
    made.button("Start").click()
    _says(made, "running")
    return made


def _says(panel: Panel, text: str) -> None:
    expect(panel.status.first).to_contain_text(text, timeout=15_000)


def _last(panel: Panel, name: str) -> Any:
    return panel.figure.evaluate(LAST, name)


def _wait_for(panel: Panel, name: str, value: float) -> None:
    arg = [panel.figure.element_handle(), name, value]
    panel.page.wait_for_function(NEAR, arg=arg, timeout=15_000)


def test_start_measures_what_is_asked(panel: Panel, lab: Lab, folder: Path) -> None:
    for name in ("down, asked", "down, measured", "up, asked", "up, measured"):
        _wait_for(panel, name, 12)
    assert len(lab.processes(WORKER)) == 1
    panel.page.wait_for_timeout(8000)
    assert not panel.figure.evaluate(OVERLAPS)
    panel.photograph(folder / "01-started.png")


def test_points_follow_the_slider(panel: Panel, folder: Path) -> None:
    handle = panel.handle("Downlink")
    handle.focus()
    for _ in range(40):  # a decade
        handle.press("ArrowLeft")
    _wait_for(panel, "down, asked", 1.2)
    _wait_for(panel, "down, measured", 1.2)
    assert _last(panel, "up, asked") == 12
    expect(panel.field("Link", "select")).to_have_value("your own numbers")
    panel.type("Round trip", 200)
    _wait_for(panel, "round trip, asked", 200)
    assert float(panel.number("down", "found").inner_text().split()[0]) == pytest.approx(1.2, rel=0.1)
    assert panel.table()["down"][-1] == "measured"


def test_an_outage_shows_and_ends(panel: Panel, folder: Path) -> None:
    before = panel.figure.evaluate(SHADED)
    panel.button("Outage 5 s").click()
    panel.page.wait_for_function(
        f"([g, n]) => ({SHADED})(g) > n", arg=[panel.figure.element_handle(), before], timeout=10_000
    )
    still = f"g => ({LAST})(g, 'down, measured') === 0"
    panel.page.wait_for_function(still, arg=panel.figure.element_handle(), timeout=10_000)
    assert _last(panel, "down, asked") == 0
    expect(panel.number("down", "asked")).to_have_text("outage")
    _wait_for(panel, "down, measured", 1.2)
    assert "outage" in panel.figure.evaluate(NAMED)
    panel.page.wait_for_timeout(2000)
    panel.photograph(folder / "02-outage.png")


def test_a_computed_link_says_so(panel: Panel, folder: Path) -> None:
    panel.choose("Kind", "TCP, simulated (slow start, loss)")
    panel.choose("Trace", "LTE in a moving car (synthetic)")
    named = "g => g.data.some(t => t.name === 'down, modelled' && t.x.length > 20)"
    panel.page.wait_for_function(named, arg=panel.figure.element_handle(), timeout=20_000)
    assert panel.table()["down"][-1] == "modelled"
    panel.photograph(folder / "03-simulated.png")


def test_dark_too(panel: Panel, folder: Path) -> None:
    for theme in ("Dark", "Light"):
        menu(panel.page, "Settings", "Theme", f"JupyterLab {theme}")
        panel.page.wait_for_timeout(1000)
        panel.photograph(folder / f"04-{theme.lower()}.png")


def test_stop_and_the_kernels_end_leave_nothing(panel: Panel, lab: Lab) -> None:
    panel.button("Stop").click()
    _says(panel, "stopped")
    assert lab.processes(WORKER) == []
    panel.button("Start").click()
    _says(panel, "running")
    assert len(lab.processes(WORKER)) == 1
    menu(panel.page, "Kernel", "Shut Down Kernel")
    deadline = 100
    while lab.processes(WORKER) and deadline:
        panel.page.wait_for_timeout(100)
        deadline -= 1
    assert lab.processes(WORKER) == []
    assert lab.processes("workbench.links.relay") == []
