"""The routing panel of notebook 07 as a user meets it: menus, threshold, a replay with an outage, saving."""

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

NOTEBOOK = "notebooks/07_features_and_hybrids.ipynb"
HEIGHT = 3400  # the whole panel is in view, its replay too
READY_MS = 60_000
REPLAY_MS = 180_000
TRACE = "(g, name) => g.data.find(t => t.name === name)"
HERE = f"g => {{ const t = ({TRACE})(g, 'here'); return [t.x[0], t.y[0]]; }}"
IN_CLOUD = f"g => ({TRACE})(g, 'blocks in the cloud').y.length"
WIDE = "g => g.getBoundingClientRect().width <= g.closest('.wb-figure').getBoundingClientRect().width + 1"


@pytest.fixture(scope="module")
def folder(artifacts: Path) -> Path:
    return artifacts / "routing"


@pytest.fixture(scope="module")
def page(browser: Browser, lab: Lab) -> Iterator[Page]:
    """Notebook 07, run from top to bottom."""
    with whole_run(browser, lab, NOTEBOOK, height=HEIGHT) as made:
        yield made


@pytest.fixture(scope="module")
def panel(page: Page) -> Panel:
    made = Panel(page)
    made.root.scroll_into_view_if_needed()
    page.wait_for_function(f"g => ({TRACE})(g, 'here')", arg=made.figure.element_handle(), timeout=READY_MS)
    return made


def _wait(panel: Panel, script: str, *values: Any) -> None:
    panel.page.wait_for_function(script, arg=[panel.figure.element_handle(), *values], timeout=READY_MS)


def _replayed(panel: Panel) -> str:
    """What is said once a replay has been shown."""
    expect(panel.button("Cancel")).to_be_disabled(timeout=REPLAY_MS)
    return panel.status.last.inner_text()


def test_it_begins_with_a_verdict_a_curve_and_the_plan(panel: Panel, folder: Path) -> None:
    expect(panel.root.locator(".wb-sentence")).to_contain_text("The hybrid")
    assert panel.table()["quality"][-1] == "measured"
    assert panel.table()["mean latency"][-1] == "modelled"
    assert panel.figure.evaluate(WIDE)
    panel.photograph(folder / "01-begin.png")


def test_the_threshold_moves_the_mark_along_the_curve(panel: Panel, folder: Path) -> None:
    before = panel.figure.evaluate(HERE)
    panel.type("Threshold", 100)
    _wait(panel, f"([g, x]) => ({HERE})(g)[0] !== x", before[0])
    assert panel.table()["asked again in the cloud"][0] == "88%"
    panel.type("Threshold", 90)
    _wait(panel, f"([g, x]) => Math.abs(({HERE})(g)[0] - x) < 1e-6", before[0])
    panel.photograph(folder / "02-threshold.png")


def test_a_menu_moves_a_feature_to_the_cloud(panel: Panel, folder: Path) -> None:
    before = panel.figure.evaluate(IN_CLOUD)
    panel.choose("sort", "cloud: tiny")
    _wait(panel, f"([g, n]) => ({IN_CLOUD})(g) === n", before + 1)
    panel.choose("Cost is", "energy of the edge and its radio")
    _wait(panel, "([g]) => g.layout.xaxis.title.text.startsWith('energy')")
    panel.photograph(folder / "03-energy.png")
    panel.choose("Cost is", "mean latency")
    assert panel.message.count() == 0


def test_a_replay_shows_where_requests_went(panel: Panel, folder: Path) -> None:
    panel.type("… lasting", 2)
    panel.button("Replay").click()
    expect(panel.button("Cancel")).to_be_enabled(timeout=READY_MS)
    assert "24 requests on the virtual clock" in _replayed(panel)
    lower = panel.root.locator(".js-plotly-plot").nth(1)
    expect(lower).to_be_visible(timeout=READY_MS)
    panel.page.wait_for_timeout(1000)
    assert lower.evaluate("g => g.data.find(t => t.name === 'waiting').y.length") == 24
    assert lower.evaluate(WIDE)
    assert panel.root.locator("td span.wb-edge").count() > 0
    assert panel.message.count() == 0
    panel.photograph(folder / "04-replay.png")


def test_unplugged_nothing_crosses(panel: Panel, folder: Path) -> None:
    panel.type("… lasting", 0)
    panel.button("Unplug").click()
    panel.button("Replay").click()
    expect(panel.button("Cancel")).to_be_enabled(timeout=READY_MS)
    assert "100% on the edge alone" in _replayed(panel)
    panel.button("Unplug").click()
    panel.photograph(folder / "05-unplugged.png")


def test_a_replay_can_be_cancelled(panel: Panel) -> None:
    panel.button("Replay").click()
    expect(panel.button("Cancel")).to_be_enabled(timeout=READY_MS)
    panel.button("Cancel").click()
    assert "cancelled" in _replayed(panel)
    assert panel.message.count() == 0


def test_the_plan_is_saved(panel: Panel, lab: Lab) -> None:
    panel.button("Save plan").click()
    expect(panel.root.get_by_text("written: plan.yaml")).to_be_visible(timeout=READY_MS)
    assert "sort: {place: cloud" in (lab.root / "notebooks" / "plan.yaml").read_text().replace(
        "sort:\n    place: cloud", "sort: {place: cloud"
    )


def test_dark_too(panel: Panel, folder: Path) -> None:
    for theme in ("Dark", "Light"):
        menu(panel.page, "Settings", "Theme", f"JupyterLab {theme}")
        panel.page.wait_for_timeout(1000)
        panel.photograph(folder / f"06-{theme.lower()}.png")
