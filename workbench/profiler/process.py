"""The measuring process, seen from the one that asks: under the settings of a run's two sides."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Mapping
from typing import IO, TYPE_CHECKING, Any

from workbench.devices.threads import WORKER_ENVIRONMENT, threads_for
from workbench.errors import ThrottleError
from workbench.wire import Failure

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["OnStep", "ask"]

OnStep = Callable[[str], None]
_TIMEOUT_S = 600.0  # a large model takes long to load, not to measure


def ask(
    task: str, model: Model, bits: Collection[int], budget_s: float, on_step: OnStep | None
) -> dict[str, Any]:
    """What the measuring process answers to one task; it ends with this call, however that ends, and what it
    started ends of itself when it does.

    Raises:
        ThrottleError: it died, or took too long.
        WorkbenchError: what it failed with.
    """
    widths = sorted(bits, reverse=True)
    request = {"task": task, "model": model.reference, "bits": widths, "budget_s": budget_s}
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
        if "step" in answer and on_step is not None:
            on_step(answer["step"])
        if not {"step", "text"} & set(answer):  # a text is told for the time that it takes
            return answer
    return {}
