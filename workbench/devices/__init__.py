"""Throttles: what makes this host pose as a slower device."""

from workbench.devices.dilation import THROTTLES, Dilation, Native, Throttle, Virtual, make_throttle
from workbench.devices.threads import WORKER_ENVIRONMENT, threads_for

__all__ = [
    "THROTTLES",
    "WORKER_ENVIRONMENT",
    "Dilation",
    "Native",
    "Throttle",
    "Virtual",
    "make_throttle",
    "threads_for",
]
