"""What a request is taken to be: by its tag, or by its text."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.plan import DEFAULT_FEATURE, Plan
from workbench.routing.classifier import Classifier
from workbench.routing.modules import own_module
from workbench.routing.policies.base import check_share
from workbench.routing.request import Request
from workbench.routing.shipped import shipped_classifier

__all__ = ["LEAST_SURE", "Reader", "Taken", "tagged"]

LEAST_SURE = 0.5
"""Below this sureness a text is of no known kind, and the default answers it."""


@dataclass(frozen=True)
class Taken:
    """What a request was taken to be."""

    feature: str
    sureness: float
    reason: str


def tagged(request: Request) -> Taken:
    """By the tag alone; the default without one."""
    if request.feature is None:
        return Taken(DEFAULT_FEATURE, 1.0, "no tag: the default")
    return Taken(request.feature, 1.0, f"tagged {request.feature}")


@dataclass(frozen=True)
class Reader:
    """Reads what a text asks for."""

    classifier: Classifier | None = None  # None: the shipped one
    least_sure: float = LEAST_SURE

    def __post_init__(self) -> None:
        check_share("least_sure", self.least_sure)

    def by_text(self, request: Request, plan: Plan) -> Taken:
        """By the text alone; the default where that is not sure enough."""
        guess = (self.classifier or shipped_classifier()).predict(request.prompt)
        sure = min(1.0, guess.sureness)
        if sure < self.least_sure:
            return Taken(DEFAULT_FEATURE, sure, f"only {sure:.0%} sure of {guess.feature}: the default")
        lacking = "" if guess.feature in plan.features else ", which the plan leaves to the default"
        return Taken(guess.feature, sure, f"reads as {guess.feature} ({sure:.0%} sure){lacking}")

    def by_tag_or_text(self, request: Request, plan: Plan) -> Taken:
        """By the tag where there is one, else by the text."""
        if request.feature is None:
            return self.by_text(request, plan)
        taken = tagged(request)
        if own_module(plan, taken.feature) == taken.feature:
            return taken
        return Taken(taken.feature, 1.0, f"{taken.reason}, which the plan leaves to the default")
