"""Modules of a plan by where they run. A module is named by the feature whose placement it is."""

from __future__ import annotations

from workbench.plan import CLOUD, DEFAULT_FEATURE, QUEUE, Plan

__all__ = ["cloud_module", "edge_module", "modules_at", "own_module"]


def own_module(plan: Plan, feature: str) -> str:
    """The feature's own module, or the default where the plan has none for it."""
    return feature if feature in plan.features else DEFAULT_FEATURE


def edge_module(plan: Plan, feature: str) -> str | None:
    """The module that answers a feature without leaving the edge.

    Its own where that is local, else its fallback's, else the local module whose name comes first; None
    where nothing of the plan runs on the edge alone.
    """
    own = own_module(plan, feature)
    if plan.features[own].is_local:
        return own
    fallback = plan.features[own].fallback
    if fallback is not None and fallback != QUEUE:
        return fallback
    return next(iter(modules_at(plan, "edge")), None)


def cloud_module(plan: Plan) -> str | None:
    """The default where the cloud takes part in it, else the first module where it does, else None."""
    if not plan.default.is_local:
        return DEFAULT_FEATURE
    return next((name for name in sorted(plan.features) if not plan.features[name].is_local), None)


def modules_at(plan: Plan, place: str) -> tuple[str, ...]:
    """Every module that one place runs alone, by name; the default first in the cloud."""
    names = sorted(name for name, placement in plan.features.items() if placement.place == place)
    if place == CLOUD and DEFAULT_FEATURE in names:
        names = [DEFAULT_FEATURE, *(name for name in names if name != DEFAULT_FEATURE)]
    return tuple(names)
