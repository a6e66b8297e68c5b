"""Runs a measuring module where the kernel has netem: on this host, or inside user-mode Linux on it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kernel import netem_here
from workbench.links.netem import uml

__all__ = ["REPOSITORY", "host_facts", "run_where_netem_is"]

REPOSITORY = Path(__file__).resolve().parent.parent.parent
_TIMEOUT_S = 3000.0
# A page fault takes 60 microseconds in user-mode Linux: what a process was given and freed, it keeps.
_KEEP_MEMORY = ("MALLOC_TRIM_THRESHOLD_=268435456", "MALLOC_MMAP_THRESHOLD_=33554432")


def run_where_netem_is(module: str, *arguments: str) -> Any:
    """What ``python -m module ... --json FILE`` writes down."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "record.json"
        command = [sys.executable, "-m", module, *arguments, "--json", str(file)]
        if netem_here():
            subprocess.run(command, cwd=REPOSITORY, check=True)
        else:
            with _on_one_processor():
                outcome = uml.run(["env", *_KEEP_MEMORY, *command], folder=REPOSITORY, timeout_s=_TIMEOUT_S)
            print(outcome.err, file=sys.stderr)
            if outcome.code:
                raise SystemExit(f"{module} failed in user-mode Linux with code {outcome.code}")
        return json.loads(file.read_text(encoding="utf-8"))


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """User-mode Linux has one processor, and is some processes that wake each other at every system call and
    page fault: spread over two of this host's, the same step takes now one time, now twice that."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(own)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def host_facts(netem_kernel: str) -> dict[str, Any]:
    """What a record says of the machine."""
    place = "this host's" if netem_kernel == platform.release() else "user-mode Linux on this host"
    return {
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
        "netem kernel": f"{netem_kernel} ({place})",
    }
