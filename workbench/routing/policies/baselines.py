"""Policies that know little, and the one that knows all: what the others are measured against."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from workbench.errors import InputError, PlanError, UnknownNameError
from workbench.plan import Plan
from workbench.routing.modules import cloud_module, edge_module
from workbench.routing.policies.base import Policy, Route, Situation, check_share
from workbench.routing.policies.reading import tagged
from workbench.routing.request import Request

__all__ = ["CloudOnly", "EdgeOnly", "Oracle", "RandomChoice", "Tagged"]


@dataclass(frozen=True)
class Tagged(Policy):
    """Each request goes to the module of its tag; the default answers what has none."""

    name: ClassVar[str] = "tagged"

    def route(self, request: Request, plan: Plan, situation: Situation) -> Route:
        taken = tagged(request)
        if taken.feature not in plan.features:
            raise UnknownNameError("feature", taken.feature, plan.features)
        return Route(taken.feature, taken.feature, taken.reason)


@dataclass(frozen=True)
class EdgeOnly(Policy):
    """Nothing leaves the device."""

    name: ClassVar[str] = "edge-only"

    def route(self, request: Request, plan: Plan, situation: Situation) -> Route:
        feature = tagged(request).feature
        return Route(feature, _edge(plan, feature), "everything on the edge")


@dataclass(frozen=True)
class CloudOnly(Policy):
    """Everything by the plan's module in the cloud, or split with it."""

    name: ClassVar[str] = "cloud-only"

    def route(self, request: Request, plan: Plan, situation: Situation) -> Route:
        return Route(tagged(request).feature, _cloud(plan), "everything by the cloud")


class RandomChoice(Policy):
    """A coin decides between edge and cloud: what a policy must beat at the same share on the edge.

    Args:
        edge_share: of the requests, in [0, 1].
        seed: of the coin. The same sequence of requests gets the same routes.
    """

    name: ClassVar[str] = "random"

    def __init__(self, edge_share: float = 0.5, seed: int = 0) -> None:
        check_share("edge_share", edge_share)
        self.edge_share, self.seed = edge_share, seed
        self._coin = random.Random(seed)

    def route(self, request: Request, plan: Plan, situation: Situation) -> Route:
        feature = tagged(request).feature
        edge, cloud = _edge(plan, feature), _cloud(plan)
        if self._coin.random() < self.edge_share:
            return Route(feature, edge, f"by chance on the edge ({self.edge_share:.0%})")
        return Route(feature, cloud, f"by chance in the cloud ({1 - self.edge_share:.0%})")


@dataclass(frozen=True)
class Oracle(Policy):
    """The cheapest module that answers right, known beforehand: the bound that no policy passes."""

    right: Mapping[tuple[str, str], bool]  # (prompt, module) → whether its answer is right
    order: Sequence[str]  # modules, the cheapest first
    name: ClassVar[str] = "oracle"

    def __post_init__(self) -> None:
        if not self.order:
            raise InputError("the oracle needs the modules in order of cost, the cheapest first")

    def route(self, request: Request, plan: Plan, situation: Situation) -> Route:
        for module in self.order:
            if module not in plan.features:
                raise UnknownNameError("module of the plan", module, plan.features)
        known = {m: self.right[request.prompt, m] for m in self.order if (request.prompt, m) in self.right}
        if not known:
            raise InputError(f"the oracle was not told who answers {request.prompt[:60]!r} right: add it")
        feature = request.truth or tagged(request).feature
        best = next((module for module, right in known.items() if right), None)
        if best is None:
            return Route(feature, next(iter(known)), "no module answers right: the cheapest")
        return Route(feature, best, "the cheapest that answers right")


def _edge(plan: Plan, feature: str) -> str:
    module = edge_module(plan, feature)
    if module is None:
        raise PlanError(f"no module of the plan runs on the edge alone ({plan}): add one that does")
    return module


def _cloud(plan: Plan) -> str:
    module = cloud_module(plan)
    if module is None:
        raise PlanError(f"no module of the plan uses the cloud ({plan}): put the default there, or split it")
    return module
