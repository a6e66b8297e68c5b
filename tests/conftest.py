"""What every test runs under: one thread, a cache of its own, no network, and no process left behind."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# Before anything imports torch: OpenMP reads these once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WORKBENCH_CACHE"] = tempfile.mkdtemp(prefix="workbench-test-cache-")

import psutil
import pytest
from hypothesis import settings

from tests.kernel import pytest_configure, pytest_runtest_protocol, pytest_runtestloop

__all__ = ["pytest_configure", "pytest_runtest_protocol", "pytest_runtestloop"]

# A shell has its background jobs ignore SIGINT, and so all that they start: tests of Ctrl-C need it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test may depend on speed, and a failure in CI must come back here.
settings.register_profile("workbench", deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.load_profile("workbench")

_STANDARD_LIBRARY_HELPERS = ("resource_tracker", "forkserver")


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _can_be_root() -> bool:
    return os.geteuid() == 0


def _has_chromium() -> bool:
    return any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))


# CI has to run everything but what needs a GPU: there, a missing browser is a failure and no reason to skip.
_NEEDS = {"gpu": (_has_cuda, "no CUDA device")}
if "CI" not in os.environ:
    _NEEDS |= {"root": (_can_be_root, "not root"), "browser": (_has_chromium, "no Chromium on PATH")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for mark, (available, reason) in _NEEDS.items():
        marked = [item for item in items if item.get_closest_marker(mark)]
        if marked and not available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def _leaves_nothing() -> Iterator[None]:
    """No test may leave a process running, nor the tests their cache."""
    yield
    shutil.rmtree(os.environ["WORKBENCH_CACHE"], ignore_errors=True)
    children = psutil.Process().children(recursive=True)
    gone, _ = psutil.wait_procs(children, timeout=5)
    left = [_described(child) for child in children if child not in gone]
    left = [text for text in left if text and not any(name in text for name in _STANDARD_LIBRARY_HELPERS)]
    assert not left, f"processes were left behind: {left}"


def _described(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline())}" if process.is_running() else ""
    except psutil.Error:
        return ""


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds the package, data, notebooks and benchmarks."""
    return Path(__file__).parent.parent


@pytest.fixture(scope="session")
def gone() -> Callable[[int], bool]:
    """Says whether a process ends within a few seconds."""

    def ends(pid: int, within_s: float = 5.0) -> bool:
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
            time.sleep(0.05)
        return False

    return ends
