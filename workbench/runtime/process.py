"""The two sides as operating-system processes, and the channel by which a parent steers them.

Commands go in as JSON lines on standard input, events come out as JSON lines on standard output. When its
parent goes away, however it ends, a child reads end-of-file and ends too: nothing is left behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from workbench.errors import CancelledRunError, PeerLostError, WorkbenchError
from workbench.links import Process
from workbench.wire import Failure, failure_of

__all__ = ["Child", "ParentChannel", "error_of", "run_child"]

_GRACE_S = 2.0  # how long a child may take to end by itself
_STDERR_TAIL = 2000
_STOP_LATENCY_S = 0.05  # how late a stop may be noticed


class Child:
    """A process of ours, as its parent sees it. Use from one thread; ``send`` from any.

    Args:
        module: what it runs, with ``python -m``.
        config: the first line that it gets; None where the owner sends it later.
        start: starts it as ``subprocess.Popen`` does: here, or where a link says.
    """

    def __init__(
        self,
        module: str,
        config: Mapping[str, Any] | None,
        environment: Mapping[str, str],
        start: Callable[..., Process] = subprocess.Popen,
    ) -> None:
        self.name = module.rsplit(".", 1)[-1]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close)
        self._process = start(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C belongs to the parent, which then closes us
        )
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name=f"{self.name}-events", daemon=True)
        self._reader.start()
        if config is not None:
            self.send(config)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, command: Mapping[str, Any]) -> None:
        """Hand a command over.

        Raises:
            PeerLostError: the process has ended.
        """
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError, OSError) as error:
            raise self._lost() from error

    def receive(
        self, timeout_s: float, *, stop: threading.Event | None = None, of: int | None = None
    ) -> dict[str, Any]:
        """The next event.

        Args:
            stop: set from any thread to wait no longer; what the process does is left as it is.
            of: only an error of this request, or of none, is raised; others come as events.

        Raises:
            CancelledRunError: ``stop`` was set.
            PeerLostError: the process ended, or said nothing for ``timeout_s``.
            WorkbenchError: the error that the process reported.
        """
        try:
            event = self._next(timeout_s, stop)
        except queue.Empty:
            raise PeerLostError(
                f"the {self.name} process said nothing for {timeout_s:.0f} s{self._tail()}"
            ) from None
        if event is None:
            raise self._lost()
        if event.get("event") == "error" and (of is None or event.get("request") in (None, of)):
            raise error_of(event)
        return event

    def poll(self, timeout_s: float) -> dict[str, Any] | None:
        """The next event, an error of a request included; None where none came in time.

        Raises:
            PeerLostError: the process ended.
        """
        try:
            event = self._events.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None
        if event is None:
            raise self._lost()
        return event

    def _next(self, timeout_s: float, stop: threading.Event | None) -> dict[str, Any] | None:
        if stop is None:
            return self._events.get(timeout=timeout_s)
        deadline = time.monotonic() + timeout_s
        while not stop.is_set():
            with contextlib.suppress(queue.Empty):
                return self._events.get(timeout=_STOP_LATENCY_S)
            if time.monotonic() > deadline:
                raise queue.Empty
        raise CancelledRunError("it was stopped")

    def kill(self) -> None:
        """End the process at once, whatever it does. May be called again."""
        self._process.kill()
        self.close()

    def close(self) -> None:
        """End the process: end-of-file, then SIGTERM, then SIGKILL. May be called again."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        for end in (lambda: None, self._process.terminate, self._process.kill):
            end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)
                break
        self._reader.join(_GRACE_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._stderr.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            for line in self._process.stdout:
                self._events.put(json.loads(line))
        self._events.put(None)

    def _lost(self) -> PeerLostError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        return PeerLostError(f"the {self.name} process ended with code {self._process.poll()}{self._tail()}")

    def _tail(self) -> str:
        if self._stderr.closed:
            return ""
        self._stderr.seek(max(0, os.fstat(self._stderr.fileno()).st_size - _STDERR_TAIL))
        text = self._stderr.read().decode(errors="replace").strip()
        return f"; its last words:\n{text}" if text else ""


def error_of(event: Mapping[str, Any]) -> WorkbenchError:
    """What an error event reports."""
    return Failure(event["error"], event["message"]).exception()


class ParentChannel:
    """The same channel, as the child sees it.

    Takes standard output for itself: whatever a library prints goes to standard error instead.
    """

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        self._commands: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.cancelled = threading.Event()
        self.cancels = [self.cancelled]  # set by a cancel command, and once the parent is gone
        self.closed = threading.Event()
        threading.Thread(target=self._read, name="commands", daemon=True).start()

    def receive(self) -> dict[str, Any] | None:
        """The next command; None once the parent is gone."""
        return self._commands.get()

    def send(self, event: Mapping[str, Any]) -> None:
        """Tell the parent. Silent once it is gone."""
        with self._lock, contextlib.suppress(OSError):
            self._out.write(json.dumps(event).encode() + b"\n")

    def fail(self, error: BaseException, request: int | None = None) -> None:
        """Tell the parent what went wrong, and with which of its requests."""
        failure = failure_of(error)
        event = {"event": "error", "error": failure.error, "message": failure.message}
        self.send(event if request is None else {**event, "request": request})

    def _read(self) -> None:
        # Not sys.stdin.buffer: while a thread reads it, the interpreter cannot end but by aborting.
        for line in open(0, "rb", closefd=False):  # noqa: SIM115
            command = json.loads(line)
            if command.get("command") == "cancel":
                self._cancel()
            else:
                self._commands.put(command)
        self.closed.set()
        self._cancel()
        self._commands.put(None)
        threading.Thread(target=_end_after_grace, daemon=True).start()

    def _cancel(self) -> None:
        for cancelled in self.cancels:
            cancelled.set()


def _end_after_grace() -> None:
    """A step that never returns must not outlive the parent."""
    time.sleep(_GRACE_S)
    os._exit(1)


def run_child(work: Callable[[ParentChannel, Mapping[str, Any]], None]) -> None:
    """What a child's ``main`` does: take the configuration, work, and tell the parent whatever goes wrong."""
    channel = ParentChannel()
    config = channel.receive()
    if config is None:
        return
    try:
        work(channel, config)
    except Exception as error:  # noqa: BLE001  (whatever it is, the parent has to hear of it)
        channel.fail(error)
