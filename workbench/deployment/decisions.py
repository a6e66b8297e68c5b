"""Whether to split, and where: names become profiles, and a planner decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from workbench import profiles
from workbench.deployment.plans import device, profile_for
from workbench.errors import InputError
from workbench.plan import CLOUD, EDGE
from workbench.planner import Answer, Choices, Exit, Limits, LossTable, Pin, Prices, Problem, Request, plan
from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["Wishes", "decide", "problem"]


class Wishes(TypedDict, total=False):
    """What a problem may say besides its model, devices and links: see ``planner.Problem``."""

    request: Request
    aims: str | Mapping[str, float]  # one by name, or several with weights
    front: Sequence[str]
    limits: Limits
    pins: Sequence[Pin]
    choices: Choices
    prices: Prices
    losses: LossTable | None
    exits: Sequence[Exit]
    link_kind: str


def problem(
    model: Model | ModelProfile | str,
    edge: DeviceProfile | str | None = None,
    cloud: DeviceProfile | str | None = None,
    link: LinkProfile | str | None = None,
    *,
    devices: Mapping[str, DeviceProfile | str] | None = None,
    links: Sequence[LinkProfile | str] | None = None,
    **wishes: Unpack[Wishes],
) -> Problem:
    """What is to be planned, from names and profiles. Arguments are those of ``decide``."""
    if devices is None:
        if edge is None or cloud is None or link is None:
            raise InputError(
                "what is between what? Give edge, cloud and link, or devices and links of a chain"
            )
        devices, links = {EDGE: edge, CLOUD: cloud}, [link]
    elif links is None or (edge, cloud, link) != (None, None, None):
        raise InputError(
            "a chain has devices by place and links between neighbours, and no edge, cloud or link"
        )
    found = {place: device(it) if isinstance(it, str) else it for place, it in devices.items()}
    given: dict[str, Any] = {**wishes}
    if isinstance(aims := given.get("aims"), str):
        given["aims"] = {aims: 1.0}
    for name in ("front", "pins", "exits"):
        given[name] = tuple(given.get(name, ()))
    paths = tuple(profiles.link(it) if isinstance(it, str) else it for it in links or ())
    return Problem(profile_for(_profile(model), found.values()), found, paths, **given)


def decide(
    model: Model | ModelProfile | str,
    edge: DeviceProfile | str | None = None,
    cloud: DeviceProfile | str | None = None,
    link: LinkProfile | str | None = None,
    *,
    devices: Mapping[str, DeviceProfile | str] | None = None,
    links: Sequence[LinkProfile | str] | None = None,
    planner: str = "auto",
    **wishes: Unpack[Wishes],
) -> Answer:
    """Whether to split, and where: the best plan beside both ways of not splitting, and why. All is modelled.

    ``wb.decide("llama-3-8b", "jetson-agx-orin", "h100-sxm", "fibre", pins=[Pin("embedding", "edge")])``

    Args:
        model: a model, its profile, or what ``models.read_architecture`` takes: a name, folder or hub id.
        edge, cloud: device profiles or names; ``"host"`` is this machine.
        link: a link profile or name.
        devices, links: in their place, a chain of any length: devices by place, the user's first, and the
            links between neighbours.
        planner: one of ``planner.PLANNERS``; ``"auto"`` takes what is exact and quick.
        wishes: fields of ``planner.Problem``: request, aims, limits, pins, choices, prices, front …

    Raises:
        InfeasibleError: nothing keeps every limit; says which binds, and by how much.
        InputError: something of the problem is missing or cannot be.
        ModelNotFoundError, UnknownNameError: no model, device or link is called so.
    """
    return plan(problem(model, edge, cloud, link, devices=devices, links=links, **wishes), planner)


def _profile(model: Model | ModelProfile | str) -> ModelProfile:
    if isinstance(model, ModelProfile):
        return model
    if isinstance(model, str):
        from workbench.models import read_architecture  # what was never read needs torch

        return read_architecture(model)
    return model.profile
