"""What every routing policy is told, says and guarantees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from workbench.errors import InputError
from workbench.plan import Plan
from workbench.routing.calibration import raw_confidence
from workbench.routing.request import Request

__all__ = ["Policy", "Route", "Situation", "check_share"]


@dataclass(frozen=True)
class Situation:
    """What a policy may know of the moment."""

    online: bool = True
    latency_s: Callable[[str, Request], float] | None = None
    """Predicted seconds of a request on a module of the plan, under the present link."""


@dataclass(frozen=True)
class Route:
    """Which module answers, and why."""

    feature: str  # what the request was taken to be
    module: str  # key of plan.features whose placement answers first
    reason: str  # one short sentence, shown in the trace
    escalate_to: str | None = None  # key whose placement answers where the first is not sure enough
    threshold: float = 0.0  # calibrated probability of being right, below which it escalates
    sureness: float = 1.0  # of the guess of the feature

    def __post_init__(self) -> None:
        check_share("a threshold", self.threshold)
        check_share("a sureness", self.sureness)


class Policy(ABC):
    """Says which module of a plan answers a request. It runs nothing, and knows nothing of bounds.

    Guarantees: ``module`` and ``escalate_to`` are keys of ``plan.features``; the plan and the request stay
    as they are; a policy made anew with the same parameters gives the same routes for the same sequence of
    requests. ``bounds.settle`` has the last word on where a request may go.
    """

    name: ClassVar[str]

    @abstractmethod
    def route(self, request: Request, plan: Plan, situation: Situation) -> Route:
        """Which module answers.

        Raises:
            UnknownNameError: the request or the policy names a feature that the plan has not.
            PlanError: the plan lacks the kind of module that this policy uses.
            InputError: the situation lacks what this policy needs.
        """

    def confidence(self, route: Route, logprobs: Sequence[float]) -> float:
        """That an answer is right, to be held against ``route.threshold``: not calibrated, in [0, 1].

        Args:
            route: what this policy said of the request.
            logprobs: of the answer's tokens up to the newline, in nats.
        """
        return raw_confidence(logprobs)


def check_share(what: str, value: float) -> None:
    """Raises InputError unless a value lies in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InputError(f"{what} is a number from 0 to 1: got {value!r}")
