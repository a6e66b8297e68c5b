"""A panel in a notebook, by what a user sees of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

__all__ = ["Panel"]

_DATA = "g => JSON.parse(JSON.stringify({data: g.data, shapes: g.layout.shapes, title: g.layout.title.text}))"
_TRIALS = """g => [...new Set(g.data.flatMap(t => t.type === "scatter" && t.name !== "chosen" && t.customdata
  ? [...t.customdata].map(d => d[0]) : []))].sort((a, b) => a - b)"""
_TABLE = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"


class Panel:
    """The controls, figure and table of one panel. Controls go by the text of their label."""

    def __init__(self, page: Page, nth: int = 0) -> None:
        self.page = page
        self.root = page.locator(".wb-panel").nth(nth)
        self.figure = self.root.locator(".wb-plot .js-plotly-plot, .wb-plot.js-plotly-plot").first
        self.message = self.root.locator(".wb-error")
        self.status = self.root.locator("[role=status]")
        self.kept = self.root.locator(".widget-select-multiple option, select[multiple] option")

    def drawn(self) -> dict[str, Any]:
        """What the figure shows: its traces, shapes and title, as plotly has them in the page."""
        shown: dict[str, Any] = self.figure.evaluate(_DATA)
        return shown

    def trials(self) -> list[int]:
        """The numbers of the trials whose points a search shows."""
        found: list[int] = self.figure.evaluate(_TRIALS)
        return found

    def wait_for_more_trials(self, than: int, timeout_ms: float = 60_000) -> None:
        """Until more points than so many are shown."""
        more = f"([g, n]) => ({_TRIALS})(g).length > n"
        self.page.wait_for_function(more, arg=[self.figure.element_handle(), than], timeout=timeout_ms)

    def table(self) -> dict[str, list[str]]:
        """The table of numbers, by the name of the row."""
        rows = self.root.locator(".wb-table").first.locator("tr").evaluate_all(_TABLE)
        return {row[0]: row[1:] for row in rows}

    def number(self, row: str, column: str) -> Locator:
        """A cell of that table."""
        table = self.root.locator(".wb-table").first
        at = table.locator("th[scope=col]").all_inner_texts().index(column)
        found = table.locator("tr").filter(has=self.page.locator(f"th:text-is('{row}')"))
        return found.locator("th, td").nth(at)

    def row(self, label: str) -> Locator:
        """A slider with its box."""
        return self.root.locator(".wb-row").filter(has=self.page.get_by_text(label, exact=True))

    def handle(self, label: str) -> Locator:
        return self.row(label).locator(".noUi-handle")

    def box(self, label: str) -> Locator:
        return self.row(label).locator("input")

    def type(self, label: str, value: float) -> None:
        """Put a number into a box, as a user does: type it, leave the box."""
        self.box(label).fill(str(value))
        self.box(label).press("Enter")

    def field(self, label: str, kind: str = "input") -> Locator:
        """What belongs to a label that is no slider's."""
        named = self.page.locator(f"label:text-is('{label}')")
        return self.root.locator(".jupyter-widgets").filter(has=named).last.locator(kind)

    def choose(self, label: str, option: str) -> None:
        self.field(label, "select").select_option(label=option)

    def button(self, name: str) -> Locator:
        return self.root.get_by_role("button", name=name, exact=True)

    def wait_for_split(self, split: int, timeout_ms: float = 20_000) -> None:
        """Until the frame of the chosen split point has come there: cloud-only stands at 0."""
        shown = "([g, x]) => g.layout.shapes?.[0]?.x0 === x"
        element = self.figure.element_handle()
        self.page.wait_for_function(shown, arg=[element, split + 0.5], polling=20, timeout=timeout_ms)

    def wait_for_run(self, timeout_ms: float = 60_000) -> None:
        """Until narrow bars lie over the wide ones."""
        shown = "g => g.data.some(t => t.name === 'run for real' && t.x.some(x => x > 0))"
        element = self.figure.element_handle()
        self.page.wait_for_function(shown, arg=element, polling=50, timeout=timeout_ms)

    def wait_for_status(self, text: str, timeout_ms: float = 30_000) -> None:
        """Until the panel says what begins so; looks often, to be told at once."""
        said = "([panel, text]) => panel.querySelector('[role=status]')?.innerText.startsWith(text)"
        arg = [self.root.element_handle(), text]
        self.page.wait_for_function(said, arg=arg, polling=20, timeout=timeout_ms)

    def start_run(self) -> None:
        """Press the button; back when the panel says that it runs."""
        self.button("Run it").click()
        expect(self.button("Cancel")).to_be_enabled(timeout=10_000)

    def photograph(self, path: Path) -> None:
        """All of the panel, however much of it is in view."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.root.scroll_into_view_if_needed()
        self.page.wait_for_timeout(200)
        self.root.screenshot(path=path)
