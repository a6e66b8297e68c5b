"""A page so slow that anywidget gives its widgets up: figure, table and code follow all the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.lab import Lab
from tests.browser.pages import Watch, complaints, opened, run_all
from tests.browser.panel import Panel

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# anywidget waits for two seconds. A page that takes longer, on any machine: one where they are over at once.
IMPATIENT = """const given = AbortSignal.timeout.bind(AbortSignal);
AbortSignal.timeout = (ms) => given(ms === 2000 ? 1 : ms);"""
CELLS = (
    """import workbench as wb
explorer = wb.explore(wb.load_model("tiny"), link="ethernet", accuracy=False)
settings = {"objectives": ("latency", "cloud_memory"), "storage": "slow.db", "explorer": explorer}
search = wb.search(wb.load_model("tiny"), link="ethernet", **settings)
search.until(4)
search.wait()""",
    "search",
    "search.choose(2)\nexplorer",
)


@pytest.fixture
def page(browser: Browser, lab: Lab) -> Iterator[Page]:
    """A notebook with both panels, run on such a page."""
    context = browser.new_context(viewport={"width": 1400, "height": 2000})
    context.add_init_script(IMPATIENT)
    made = context.new_page()
    watch = Watch(made)
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), lab.root / "slow.ipynb")
    run_all(made, opened(made, lab, "slow.ipynb"))
    yield made
    assert watch.given_up
    assert (watch.errors, complaints(made), lab.complaints()) == ([], [], [])
    context.close()


def test_all_is_shown_and_follows(page: Page) -> None:
    search, explorer = Panel(page, 0), Panel(page, 1)
    rows = search.root.locator(".dt-container tbody tr")
    expect(rows).to_have_count(4)
    assert search.trials() == [0, 1, 2, 3]
    for chosen in (3, 2):
        rows.nth(chosen).click()
        split = re.search(r"split at (\d)", rows.nth(chosen).inner_text())
        assert split is not None
        explorer.wait_for_split(int(split[1]))
        for panel in (search, explorer):
            expect(panel.root.locator(".wb-copy + pre")).to_contain_text(f"at={split[1]}")
