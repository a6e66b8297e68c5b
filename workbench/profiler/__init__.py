"""Measures this host: what its own ``DeviceProfile`` says, so that a run here can be predicted.

The measuring is done in a process of its own, under the same settings as the two sides of a run, and kept
in the user's cache folder by processor, threads, library versions and model.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

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
OnStep = Callable[[str], None]
_VERSION = 2  # of what is measured: older results are measured again
_ROOM = "host"
_QUIET = 0.85  # share of its cores that the measuring had; below, others were at work
_BUSY_KEPT_S = 600.0  # what was measured beside others is soon measured again
_TIMEOUT_S = 600.0  # a large model takes long to load, not to measure


def calibrate_host(
    model: Model,
    *,
    bits: Collection[int] = BITS,
    budget_s: float = 8.0,
    again: bool = False,
    on_step: OnStep | None = None,
) -> DeviceProfile:
    """This host as a device, measured with a model's own stages.

    It is true for this model: another one's layers may suit the processor better or worse. What is measured
    while other programs are at work says so in its sources, and is measured again ten minutes later.

    Args:
        bits: weight widths to measure.
        budget_s: seconds to spend on measuring, besides loading.
        again: measure even if a result is kept.
        on_step: is told what is measured next.

    Raises:
        ThrottleError: the measuring process failed.
        ModelError: the model cannot be loaded.
    """
    key = content_key(_circumstances(model, bits))
    kept = None if again else read_cached(_ROOM, key)
    if kept is not None and (kept["until"] is None or time.time() < kept["until"]):
        return DeviceProfile.from_dict(kept["profile"])
    times = HostTimes.from_dict({**_measure(model, bits, budget_s, on_step), "model": model.name})
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


def _measure(model: Model, bits: Collection[int], budget_s: float, on_step: OnStep | None) -> dict[str, Any]:
    request = {"model": str(model.source), "bits": sorted(bits, reverse=True), "budget_s": budget_s}
    environment = {**os.environ, **WORKER_ENVIRONMENT, "OMP_NUM_THREADS": str(threads_for(model.profile))}
    with tempfile.TemporaryFile() as errors:
        answer, in_time = _answer(request, environment, errors, on_step)
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()[-500:]
    if not in_time:
        raise ThrottleError(
            f"measuring this host with {model.name!r} took over {_TIMEOUT_S:.0f} s: try a smaller model"
        )
    if "failed" in answer:
        raise Failure(answer["failed"], answer["message"]).exception()
    if not answer:
        raise ThrottleError(f"measuring this host with {model.name!r} failed: {said}")
    return answer


def _answer(
    request: Mapping[str, Any], environment: Mapping[str, str], errors: IO[bytes], on_step: OnStep | None
) -> tuple[dict[str, Any], bool]:
    """The measuring process's last line, empty where it died before; and whether it was in time."""
    with subprocess.Popen(
        [sys.executable, "-m", "workbench.profiler.measure"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment,
        text=True,
    ) as process:
        late = threading.Event()
        timer = threading.Timer(_TIMEOUT_S, _end, (process, late))
        timer.start()
        try:
            return _converse(process, request, on_step), not late.is_set()
        finally:
            timer.cancel()
            process.kill()  # it has ended, unless this one was interrupted


def _end(process: subprocess.Popen[str], late: threading.Event) -> None:
    late.set()
    process.kill()


def _converse(
    process: subprocess.Popen[str], request: Mapping[str, Any], on_step: OnStep | None
) -> dict[str, Any]:
    """The last line of what it answers; empty where it died before."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(request))
        process.stdin.close()
    for line in process.stdout:
        answer: dict[str, Any] = json.loads(line)
        if "step" not in answer:
            return answer
        if on_step is not None:
            on_step(answer["step"])
    return {}


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
