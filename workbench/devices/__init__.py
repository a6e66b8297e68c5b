"""What makes this host pose as another device: a throttle holds a process, a pace gives a step its time."""

from workbench.devices.affinity import AffinityThrottle
from workbench.devices.base import Throttle
from workbench.devices.cgroup import GROUPS_WAY_OUT, CgroupThrottle, describe_groups
from workbench.devices.dilation import DilationThrottle
from workbench.devices.gpu import GpuMemoryThrottle, apply_options
from workbench.devices.pace import PACES, Dilation, Native, Pace, Virtual, make_pace
from workbench.devices.posing import THROTTLES, make_throttle
from workbench.devices.threads import WORKER_ENVIRONMENT, threads_for, usable_cores

__all__ = [
    "GROUPS_WAY_OUT",
    "PACES",
    "THROTTLES",
    "WORKER_ENVIRONMENT",
    "AffinityThrottle",
    "CgroupThrottle",
    "Dilation",
    "DilationThrottle",
    "GpuMemoryThrottle",
    "Native",
    "Pace",
    "Throttle",
    "Virtual",
    "apply_options",
    "describe_groups",
    "make_pace",
    "make_throttle",
    "threads_for",
    "usable_cores",
]
