"""Tests that need another kernel than this host's run inside user-mode Linux: two boots side by side for all.

It has one processor, so two halve the time where there are two: each has its own network and control groups.

``netem`` tests go there where this kernel has no netem, ``uml`` tests always (for control groups of
version 2, for instance). Each one's report comes back and counts as if it had run here.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from workbench.errors import LinkError
from workbench.links.netem import NetemLink, uml
from workbench.profiles import LinkProfile

_INSIDE = "WORKBENCH_TEST_REPORTS"  # the file that takes reports, in the kernel that this is about
_TIMEOUT_S = 1500.0
_BOOTS = 2 if (os.cpu_count() or 1) > 1 else 1  # with fewer processors than that, timing would suffer
_REPORTS = pytest.StashKey[dict[str, list[Any]]]()


@cache
def netem_here() -> bool:
    """Whether this host's own kernel shapes a link."""
    try:
        with NetemLink(LinkProfile(0.01, 1e7, 1e7)):
            return True
    except LinkError:
        return False


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Boot before the first test: no single one's time-out is to count for all of them."""
    inside = [item for item in session.items if _belongs_inside(item)]
    slow_first = sorted(inside, key=lambda item: item.get_closest_marker("slow") is None)
    wanted = [item.nodeid for item in slow_first]  # dealt out in turn: neither boot gets all slow ones
    if wanted and uml.available() and not session.config.option.collectonly:
        session.stash[_REPORTS] = _run_inside(session, wanted)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Report what happened to a test in there, in place of running it here."""
    if not _belongs_inside(item):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in item.session.stash.get(_REPORTS, {}).get(item.nodeid) or [_never_ran(item)]:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    item.session._setupstate.teardown_exact(nextitem)  # what the test before left up for this one
    return True


def pytest_configure(config: pytest.Config) -> None:
    if _INSIDE in os.environ:
        config.pluginmanager.register(_Reporter(config), "workbench-reporter")


class _Reporter:
    """In there: writes each report down for the run outside."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        with Path(os.environ[_INSIDE]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(data) + "\n")


def _belongs_inside(item: pytest.Item) -> bool:
    if _INSIDE in os.environ:
        return False
    if item.get_closest_marker("uml"):
        return True
    return item.get_closest_marker("netem") is not None and not netem_here()


def _run_inside(session: pytest.Session, wanted: list[str]) -> dict[str, list[Any]]:
    """Boot, run all tests that belong there, and read their reports."""
    with ThreadPoolExecutor(_BOOTS) as boots:
        shares = [wanted[first::_BOOTS] for first in range(min(_BOOTS, len(wanted)))]
        lines = [line for found in boots.map(partial(_boot, session.config), shares) for line in found]
    reports: dict[str, list[Any]] = {}
    for line in lines:
        data = json.loads(line)
        report = session.config.hook.pytest_report_from_serializable(config=session.config, data=data)
        reports.setdefault(report.nodeid, []).append(report)
    return reports


def _boot(config: pytest.Config, wanted: list[str]) -> list[str]:
    """The reports of these tests, a line each."""
    with TemporaryDirectory(dir=os.environ["WORKBENCH_CACHE"]) as scratch:
        file = Path(scratch) / "reports-from-user-mode-linux"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *wanted]
        kept = {name: value for name, value in os.environ.items() if name in ("CI", "OMP_NUM_THREADS")}
        environment = {**kept, _INSIDE: str(file)}
        outcome = uml.run(command, folder=config.rootpath, environment=environment, timeout_s=_TIMEOUT_S)
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    if not lines:
        raise LinkError(f"no test ran inside user-mode Linux:\n{outcome.out[-3000:]}\n{outcome.err[-3000:]}")
    return lines


def _never_ran(item: pytest.Item) -> pytest.TestReport:
    """In CI everything has to run; elsewhere a reader learns what to install."""
    if uml.available():
        outcome, why = "failed", "it did not come to run inside user-mode Linux"
    else:
        outcome = "failed" if "CI" in os.environ else "skipped"
        why = f"this kernel shapes no link, and there is no user-mode Linux that would: {uml.INSTALL}"
    longrepr = (str(item.path), item.location[1] or 0, f"Skipped: {why}") if outcome == "skipped" else why
    return pytest.TestReport(item.nodeid, item.location, {}, outcome, longrepr, "setup")  # type: ignore[arg-type]
