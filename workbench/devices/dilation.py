"""The throttle that needs no privilege: real work, then a wait until the modelled time."""

from __future__ import annotations

from workbench.devices.base import Throttle, family

__all__ = ["DilationThrottle"]


class DilationThrottle(Throttle):
    """Sets nothing on this host: the stages keep the pace ``dilation``, which stretches memory as compute.

    That a host is too slow to pose as the device shows step by step: ``Pace.slowness``, and the notes of a
    trace.
    """

    kind = "dilation"
    models = ("compute", "memory bandwidth", "overhead per block and pass")
    omits = ("memory size: a plan that does not fit is refused before it starts, nothing is limited",)
    pace = "dilation"

    def hold(self, pid: int) -> None:
        self._check_open()
        family(pid)

    def close(self) -> None:
        self._closed = True
