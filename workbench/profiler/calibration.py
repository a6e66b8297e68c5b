"""This host as a device profile."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import psutil

from workbench.cache import content_key, read_cached, write_cached
from workbench.plan import BITS
from workbench.profiler.circumstances import circumstances, is_kept, kept_until, processor
from workbench.profiler.fitting import HostTimes, host_profile
from workbench.profiler.process import OnStep, ask
from workbench.profiles import DeviceProfile

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["HOST", "calibrate_host", "host"]

HOST = "host"
_VERSION = 4  # of what is measured: older results are measured again
_ROOM = "host"


def calibrate_host(
    model: Model,
    *,
    bits: Collection[int] = BITS,
    budget_s: float = 8.0,
    again: bool = False,
    on_step: OnStep | None = None,
) -> DeviceProfile:
    """This host as a device, measured with a model's own stages.

    It is true for this model: another one's layers may suit the processor better or worse. What is measured
    while other programs are at work says so in its sources, and is measured again ten minutes later.

    Args:
        bits: weight widths to measure.
        budget_s: seconds to spend on measuring, besides loading.
        again: measure even if a result is kept.
        on_step: is told what is measured next.

    Raises:
        ThrottleError: the measuring process failed.
        ModelError: the model cannot be loaded.
    """
    about = {"model": model.fingerprint, "bits": sorted(bits), "version": _VERSION}
    key = content_key({**circumstances(model.profile), **about})
    kept = None if again else read_cached(_ROOM, key)
    if kept is not None and is_kept(kept["until"]):
        return DeviceProfile.from_dict(kept["profile"])
    times = HostTimes.from_dict({**ask("host", model, bits, budget_s, on_step), "model": model.name})
    memory_bytes = psutil.virtual_memory().total
    profile = host_profile(model.profile, times, processor(), memory_bytes, psutil.cpu_count() or 1)
    write_cached(_ROOM, key, {"profile": profile.to_dict(), "until": kept_until(times.cpu_share)})
    return profile


def host(model: Model | None = None) -> DeviceProfile:
    """This host as measured with a model, by default the shipped ``tiny``; measured now if never before."""
    if model is None:
        from workbench.models import load_model  # brings torch, which naming a device must not

        model = load_model("tiny")
    return calibrate_host(model)
