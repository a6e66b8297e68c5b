"""A JupyterLab of the tests' own and a headless Chromium that looks at it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Neither sandbox (the tests may run as root) nor GPU, and nothing that calls home.
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START_TIMEOUT_S = 90


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: where it listens, what it serves, what it said."""

    port: int
    token: str
    root: Path
    log_file: Path

    def url(self, notebook: str) -> str:
        return f"http://127.0.0.1:{self.port}/lab/tree/{notebook}?token={self.token}&reset"

    def complaints(self) -> list[str]:
        """Lines of the server's log that tell of an error."""
        lines = self.log_file.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line.startswith(("[E ", "[C ", "Traceback"))]


@pytest.fixture(scope="session")
def artifacts(repository: Path) -> Path:
    """Where screenshots and logs are left for a person to look at."""
    folder = repository / "results" / "browser"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if executable is None:
        pytest.skip("no Chromium on PATH: install it, e.g. `apt-get install chromium`, then `make browser`")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 1300})
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, repository: Path, artifacts: Path) -> Iterator[Lab]:
    """Serves a copy of the notebooks with settings of its own, so that nobody's JupyterLab is touched."""
    root = tmp_path_factory.mktemp("lab")
    shutil.copytree(repository / "notebooks", root / "notebooks")
    log_file, token = artifacts / "server.log", secrets.token_hex(16)
    with log_file.open("w", encoding="utf-8") as log:
        environment = _environment(root, repository, token)
        server = subprocess.Popen(_command(root), env=environment, stdout=log, stderr=log)
        try:
            yield Lab(_port(server, root, log_file), token, root, log_file)
        finally:
            _stop(server)


def _command(root: Path) -> list[str]:
    options = ("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0")
    return [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={root}"]


def _environment(root: Path, repository: Path, token: str) -> dict[str, str]:
    folders = {name: root / f".{name.lower()}" for name in ("CONFIG", "DATA", "RUNTIME")}
    settings = folders["CONFIG"] / "labconfig" / "default_setting_overrides.json"
    settings.parent.mkdir(parents=True)
    shutil.copy(repository / "notebooks" / "lab_settings.json", settings)
    return {
        **os.environ,
        **{f"JUPYTER_{name}_DIR": str(folder) for name, folder in folders.items()},
        "JUPYTERLAB_SETTINGS_DIR": str(root / ".settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(root / ".workspaces"),
        "IPYTHONDIR": str(root / ".ipython"),
        "JUPYTER_TOKEN": token,
    }


def _port(server: subprocess.Popen[bytes], root: Path, log_file: Path) -> int:
    """The port that the system gave: the server writes it down once it listens."""
    facts = root / ".runtime" / f"jpserver-{server.pid}.json"
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        if facts.exists() and (port := _answering_port(facts)):
            return port
        time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log_file.read_text(encoding='utf-8')}")


def _answering_port(facts: Path) -> int | None:
    try:
        port = int(json.loads(facts.read_text(encoding="utf-8"))["port"])
        with urlopen(f"http://127.0.0.1:{port}/api", timeout=5):
            return port
    except (URLError, ConnectionError, json.JSONDecodeError):
        return None


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(timeout=20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
