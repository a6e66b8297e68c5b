"""The policy that weighs latency against quality under the present link."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from workbench.errors import InputError
from workbench.plan import Plan
from workbench.routing.classifier import Classifier
from workbench.routing.modules import own_module
from workbench.routing.policies.base import Policy, Route, Situation, check_share
from workbench.routing.policies.reading import LEAST_SURE, Reader
from workbench.routing.request import Request

__all__ = ["CostAware"]


@dataclass(frozen=True)
class CostAware(Policy):
    """Of the modules that are good enough for the feature, the one with the least predicted latency.

    The tag, or else the text, says which feature it is. Where no module is known to be good enough, the
    best known one answers; where nothing is known, the feature's own.
    """

    quality: Mapping[tuple[str, str], float]  # (feature, module) → share of right answers
    floor: float = 0.9  # the least share of right answers that is good enough
    classifier: Classifier | None = None  # None: the shipped one
    least_sure: float = LEAST_SURE
    name: ClassVar[str] = "cost-aware"

    def __post_init__(self) -> None:
        check_share("a quality floor", self.floor)
        for (feature, module), value in self.quality.items():
            check_share(f"the quality of {module!r} for {feature!r}", value)
        Reader(self.classifier, self.least_sure)

    def route(self, request: Request, plan: Plan, situation: Situation) -> Route:
        taken = Reader(self.classifier, self.least_sure).by_tag_or_text(request, plan)
        known = {m: q for m in plan.features if (q := self.quality.get((taken.feature, m))) is not None}
        good = [module for module, quality in known.items() if quality >= self.floor]
        if good:
            seconds = _seconds(good, request, situation)
            module = min(good, key=lambda m: (seconds[m], m))
            why = f"fastest of {len(good)} good enough, {seconds[module]:.3g} s modelled"
        elif known:
            module = min(known, key=lambda m: (-known[m], m))
            why = f"none reaches {self.floor:.0%} right, the best has {known[module]:.0%}"
        else:
            module = own_module(plan, taken.feature)
            why = "no quality is known: its own module"
        return Route(taken.feature, module, f"{taken.reason}; {why}", sureness=taken.sureness)


def _seconds(modules: list[str], request: Request, situation: Situation) -> dict[str, float]:
    if situation.latency_s is None:
        raise InputError("cost-aware routing needs predictions: give Situation(latency_s=…)")
    found = {module: situation.latency_s(module, request) for module in modules}
    for module, seconds in found.items():
        if math.isnan(seconds) or seconds < 0:
            raise InputError(f"{module!r} is predicted to take {seconds} s: a latency is at least 0")
    return found
