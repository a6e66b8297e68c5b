"""Makes plans and predicts them: nothing here runs a model."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from workbench import cost, profiles
from workbench.plan import CLOUD, DEFAULT_FEATURE, EDGE, Partition, Plan
from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile
from workbench.trace import RequestTrace

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["HOST", "cloud_only", "device", "edge_only", "predict", "profile_for", "split"]

HOST = "host"


def split(
    model: Model | ModelProfile,
    at: int | tuple[int, int],
    *,
    edge_bits: int = 16,
    cloud_bits: int = 16,
    wire: str = "fp16",
) -> Plan:
    """A layer split: blocks ``[0, at)`` with the embedding on the edge, the rest and the head in the cloud.

    Args:
        at: a split point 0…n, or two for a U-shape: the middle in the cloud, both ends on the edge.
        edge_bits, cloud_bits: weight bits, one of ``plan.BITS``.
        wire: codec of the boundary activation, one of ``plan.WIRE_CODECS``.

    Raises:
        PlanError: a split point or bit width that cannot be.
        UnknownNameError: no codec is called so.
    """
    if isinstance(at, tuple):
        partition = Partition.u_shaped(model.n_blocks, at, edge_bits, cloud_bits)
    else:
        partition = Partition.split(model.n_blocks, at, edge_bits, cloud_bits)
    return Plan.of(model.name, partition, wire)


def edge_only(model: Model | ModelProfile, *, bits: int = 16) -> Plan:
    """The unsplit baseline on the edge: nothing crosses."""
    return Plan.of(model.name, Partition.unsplit(model.n_blocks, EDGE, bits))


def cloud_only(model: Model | ModelProfile, *, bits: int = 16) -> Plan:
    """The unsplit baseline in the cloud: token ids go up once, tokens stream down."""
    return Plan.of(model.name, Partition.unsplit(model.n_blocks, CLOUD, bits))


def device(name: str) -> DeviceProfile:
    """A shipped device profile, or ``"host"``: this machine, measured once and remembered.

    Raises:
        UnknownNameError: no device is called so; the message suggests the nearest.
    """
    if name == HOST:
        from workbench.profiler import host  # measuring needs torch; naming another device must not

        return host()
    return profiles.device(name)


def predict(
    plan: Plan,
    edge: DeviceProfile,
    cloud: DeviceProfile,
    link: LinkProfile,
    *,
    prompt_tokens: int = 64,
    new_tokens: int = 32,
    batch: int = 1,
    model: Model | ModelProfile | None = None,
    link_kind: str = "simulated",
    feature: str = DEFAULT_FEATURE,
) -> RequestTrace:
    """What a request will cost, every number labelled modelled.

    Where a device is this host and the model was measured on it (``workbench.profiler.measure_model``), each
    block counts as measured; nothing is measured here.

    Args:
        model: that serves the feature, or its profile, e.g. of ``ModelProfile.load``; None looks the plan's
            model up by name.
        link_kind: the kind of link that a run would use: ``proxy`` knows no slow start, for instance.

    Raises:
        DoesNotFitError: a stage needs more memory than its device has.
    """
    devices = {EDGE: edge, CLOUD: cloud}
    return cost.predict(
        plan,
        profile_for(_profile(plan, model, feature), devices.values()),
        devices,
        link,
        prompt_tokens=prompt_tokens,
        new_tokens=new_tokens,
        batch=batch,
        feature=feature,
        link_kind=link_kind,
    )


def profile_for(model: Model | ModelProfile, devices: Iterable[DeviceProfile]) -> ModelProfile:
    """A model's profile, with what is known of it on this host where one of the devices is that."""
    profile = model if isinstance(model, ModelProfile) else model.profile
    if not any(it.name == HOST == it.kind for it in devices):
        return profile
    from workbench.profiler import kept_times  # brings what measures

    return kept_times(profile)


@lru_cache(maxsize=32)
def _shipped_profile(name: str) -> ModelProfile:
    from workbench.models import load_model  # needs torch; a profile that is handed in must not

    return load_model(name).profile


def _profile(plan: Plan, model: Model | ModelProfile | None, feature: str) -> ModelProfile:
    if model is None:
        return _shipped_profile(plan.model_of(feature))
    return model if isinstance(model, ModelProfile) else model.profile
