"""How many threads a stage computes with."""

from __future__ import annotations

import os

from workbench.profiles import ModelProfile

__all__ = ["WORKER_ENVIRONMENT", "threads_for", "usable_cores"]

WORKER_ENVIRONMENT = {"GOMP_SPINCOUNT": "20000", "TOKENIZERS_PARALLELISM": "false"}
"""Edge and cloud take turns on one host: a side that waits must not spin on the other's cores for long, and
yet long enough to bridge the moments between two layers (a fraction of a millisecond; see docs/log.md)."""

_SMALL_HIDDEN = 512


def threads_for(model: ModelProfile, most: int | None = None) -> int:
    """Threads for one model on this host: waking a second one costs more than it brings in a small layer.

    Args:
        most: what a throttle leaves (``Throttle.threads``); None sets no bound.
    """
    wanted = 1 if model.hidden < _SMALL_HIDDEN else usable_cores()
    return wanted if most is None else min(wanted, most)


def usable_cores() -> int:
    """Logical cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
