"""This machine as a device, measured beside everything else."""

from __future__ import annotations

import threading
from collections.abc import Callable

from workbench import deployment
from workbench.errors import WorkbenchError
from workbench.profiles import DeviceProfile

__all__ = ["Calibration"]


class Calibration:
    """Measures this machine in a thread of its own, one at a time. Callbacks run in that thread."""

    def __init__(
        self, done: Callable[[DeviceProfile], None], failed: Callable[[WorkbenchError], None]
    ) -> None:
        self._done, self._failed = done, failed
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Measure, which takes seconds the first time. Returns at once; nothing while one goes on."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._measure, name="calibration", daemon=True)
            self._thread.start()

    def _measure(self) -> None:
        try:
            self._done(deployment.device(deployment.HOST))
        except WorkbenchError as error:
            self._failed(error)
