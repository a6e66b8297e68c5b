"""Servers that the tests start, a browser that looks at them, and where pictures go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.lab import Lab, chromium, chromium_path, serving


@pytest.fixture(scope="session")
def artifacts(repository: Path) -> Path:
    """Where screenshots and logs are left for a person to look at."""
    folder = repository / "results" / "browser"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if chromium_path() is None:
        pytest.skip("no Chromium on PATH: install it, e.g. `apt-get install chromium`, then `make browser`")
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 1300})
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, artifacts: Path) -> Iterator[Lab]:
    """A JupyterLab."""
    with serving(tmp_path_factory.mktemp("lab"), artifacts / "server.log") as running:
        yield running


@pytest.fixture(scope="session")
def notebook_app(tmp_path_factory: pytest.TempPathFactory, artifacts: Path) -> Iterator[Lab]:
    """A Notebook 7."""
    with serving(tmp_path_factory.mktemp("notebook"), artifacts / "notebook.log", "notebook") as running:
        yield running
