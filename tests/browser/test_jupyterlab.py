"""The notebooks as a user meets them: opened in JupyterLab, Run All, looked at."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page

from tests.browser.lab import Lab
from tests.browser.pages import Watch, complaints, opened, run_all

NOTEBOOKS = sorted(path.name for path in (Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
SHOWN = ".js-plotly-plot .plot-container"
PICTURES = re.compile(r"^(plots\.|(explorer|search|network|survey|placing)(\.figure)?$)", re.MULTILINE)
"""Last expressions of cells that end in a picture: one of workbench.plots, a panel, a panel's figure."""


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.timeout(720)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_run_all_shows_every_picture(name: str, page: Page, lab: Lab, artifacts: Path) -> None:
    watch = Watch(page)
    cells = opened(page, lab, f"notebooks/{name}")
    try:
        run_all(page, cells)
    finally:
        _photograph(page, cells, artifacts / Path(name).stem)
    assert _drawn(cells) == _promised(lab.root / "notebooks" / name)
    assert complaints(page) == []
    assert watch.errors == []
    assert watch.strangers == []
    assert lab.complaints() == []


@pytest.mark.browser
@pytest.mark.slow
def test_nobody_is_asked_about_news_or_kernels(page: Page, lab: Lab) -> None:
    opened(page, lab, f"notebooks/{NOTEBOOKS[0]}")
    page.wait_for_timeout(3000)  # the question about news comes late, where it comes
    assert page.locator(".jp-toast-message, .jp-Dialog").all_inner_texts() == []


def _promised(notebook: Path) -> list[int]:
    """Which code cells end in a picture."""
    code = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    return [index for index, cell in enumerate(code) if PICTURES.search(cell.source)]


def _drawn(cells: Locator) -> list[int]:
    """Which code cells show a figure with something in it."""
    return [i for i, cell in enumerate(cells.all()) if cell.locator(SHOWN).count() and _has_marks(cell)]


def _has_marks(cell: Locator) -> bool:
    marks = cell.locator(
        "svg.main-svg .trace, svg.main-svg .point, svg.main-svg .bars, svg.main-svg .hm"
    ).first
    box = cell.locator(SHOWN).first.bounding_box()
    return marks.count() > 0 and box is not None and box["height"] > 100


def _photograph(page: Page, cells: Locator, folder: Path) -> None:
    """One picture of the whole window and one of each cell, for a person to look at."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    for index, cell in enumerate(cells.all()):
        cell.scroll_into_view_if_needed()
        page.wait_for_timeout(150)  # a figure that comes into view is drawn then
        cell.screenshot(path=folder / f"cell-{index:02d}.png")
    cells.first.scroll_into_view_if_needed()
    page.screenshot(path=folder / "window.png")
