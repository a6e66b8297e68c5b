"""A share of a GPU's memory for a process, and what a stage does to be held to it."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.devices.base import Throttle, family
from workbench.errors import ThrottleError

__all__ = ["GpuMemoryThrottle", "apply_options"]

_FRACTION = "gpu_memory_fraction"


class GpuMemoryThrottle(Throttle):
    """Lets a stage allocate a share of its CUDA device's memory.

    The stage sets it for itself (``options``, ``apply_options``) and reports what it read back (``confirm``);
    an allocation beyond it raises ``torch.cuda.OutOfMemoryError`` there, which ends the request and not the
    stage.

    Raises:
        ThrottleError: not 0 < fraction <= 1.
    """

    kind = "gpu-memory"
    models = ("memory size, of what torch allocates",)
    omits = ("compute", "memory bandwidth", "memory that CUDA itself keeps")

    def __init__(self, fraction: float) -> None:
        super().__init__()
        if not 0 < fraction <= 1:
            raise ThrottleError(f"a share of a GPU's memory is above 0 and at most 1, got {fraction}")
        self._fraction = float(fraction)

    def options(self) -> dict[str, float]:
        return {_FRACTION: self._fraction}

    def hold(self, pid: int) -> None:
        self._check_open()
        family(pid)

    def close(self) -> None:
        self._closed = True


def apply_options(options: Mapping[str, float]) -> dict[str, float]:
    """Set in this process what a throttle's ``options`` say, and read it back. Before anything is loaded.

    A GPU's share is of the current CUDA device.

    Raises:
        ThrottleError: an option is not known, or there is no CUDA device to set it on.
    """
    unknown = set(options) - {_FRACTION}
    if unknown:
        raise ThrottleError(f"a stage cannot set {sorted(unknown)}: it knows {_FRACTION!r}")
    return {_FRACTION: _limit(options[_FRACTION])} if options else {}


def _limit(fraction: float) -> float:
    import torch  # the words and the keepers of throttles load without it

    if not torch.cuda.is_available():
        raise ThrottleError(
            "a share of GPU memory needs a CUDA device: use throttle='cgroup' for this host's own memory"
        )
    torch.cuda.set_per_process_memory_fraction(fraction)
    return float(torch.cuda.get_per_process_memory_fraction())
