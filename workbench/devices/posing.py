"""Which throttle with which numbers makes a host pose as a device."""

from __future__ import annotations

from workbench.devices.affinity import AffinityThrottle
from workbench.devices.base import Throttle
from workbench.devices.cgroup import CgroupThrottle
from workbench.devices.dilation import DilationThrottle
from workbench.devices.gpu import GpuMemoryThrottle
from workbench.devices.threads import usable_cores
from workbench.errors import ThrottleError, UnknownNameError
from workbench.profiles import DeviceProfile

__all__ = ["THROTTLES", "make_throttle"]

THROTTLES: dict[str, type[Throttle]] = {
    "dilation": DilationThrottle,
    "cgroup": CgroupThrottle,
    "affinity": AffinityThrottle,
    "gpu-memory": GpuMemoryThrottle,
}

_WHOLE_CORES = 0.1  # how far from whole cores a device may be for affinity to pose as it


def make_throttle(
    kind: str, device: DeviceProfile, host: DeviceProfile | None = None, *, threads: int | None = None
) -> Throttle:
    """A throttle that makes this host pose as a device.

    ``cgroup`` and ``affinity`` take as many of the host's cores as come to the device's operations per second
    at 16 bits, ``cgroup`` the device's memory too; ``gpu-memory`` takes the device's share of the memory of
    the card that ``host`` describes.

    Args:
        host: what this host can do, as measured; ``dilation`` needs none.
        threads: that the host was measured with; None for as many as it has cores.

    Raises:
        UnknownNameError: no throttle is called so.
        ThrottleError: the host is too slow or too small to pose as the device, or it has to be measured.
    """
    if kind not in THROTTLES:
        raise UnknownNameError("throttle", kind, THROTTLES)
    if kind == "dilation":
        return DilationThrottle()
    if host is None:
        raise ThrottleError(
            f"throttle {kind!r} takes a share of this host, which has to be measured for it: give "
            "wb.device('host'), or use throttle='dilation'"
        )
    if kind == "gpu-memory":
        return GpuMemoryThrottle(_gpu_share(device, host))
    cores = _cores(device, host, threads or usable_cores())
    if kind == "cgroup":
        return CgroupThrottle(cores, device.memory_bytes)
    return AffinityThrottle(_whole(cores, device))


def _cores(device: DeviceProfile, host: DeviceProfile, threads: int) -> float:
    ratio = _speed(device) / _speed(host)
    cores = threads * ratio
    if cores > usable_cores():
        raise ThrottleError(
            f"{device.name} computes {_speed(device) / 1e9:,.0f} Gflop/s at 16 bits, {ratio:,.1f} times what "
            f"this host does with {threads} thread(s): no share of it can pose as that; use clock='virtual', "
            "or a slower device"
        )
    return cores


def _speed(device: DeviceProfile) -> float:
    return device.flops_at(16) * device.flops_efficiency


def _whole(cores: float, device: DeviceProfile) -> int:
    whole = max(1, round(cores))
    if abs(whole - cores) > _WHOLE_CORES * whole:
        raise ThrottleError(
            f"{device.name} is {cores:.2g} of this host's cores, and affinity gives whole ones: use "
            "throttle='cgroup' for shares of a core, or throttle='dilation'"
        )
    return whole


def _gpu_share(device: DeviceProfile, host: DeviceProfile) -> float:
    if host.kind == "host":
        raise ThrottleError(
            "the profile of this host says nothing of its GPU: give the card's own profile, such as "
            "wb.device('rtx-4090'), or GpuMemoryThrottle(fraction)"
        )
    if device.memory_bytes > host.memory_bytes:
        raise ThrottleError(
            f"{device.name} has {device.memory_bytes / 1e9:.1f} GB, more than {host.name}: "
            "no share of that can pose as it; choose a device with less memory"
        )
    return device.memory_bytes / host.memory_bytes
