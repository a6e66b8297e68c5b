"""Whether to split, and where, and which module for which feature: names become profiles, planners decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from workbench import profiles
from workbench.deployment.plan_files import read_plan
from workbench.deployment.plans import device, profile_for
from workbench.errors import InputError
from workbench.plan import CLOUD, EDGE, Plan
from workbench.planner import (
    Answer,
    Choices,
    Demand,
    Exit,
    Limits,
    LossTable,
    Pin,
    PlacingProblem,
    Prices,
    Problem,
    Request,
    plan,
)
from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile
from workbench.routing import AnswerTable, shipped_answers

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["Wishes", "decide", "placing", "problem"]


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
    found = {place: _device(it) for place, it in devices.items()}
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


def placing(
    mix: Mapping[str, float],
    edge: DeviceProfile | str,
    cloud: DeviceProfile | str,
    link: LinkProfile | str,
    *,
    modules: Plan | str = "modules",
    table: AnswerTable | None = None,
    **wishes: Any,
) -> PlacingProblem:
    """What ``planner.place`` takes, from names and from what modules were measured to answer.

    Args:
        mix: features that the table knows, and their shares of the requests.
        modules: the candidates: a plan whose features are modules, or a shipped one's name.
        table: what they answered; None takes the shipped one.
        wishes: other fields of ``PlacingProblem``: limits, aim, bounds, prices, default.

    Raises:
        UnknownNameError: a feature or a module was not measured.
        PlanError, InputError: a share, limit or aim that cannot be.
    """
    from workbench.models import load_adapter, load_model  # brings torch

    offered = read_plan(modules) if isinstance(modules, str) else modules
    known = table or shipped_answers()
    models = {name: load_model(name) for name in offered.models}
    tuned = {p.adapter: models[offered.model_of(key)] for key, p in offered.features.items() if p.adapter}
    return PlacingProblem(
        model=offered.model,
        demands=tuple(Demand(feature, share, *known.lengths(feature)) for feature, share in mix.items()),
        candidates={key: replace(placement, fallback=None) for key, placement in offered.features.items()},
        profiles={name: model.profile for name, model in models.items()},
        devices={EDGE: _device(edge), CLOUD: _device(cloud)},
        link=profiles.link(link) if isinstance(link, str) else link,
        quality={(f, key): q for (f, key), q in known.qualities(offered).items() if f in mix},
        adapter_bytes={name: load_adapter(name, model).n_bytes for name, model in tuned.items()},
        **wishes,
    )


def _device(found: DeviceProfile | str) -> DeviceProfile:
    return device(found) if isinstance(found, str) else found


def _profile(model: Model | ModelProfile | str) -> ModelProfile:
    if isinstance(model, ModelProfile):
        return model
    if isinstance(model, str):
        from workbench.models import read_architecture  # what was never read needs torch

        return read_architecture(model)
    return model.profile
