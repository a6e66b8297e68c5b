"""What is left of a netem link whose owner was killed: nothing, wherever it was hit."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["POINTS_S", "left_after_kill", "world"]

POINTS_S = tuple(0.15 * point for point in range(20))
"""Seconds after its beginning at which an owner is killed: while it starts, shapes, replays and connects."""

_GONE_WITHIN_S = 2.0
_OWNER = """
import os, sys, tempfile
from workbench.links import LinkTrace, NetemLink
from workbench.profiles import LinkProfile
print("begun", flush=True)
link = NetemLink(LinkProfile(0.02, 8e6, 8e6))
sleeps = [sys.executable, "-c", "import time; time.sleep(600)"]
for place in ("edge", "cloud"):
    link.site(place).start(sleeps, stderr=tempfile.TemporaryFile(), env=dict(os.environ))
link.follow(LinkTrace.outage(at_s=0.05, for_s=0.05), loop=True)
while True:
    for end in link.connect():
        end.close()
"""


def world() -> dict[str, object]:
    """Every namespace that a process is in, every interface here, and the processes of a link."""
    namespaces, ours = set(), set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes()
            if b"workbench.links.netem" in words or b"time.sleep(600)" in words:
                ours.add(process.name)
            namespaces |= {(process / "ns" / kind).readlink() for kind in ("net", "pid", "mnt", "user")}
    interfaces = sorted(path.name for path in Path("/sys/class/net").iterdir())
    return {"namespaces": namespaces, "processes": ours, "interfaces": interfaces}


def left_after_kill(at_s: float) -> dict[str, object]:
    """Kill an owner so long after it began; what differs from before two seconds later."""
    before = world()
    owner = subprocess.Popen([sys.executable, "-c", _OWNER], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        assert owner.stdout.readline() == b"begun\n"
        time.sleep(at_s)
        owner.kill()
        owner.wait()
    deadline = time.monotonic() + _GONE_WITHIN_S
    while (now := world()) != before and time.monotonic() < deadline:
        time.sleep(0.05)
    return {key: now[key] for key in now if now[key] != before[key]}
