"""What a person does with a notebook in the browser, and what a watcher sees meanwhile."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.lab import Lab

__all__ = ["ERROR", "EXECUTED", "Watch", "complaints", "menu", "opened", "prompts", "run_all", "whole_run"]

EXECUTED = re.compile(r"\[\d+\]:")
# JupyterLab shows a traceback as it shows what was written to stderr: neither should be there.
ERROR = "[data-mime-type='application/vnd.jupyter.stderr'], [data-mime-type='application/vnd.jupyter.error']"
RUN_TIMEOUT_S = 600
_READY_MS = 90_000
_IDLE = {  # what shows that the kernel is ready: before that, Run asks which kernel to use
    "lab": "#jp-main-statusbar :text('| Idle')",
    "notebook": ".jp-KernelName:has-text('Python 3')",
}
_GIVEN_UP = "[anywidget] Failed to initialize model."
_CELLS = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell"


class Watch:
    """What went wrong on a page, and whether it asked anybody but this machine.

    ``given_up`` counts what is no error: on a machine that is busy for two seconds while a panel loads,
    anywidget complains, and drops what it is told. Panels mend that (``workbench.widgets.late``), as
    ``test_slow_page.py`` shows; and whatever test opens a notebook looks at what is drawn.
    """

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.strangers: list[str] = []
        self.given_up = 0
        page.on("console", lambda message: self._console(message.type, message.text))
        page.on("pageerror", lambda error: self._uncaught(str(error)))
        page.on("request", lambda request: self._request(request.url))

    def _console(self, kind: str, text: str) -> None:
        if kind == "error":
            self.errors.append(text)

    def _uncaught(self, text: str) -> None:
        if text == _GIVEN_UP:
            self.given_up += 1
        else:
            self.errors.append(f"uncaught: {text}")

    def _request(self, url: str) -> None:
        if urlsplit(url).hostname not in ("127.0.0.1", None):
            self.strangers.append(url)


def opened(page: Page, lab: Lab, notebook: str) -> Locator:
    """The code cells of a notebook, given by its path, once its kernel is ready."""
    page.goto(lab.url(notebook))
    expect(page.locator(_IDLE[lab.app]).first).to_be_visible(timeout=_READY_MS)
    return page.locator(_CELLS)


def run_all(page: Page, cells: Locator, timeout_s: float = RUN_TIMEOUT_S) -> None:
    """Run, Run All Cells; back when the last cell is through. An error in a cell is raised at once."""
    menu(page, "Run", "Run All Cells")
    last = cells.last.locator(".jp-InputPrompt")
    error = page.locator(ERROR).first
    deadline = time.monotonic() + timeout_s
    while not EXECUTED.fullmatch((last.text_content() or "").strip()):  # also where it is out of view
        assert not error.count(), error.text_content()
        assert time.monotonic() < deadline, f"not through after {timeout_s} s: {prompts(cells)}"
        page.wait_for_timeout(250)
    assert all(map(EXECUTED.fullmatch, prompts(cells)))


def menu(page: Page, name: str, *items: str) -> None:
    """Go through a menu of the menu bar: over submenus to an item."""
    page.get_by_role("menuitem", name=name, exact=True).click()
    for item in items:
        label = page.locator(f".lm-Menu-itemLabel:text-is('{item}')").last
        label.hover()
    label.click()


def prompts(cells: Locator) -> list[str]:
    """What stands left of each cell: ``[3]:`` once it has run."""
    return [text.strip() for text in cells.locator(".jp-InputPrompt").all_text_contents()]


def complaints(page: Page) -> list[str]:
    """What the page tells of errors: in cells, in pop-ups, in dialogs."""
    said = page.locator(ERROR).all_text_contents()
    return said + page.locator(".jp-toast-message, .jp-Dialog").all_inner_texts()


@contextmanager
def whole_run(
    browser: Browser, lab: Lab, notebook: str, *, height: int, timeout_s: float = 300
) -> Iterator[Page]:
    """A notebook, run from top to bottom; in the end nothing has gone wrong on its page."""
    context = browser.new_context(viewport={"width": 1400, "height": height})
    page = context.new_page()
    watch = Watch(page)
    run_all(page, opened(page, lab, notebook), timeout_s=timeout_s)
    yield page
    assert (watch.errors, watch.strangers, complaints(page), lab.complaints()) == ([], [], [], [])
    context.close()
