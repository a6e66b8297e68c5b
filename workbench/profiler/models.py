"""A model as it was measured on this host, block by block."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from workbench.cache import content_key, read_cached, write_cached, written_ns
from workbench.errors import ProfileError
from workbench.plan import BITS
from workbench.profiler.calibration import HOST
from workbench.profiler.circumstances import circumstances, host_facts, is_busy, is_kept, kept_until
from workbench.profiler.process import OnStep, ask
from workbench.profiles import ModelProfile, ModelTimes

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["kept_times", "measure_model"]

_VERSION = 2  # of what is measured: older results are measured again
_ROOM = "model-times"


def measure_model(
    model: Model,
    *,
    bits: Collection[int] = BITS,
    budget_s: float = 24.0,
    again: bool = False,
    on_step: OnStep | None = None,
) -> ModelProfile:
    """A model's profile with the seconds that each block, the embedding and the head take on this host.

    Widths that were measured before are not measured again. What is measured while other programs are at
    work says so in its notes, and is measured again ten minutes later.

    Args:
        bits: weight widths to measure.
        budget_s: seconds to spend on measuring all of ``BITS``, besides loading; fewer widths take less.
        again: measure even if results are kept.
        on_step: is told what is measured next.

    Raises:
        ThrottleError: the measuring process failed.
        ModelError: the model cannot be loaded.
    """
    profile = model.profile
    known = {} if again else _kept(profile, bits)
    if missing := sorted(set(bits) - set(known), reverse=True):
        share = len(missing) / len(BITS)
        times = _times(profile, ask("model", model, missing, budget_s * share, on_step))
        for b in missing:
            known[b] = replace(times, widths={b: times.widths[b]})
            kept = {"times": known[b].to_dict(), "until": kept_until(times.host.cpu_share)}
            write_cached(_ROOM, _key(profile, b), kept)
    return replace(profile, times=_joined(known[b] for b in sorted(bits, reverse=True)))


def kept_times(profile: ModelProfile) -> ModelProfile:
    """A profile with what is known of it on this host; nothing is measured."""
    if not profile.config_key or any(times.device == HOST for times in profile.times):
        return profile
    return replace(profile, times=(*profile.times, *_joined(_kept(profile, BITS).values())))


def _kept(profile: ModelProfile, bits: Iterable[int]) -> dict[int, ModelTimes]:
    keys = {b: _key(profile, b) for b in bits}
    found = {b: _read(key, written) for b, key in keys.items() if (written := written_ns(_ROOM, key))}
    return {b: times for b, (times, until) in found.items() if times is not None and is_kept(until)}


@lru_cache(maxsize=64)
def _read(key: str, written: int) -> tuple[ModelTimes | None, float | None]:
    """What was written there at that time, and when it ends; no times where another version wrote it."""
    kept: Any = read_cached(_ROOM, key)
    try:
        return ModelTimes.from_dict(kept["times"]), kept["until"]
    except (ProfileError, KeyError, TypeError):
        return None, None


def _key(profile: ModelProfile, bits: int) -> str:
    about = {"version": _VERSION, "config": profile.config_key, "bits": bits}
    return content_key({**circumstances(profile), **about})


def _times(profile: ModelProfile, answer: dict[str, Any]) -> ModelTimes:
    facts = host_facts(profile, answer["cpu_share"])
    busy = (f"measured beside other programs, with {facts.cpu_share:.0%} of a core",)
    notes = (*answer["notes"], *(busy if is_busy(facts.cpu_share) else ()))
    data = {"device": HOST, "config_key": profile.config_key, "host": facts, "notes": notes}
    return ModelTimes.from_dict({**data, "widths": answer["widths"]})


def _joined(times: Iterable[ModelTimes]) -> tuple[ModelTimes, ...]:
    """Widths that were measured at once in one record."""
    together: list[ModelTimes] = []
    for one in times:
        same = next((i for i, it in enumerate(together) if replace(it, widths=one.widths) == one), None)
        if same is None:
            together.append(one)
        else:
            together[same] = replace(one, widths={**together[same].widths, **one.widths})
    return tuple(together)
