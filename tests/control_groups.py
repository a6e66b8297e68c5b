"""Which control groups this machine has: tests of either version say by their parameters where they run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from workbench.devices.keeper import NoGroupsError, find_site

WAITS = "import sys; sys.stdin.read()"  # a stage: ends when its owner does


def version_here() -> int:
    """1 or 2; 0 where no group can be made."""
    try:
        return find_site().version
    except (NoGroupsError, OSError):
        return 0


# Where there is no v2, user-mode Linux has it: tests marked so run there.
_V2_MARKS = [pytest.mark.uml] if version_here() != 2 else []
_V1_MARKS = [pytest.mark.skipif(version_here() != 1, reason="no control groups of version 1 may be written")]
V1 = pytest.param("cgroup-v1", marks=_V1_MARKS)
V2 = pytest.param("cgroup-v2", marks=_V2_MARKS)


def groups() -> set[Path]:
    """All of ours that exist."""
    return {folder for parent in find_site().folders for folder in parent.glob("workbench-*")}


def passed_on() -> str:
    """What the parent of ours passes on to them; v2 only."""
    file = find_site().folders[0] / "cgroup.subtree_control"
    return file.read_text(encoding="utf-8") if file.exists() else ""


@contextmanager
def stage(script: str = WAITS, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process to hold: quick to start, and ended in any case."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", script], **pipes, **options) as process:
        try:
            yield process
        finally:
            process.kill()
