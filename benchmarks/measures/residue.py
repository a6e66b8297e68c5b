"""Control groups that outlive an owner which is killed at any moment: none, two seconds later."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.control_groups import groups, version_here

__all__ = ["groups_left_after_kills"]

_KILLS = 20
_GONE_WITHIN_S = 2.0
_USUAL_S = 0.5  # what an owner takes to hold its stage
_OWNER = """
import subprocess, sys
from workbench.devices import CgroupThrottle
stage = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
CgroupThrottle(0.5, 2**28).hold(stage.pid)
stage.wait()
"""


def groups_left_after_kills() -> int:
    """How many, over twenty kills; 0 where this system makes no groups at all."""
    if not version_here():
        return 0
    return sum(_left(number * 2 * _USUAL_S / _KILLS) for number in range(_KILLS))


def _left(at_s: float) -> int:
    before = groups()
    with subprocess.Popen([sys.executable, "-c", _OWNER]) as owner:
        time.sleep(at_s)
        owner.kill()
    deadline = time.monotonic() + _GONE_WITHIN_S
    while groups() - before and time.monotonic() < deadline:
        time.sleep(0.05)
    return len(groups() - before)
