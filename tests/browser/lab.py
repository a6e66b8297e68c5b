"""A Jupyter server of one's own and a headless Chromium that looks at it: for tests and benchmarks."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil
from playwright.sync_api import Browser, sync_playwright

__all__ = ["Lab", "chromium", "chromium_path", "serving"]

REPOSITORY = Path(__file__).parents[2]
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Neither sandbox (it may run as root) nor GPU, and nothing that calls home.
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
_MODULES = {"lab": "jupyterlab", "notebook": "notebook"}
_PATHS = {"lab": "lab/tree/{}?token={}&reset", "notebook": "notebooks/{}?token={}"}


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab or Notebook 7: where it listens, what it serves, what it said."""

    port: int
    token: str
    root: Path
    log_file: Path
    app: str  # "lab" or "notebook"
    pid: int

    def url(self, notebook: str) -> str:
        """Where a notebook opens, by its path under ``root``."""
        return f"http://127.0.0.1:{self.port}/{_PATHS[self.app].format(notebook, self.token)}"

    def complaints(self) -> list[str]:
        """Lines of the server's log that tell of an error."""
        lines = self.log_file.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line.startswith(("[E ", "[C ", "Traceback"))]

    def processes(self, module: str) -> list[psutil.Process]:
        """Those below the server, kernels' children included, that run a module whose name begins so."""
        return [p for p in psutil.Process(self.pid).children(recursive=True) if module in _command_of(p)]


def _command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def serving(root: Path, log_file: Path, app: str = "lab") -> Iterator[Lab]:
    """Serve a copy of the notebooks from ``root`` with settings of its own: nobody's Jupyter is touched.

    Args:
        app: ``"lab"`` for JupyterLab, ``"notebook"`` for Notebook 7.
    """
    shutil.copytree(REPOSITORY / "notebooks", root / "notebooks")
    token = secrets.token_hex(16)
    with log_file.open("w", encoding="utf-8") as log:
        command, environment = _command(root, app), _environment(root, token)
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield Lab(_port(server, root, log_file), token, root, log_file, app, server.pid)
        finally:
            _stop(server)


def chromium_path() -> str | None:
    """The system's Chromium, where there is one."""
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser.

    Raises:
        FileNotFoundError: no Chromium is on PATH.
    """
    executable = chromium_path()
    if executable is None:
        raise FileNotFoundError("no Chromium on PATH: install it, e.g. `apt-get install chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


def _command(root: Path, app: str) -> list[str]:
    options = ("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0")
    return [sys.executable, "-m", _MODULES[app], *options, f"--ServerApp.root_dir={root}"]


def _environment(root: Path, token: str) -> dict[str, str]:
    folders = {name: root / f".{name.lower()}" for name in ("CONFIG", "DATA", "RUNTIME")}
    settings = folders["CONFIG"] / "labconfig" / "default_setting_overrides.json"
    settings.parent.mkdir(parents=True)
    shutil.copy(REPOSITORY / "notebooks" / "lab_settings.json", settings)
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
    raise RuntimeError(f"Jupyter did not start:\n{log_file.read_text(encoding='utf-8')}")


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
