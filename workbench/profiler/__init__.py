"""Measures this host: what its own ``DeviceProfile`` says, so that a run here can be predicted.

The measuring is done in a process of its own, under the same settings as the two sides of a run, and kept
in the user's cache folder by processor, threads, library versions and model.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from workbench.cache import content_key, read_cached, write_cached
from workbench.devices.threads import WORKER_ENVIRONMENT, threads_for
from workbench.errors import ThrottleError
from workbench.plan import BITS
from workbench.profiler.fitting import HostTimes, host_profile
from workbench.profiles import DeviceProfile
from workbench.wire import Failure

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["HOST", "calibrate_host", "host"]

HOST = "host"
_VERSION = 2  # of what is measured: older results are measured again
_ROOM = "host"
_QUIET = 0.85  # share of its cores that the measuring had; below, others were at work
_BUSY_KEPT_S = 600.0  # what was measured beside others is soon measured again
_TIMEOUT_S = 600.0  # a large model takes long to load, not to measure


def calibrate_host(
    model: Model, *, bits: Collection[int] = BITS, budget_s: float = 8.0, again: bool = False
) -> DeviceProfile:
    """This host as a device, measured with a model's own stages.

    It is true for this model: another one's layers may suit the processor better or worse. What is measured
    while other programs are at work says so in its sources, and is measured again ten minutes later.

    Args:
        bits: weight widths to measure.
        budget_s: seconds to spend on measuring, besides loading.
        again: measure even if a result is kept.

    Raises:
        ThrottleError: the measuring process failed.
        ModelError: the model cannot be loaded.
    """
    key = content_key(_circumstances(model, bits))
    kept = None if again else read_cached(_ROOM, key)
    if kept is not None and (kept["until"] is None or time.time() < kept["until"]):
        return DeviceProfile.from_dict(kept["profile"])
    times = HostTimes.from_dict({**_measure(model, bits, budget_s), "model": model.name})
    memory_bytes = psutil.virtual_memory().total
    profile = host_profile(model.profile, times, _processor(), memory_bytes, psutil.cpu_count() or 1)
    until = None if times.cpu_share >= _QUIET else time.time() + _BUSY_KEPT_S
    write_cached(_ROOM, key, {"profile": profile.to_dict(), "until": until})
    return profile


def host(model: Model | None = None) -> DeviceProfile:
    """This host as measured with a model, by default the shipped ``tiny``; measured now if never before."""
    if model is None:
        from workbench.models import load_model  # brings torch, which naming a device must not

        model = load_model("tiny")
    return calibrate_host(model)


def _measure(model: Model, bits: Collection[int], budget_s: float) -> dict[str, Any]:
    request = {"model": str(model.source), "bits": sorted(bits, reverse=True), "budget_s": budget_s}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "workbench.profiler.measure"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            env={**os.environ, **WORKER_ENVIRONMENT, "OMP_NUM_THREADS": str(threads_for(model.profile))},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ThrottleError(
            f"measuring this host with {model.name!r} took over {_TIMEOUT_S:.0f} s: try a smaller model"
        ) from error
    answer = _last_line(done.stdout)
    if "failed" in answer:
        raise Failure(answer["failed"], answer["message"]).exception()
    if done.returncode or not answer:
        raise ThrottleError(f"measuring this host with {model.name!r} failed: {done.stderr.strip()[-500:]}")
    return answer


def _last_line(text: str) -> dict[str, Any]:
    lines = text.strip().splitlines()
    found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return found


def _circumstances(model: Model, bits: Collection[int]) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "threads": threads_for(model.profile),
        "libraries": [version(name) for name in ("torch", "transformers", "pyzmq")],
        "model": model.fingerprint,
        "bits": sorted(bits),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
