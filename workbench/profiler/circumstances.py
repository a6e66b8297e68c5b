"""On what something was measured: what its result is kept by."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from workbench.devices.threads import threads_for
from workbench.profiles import HostFacts, ModelProfile

__all__ = ["circumstances", "host_facts", "is_busy", "is_kept", "kept_until", "processor"]

_LIBRARIES = ("torch", "transformers", "pyzmq")
_QUIET = 0.85  # share of its cores that the measuring had; below, others were at work
_BUSY_KEPT_S = 600.0  # what was measured beside others is soon measured again


def circumstances(model: ModelProfile) -> dict[str, Any]:
    """All of this host that a measurement of the model depends on."""
    return {
        "processor": processor(),
        "cores": psutil.cpu_count(),
        "threads": threads_for(model),
        "libraries": list(_versions().values()),
    }


def host_facts(model: ModelProfile, cpu_share: float) -> HostFacts:
    """What a profile says of this host, now."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    cores = psutil.cpu_count() or 1
    return HostFacts(processor(), cores, threads_for(model), _versions(), now, round(cpu_share, 3))


def is_busy(cpu_share: float) -> bool:
    """Whether other programs were at work while something was measured."""
    return cpu_share < _QUIET


def kept_until(cpu_share: float) -> float | None:
    """When to measure again, as ``time.time``; None for never."""
    return time.time() + _BUSY_KEPT_S if is_busy(cpu_share) else None


def is_kept(until: float | None) -> bool:
    """Whether a result is not to be measured again yet."""
    return until is None or time.time() < until


@cache
def processor() -> str:
    """What the processor is called."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES}
