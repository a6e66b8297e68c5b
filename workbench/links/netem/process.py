"""A process in a path's namespace, steered like one of our own children."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["NamespaceProcess"]


class NamespaceProcess:
    """What a keeper has started, with the methods of ``subprocess.Popen`` that a parent needs.

    Args:
        pidfd: owned by this object; readable once the process has ended.
        ask_exit_code: asks the keeper, whose child it is.
    """

    def __init__(self, pidfd: int, stdin: Any, stdout: Any, ask_exit_code: Callable[[], int | None]) -> None:
        self.stdin, self.stdout = stdin, stdout
        self.pid = _host_pid(pidfd)
        self._pidfd = pidfd
        self._ask_exit_code = ask_exit_code
        self._code: int | None = None

    def poll(self) -> int | None:
        return self._code if self._code is not None or not self._ended(0.0) else self._end()

    def wait(self, timeout: float | None = None) -> int:
        if self._code is not None:
            return self._code
        if not self._ended(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return self._end()

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def _ended(self, timeout_s: float | None) -> bool:
        return bool(select.select([self._pidfd], [], [], timeout_s)[0])

    def _end(self) -> int:
        code = self._ask_exit_code()
        self._code = -signal.SIGKILL if code is None else code  # the keeper is gone: so it was killed
        os.close(self._pidfd)
        return self._code


def _host_pid(pidfd: int) -> int:
    """The process's number as this process's /proc shows it."""
    info = Path(f"/proc/self/fdinfo/{pidfd}").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in info.splitlines() if line.startswith("Pid:"))
