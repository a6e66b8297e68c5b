"""The notebooks as a user meets them: opened in JupyterLab, Run All, looked at."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

if TYPE_CHECKING:
    from tests.browser.conftest import Lab

NOTEBOOKS = sorted(path.name for path in (Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
RUN_TIMEOUT_S = 600
EXECUTED = re.compile(r"\[\d+\]:")
SHOWN = ".js-plotly-plot .plot-container"
# JupyterLab shows a traceback as it shows what was written to stderr: neither should be there.
ERROR = "[data-mime-type='application/vnd.jupyter.stderr'], [data-mime-type='application/vnd.jupyter.error']"


class Watch:
    """What went wrong on a page, and whether it asked anybody but this machine."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.strangers: list[str] = []
        page.on("console", lambda message: self._console(message.type, message.text))
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.on("request", lambda request: self._request(request.url))

    def _console(self, kind: str, text: str) -> None:
        if kind == "error":
            self.errors.append(text)

    def _request(self, url: str) -> None:
        if urlsplit(url).hostname not in ("127.0.0.1", None):
            self.strangers.append(url)


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.timeout(720)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_run_all_shows_every_picture(name: str, page: Page, lab: Lab, artifacts: Path) -> None:
    watch = Watch(page)
    cells = _opened(page, lab.url(f"notebooks/{name}"))
    try:
        _run_all(page, cells)
    finally:
        _photograph(page, cells, artifacts / Path(name).stem)
    assert _drawn(cells) == _promised(lab.root / "notebooks" / name)
    assert page.locator(ERROR).all_text_contents() == []
    assert page.locator(".jp-toast-message, .jp-Dialog").all_inner_texts() == []
    assert watch.errors == []
    assert watch.strangers == []
    assert lab.complaints() == []


@pytest.mark.browser
@pytest.mark.slow
def test_nobody_is_asked_about_news_or_kernels(page: Page, lab: Lab) -> None:
    _opened(page, lab.url(f"notebooks/{NOTEBOOKS[0]}"))
    page.wait_for_timeout(3000)  # the question about news comes late, where it comes
    assert page.locator(".jp-toast-message, .jp-Dialog").all_inner_texts() == []


def _opened(page: Page, url: str) -> Locator:
    """The code cells of the notebook, once its kernel is ready: before that, Run asks which kernel to use."""
    page.goto(url)
    expect(page.locator("#jp-main-statusbar").get_by_text("| Idle")).to_be_visible(timeout=90_000)
    return page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell")


def _run_all(page: Page, cells: Locator) -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    last = cells.last.locator(".jp-InputPrompt")
    error = page.locator(ERROR).first
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while not EXECUTED.fullmatch(last.inner_text()):
        assert not error.count(), error.text_content()
        assert time.monotonic() < deadline, f"not through after {RUN_TIMEOUT_S} s: {_prompts(cells)}"
        page.wait_for_timeout(500)
    assert all(map(EXECUTED.fullmatch, _prompts(cells)))


def _prompts(cells: Locator) -> list[str]:
    return [text.strip() for text in cells.locator(".jp-InputPrompt").all_text_contents()]


def _promised(notebook: Path) -> list[int]:
    """Which code cells end in a picture: those whose last expression is one of workbench.plots."""
    code = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    return [index for index, cell in enumerate(code) if re.search(r"^plots\.", cell.source, re.MULTILINE)]


def _drawn(cells: Locator) -> list[int]:
    """Which code cells show a figure with something in it."""
    return [i for i, cell in enumerate(cells.all()) if cell.locator(SHOWN).count() and _has_marks(cell)]


def _has_marks(cell: Locator) -> bool:
    marks = cell.locator("svg.main-svg .trace, svg.main-svg .point, svg.main-svg .bars").first
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
