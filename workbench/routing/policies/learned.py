"""Policies that read the prompt, and ask again where an answer is not sure enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from workbench.plan import DEFAULT_FEATURE, Plan
from workbench.routing.calibration import Calibration, answer_score, raw_confidence
from workbench.routing.classifier import Classifier
from workbench.routing.modules import edge_module, own_module
from workbench.routing.policies.base import Policy, Route, Situation, check_share
from workbench.routing.policies.reading import LEAST_SURE, Reader
from workbench.routing.request import CONTINUE, Request

__all__ = ["Cascade", "Classified", "Hybrid"]


@dataclass(frozen=True)
class Classified(Policy):
    """Each request goes to the module of what its text reads as; a tag is not looked at."""

    classifier: Classifier | None = None  # None: the shipped one
    least_sure: float = LEAST_SURE  # below it the default answers
    name: ClassVar[str] = "classified"

    def __post_init__(self) -> None:
        Reader(self.classifier, self.least_sure)

    def route(self, request: Request, plan: Plan, situation: Situation) -> Route:
        taken = Reader(self.classifier, self.least_sure).by_text(request, plan)
        return Route(taken.feature, own_module(plan, taken.feature), taken.reason, sureness=taken.sureness)


@dataclass(frozen=True)
class Cascade(Policy):
    """The edge first, whatever is asked; the default where the answer is not sure enough.

    After FrugalGPT (Chen et al. 2023), with one step. The tag, or else the text, says which feature's
    calibration an answer is held against.
    """

    threshold: float = 0.5  # calibrated probability of being right, below which the default answers
    calibration: Calibration | None = None  # None: the raw confidence, which is not calibrated
    classifier: Classifier | None = None  # None: the shipped one
    least_sure: float = LEAST_SURE
    name: ClassVar[str] = "cascade"

    def __post_init__(self) -> None:
        check_share("a threshold", self.threshold)
        Reader(self.classifier, self.least_sure)

    def route(self, request: Request, plan: Plan, situation: Situation) -> Route:
        taken = Reader(self.classifier, self.least_sure).by_tag_or_text(request, plan)
        module = edge_module(plan, taken.feature)
        if module is None:
            own = own_module(plan, taken.feature)
            reason = f"{taken.reason}; nothing runs on the edge alone"
            return Route(taken.feature, own, reason, sureness=taken.sureness)
        target = _above(plan, module, taken.feature)
        reason = f"{taken.reason}; the edge first" + _until(target, self.threshold)
        return Route(taken.feature, module, reason, target, self.threshold, taken.sureness)

    def confidence(self, route: Route, logprobs: Sequence[float]) -> float:
        return _confidence(self.calibration, route, logprobs)


@dataclass(frozen=True)
class Hybrid(Policy):
    """Each feature as the plan places it, layer splits included; local ones escalate by their own threshold.

    The tag, or else the text, says which feature it is.
    """

    calibration: Calibration | None = None  # None: the raw confidence, which is not calibrated
    thresholds: Mapping[str, float] = field(default_factory=dict)  # per feature
    threshold: float = 0.0  # of features that ``thresholds`` leaves out; 0 never escalates
    classifier: Classifier | None = None  # None: the shipped one
    least_sure: float = LEAST_SURE
    name: ClassVar[str] = "hybrid"

    def __post_init__(self) -> None:
        check_share("a threshold", self.threshold)
        for feature, value in self.thresholds.items():
            check_share(f"the threshold of {feature!r}", value)
        Reader(self.classifier, self.least_sure)

    def route(self, request: Request, plan: Plan, situation: Situation) -> Route:
        taken = Reader(self.classifier, self.least_sure).by_tag_or_text(request, plan)
        module = own_module(plan, taken.feature)
        threshold = self.thresholds.get(taken.feature, self.threshold)
        local = plan.features[module].is_local
        target = _above(plan, module, taken.feature) if local and threshold > 0 else None
        reason = taken.reason + _until(target, threshold)
        kept = threshold if target else 0.0
        return Route(taken.feature, module, reason, target, kept, taken.sureness)

    def confidence(self, route: Route, logprobs: Sequence[float]) -> float:
        return _confidence(self.calibration, route, logprobs)


def _above(plan: Plan, module: str, feature: str) -> str | None:
    """The default, unless it is the same thing; nobody for open text, where no answer is right."""
    same = plan.features[module] == plan.default and plan.model_of(module) == plan.model_of()
    return None if module == DEFAULT_FEATURE or same or feature == CONTINUE else DEFAULT_FEATURE


def _until(target: str | None, threshold: float) -> str:
    return "" if target is None else f", the {target} below {threshold:.0%} sure"


def _confidence(calibration: Calibration | None, route: Route, logprobs: Sequence[float]) -> float:
    if calibration is None:
        return raw_confidence(logprobs)
    return calibration.probability(route.feature, answer_score(logprobs))
