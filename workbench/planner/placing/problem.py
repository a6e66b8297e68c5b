"""What is to be placed: features with their share of the requests, modules to choose from, limits and an aim.

Data only, validated when made.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from workbench.errors import InputError, PlanError, PromptError, UnknownNameError
from workbench.plan import DATA_CLASSES, DEFAULT_FEATURE, QUEUE, Bound, Placement
from workbench.planner.aims import Aim
from workbench.planner.problem import Prices
from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile

__all__ = ["PLACING_AIMS", "Demand", "PlacingLimits", "PlacingProblem"]

PLACING_AIMS: Mapping[str, Aim] = {
    aim.name: aim
    for aim in (
        Aim("latency", "s", "a request"),
        Aim("energy", "J", "of the user's device a request"),
        Aim("bytes", "B", "over the user's link a request"),
        Aim("price", "", "a request"),
        Aim("quality", "", "of quality", maximised=True),
    )
}
"""By name; each is the mean over the requests. ``energy`` is that of the edge and its radio."""


@dataclass(frozen=True)
class Demand:
    """One feature, how often it is asked for, and how long its requests are."""

    feature: str
    share: float  # of the requests; only the proportion to the others' counts
    prompt_tokens: int = 64
    new_tokens: int = 32

    def __post_init__(self) -> None:
        if not self.feature or not isinstance(self.feature, str) or self.feature == QUEUE:
            raise PlanError(f"a feature has a name, other than {QUEUE!r}: got {self.feature!r}")
        if not 0 < self.share < math.inf:
            raise InputError(f"the share of {self.feature!r} must be finite and above 0: got {self.share}")
        for name in ("prompt_tokens", "new_tokens"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise PromptError(f"{name} must be a whole number of at least 1, got {value!r}")


@dataclass(frozen=True)
class PlacingLimits:
    """What a placing must keep; None is no limit. Each device's own memory always counts."""

    edge_memory_bytes: float | None = None  # below what the edge has
    mean_latency_s: float | None = None
    latency_s: float | Mapping[str, float] | None = None  # of every feature, or by feature
    quality: float | None = None  # of the mean over the requests, at least
    relative_quality: float | None = None  # the same, as a share of the best that the candidates give
    edge_share: float | None = None  # of the requests, that no text or activation of leaves the edge

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            for number in value.values() if isinstance(value, Mapping) else [value]:
                if number is not None and not 0 <= number < math.inf:
                    raise InputError(f"limit {f.name} must be finite and not negative, got {number}")
        for name in ("quality", "relative_quality", "edge_share"):
            if (getattr(self, name) or 0.0) > 1:
                raise InputError(f"limit {name} lies from 0 to 1, got {getattr(self, name)}")

    def latency_of(self, feature: str) -> float:
        """Seconds that a request of a feature may take."""
        if isinstance(self.latency_s, Mapping):
            return self.latency_s.get(feature, math.inf)
        return math.inf if self.latency_s is None else self.latency_s


@dataclass(frozen=True)
class PlacingProblem:
    """All that choosing a module for every feature needs.

    A module is a candidate placement by name; its fallback is left to the answer.
    """

    model: str  # the plan's, for candidates that name none
    demands: tuple[Demand, ...]
    candidates: Mapping[str, Placement]
    profiles: Mapping[str, ModelProfile]  # by model
    devices: Mapping[str, DeviceProfile]  # "edge" and "cloud"
    link: LinkProfile
    quality: Mapping[tuple[str, str], float]  # by feature and module, 0 to 1; a pair left out is no choice
    bounds: tuple[Bound, ...] = ()
    limits: PlacingLimits = PlacingLimits()
    aim: str = "latency"  # one of PLACING_AIMS
    prices: Prices = field(default_factory=Prices)
    adapter_bytes: Mapping[str, int] = field(default_factory=dict)
    default: str | None = None  # the module of what no feature is, always there; None: the answer chooses
    link_kind: str = "simulated"

    def __post_init__(self) -> None:
        for name in ("demands", "bounds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_demands()
        self._check_candidates()
        self._check_quality()
        self._check_limits()

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(demand.feature for demand in self.demands)

    @property
    def modules(self) -> tuple[str, ...]:
        return tuple(self.candidates)

    @property
    def shares(self) -> tuple[float, ...]:
        """Of the requests, by feature; they add up to 1."""
        total = math.fsum(demand.share for demand in self.demands)
        return tuple(demand.share / total for demand in self.demands)

    @property
    def longest(self) -> tuple[int, int]:
        """Prompt and new tokens of the longest request: what the default may be asked for too."""
        demand = max(self.demands, key=lambda demand: demand.prompt_tokens + demand.new_tokens)
        return demand.prompt_tokens, demand.new_tokens

    @property
    def best_quality(self) -> float:
        """The mean if every feature had its best candidate."""
        best = (max(q for (g, _), q in self.quality.items() if g == f) for f in self.features)
        return math.fsum(share * q for share, q in zip(self.shares, best, strict=True))

    @property
    def quality_floor(self) -> float:
        """The mean that both limits of quality ask for."""
        relative = (self.limits.relative_quality or 0.0) * self.best_quality
        return max(self.limits.quality or 0.0, relative)

    @property
    def rival_aim(self) -> str:
        """What the front sets against the aim."""
        return "latency" if self.aim == "quality" else "quality"

    def model_of(self, module: str) -> str:
        """The name of a module's model."""
        return self.candidates[module].model or self.model

    def bound_of(self, subject: str) -> Bound | None:
        """Where a feature has to stay, if anywhere."""
        return next((bound for bound in self.bounds if bound.subject == subject), None)

    def with_(self, **changes: Any) -> PlacingProblem:
        """The same problem with some fields changed."""
        return replace(self, **changes)

    # ---- what cannot be

    def _check_demands(self) -> None:
        if not self.demands:
            raise InputError("nothing to place: give at least one demand")
        names = self.features
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"{twice} are demanded more than once: add up their shares")
        subjects = [bound.subject for bound in self.bounds]
        if twice := sorted({name for name in subjects if subjects.count(name) > 1}):
            raise PlanError(f"{twice} are bound more than once: leave one bound for each")
        _check_known("feature", subjects, (*names, *DATA_CLASSES, DEFAULT_FEATURE))

    def _check_candidates(self) -> None:
        if not self.candidates:
            raise InputError("nothing to choose from: give at least one candidate")
        _check_known("model with a profile", map(self.model_of, self.modules), self.profiles)
        if self.default is not None:
            _check_known("module", [self.default], self.candidates)
            self._check_default(self.default)
        for name, placement in self.candidates.items():
            _check_known("place with a device", placement.partition.places, self.devices)
            held, asked = self.profiles[self.model_of(name)].n_blocks, placement.partition.n_blocks
            if held != asked:
                raise PlanError(f"module {name!r} has {asked} blocks, {self.model_of(name)!r} has {held}")
        adapters = [p.adapter for p in self.candidates.values() if p.adapter is not None]
        _check_known("adapter of known size", adapters, self.adapter_bytes)

    def _check_default(self, module: str) -> None:
        if DEFAULT_FEATURE in self.features:
            raise InputError(f"{DEFAULT_FEATURE!r} is demanded and placed by that: name no default besides")
        bound = self.bound_of(DEFAULT_FEATURE)
        if bound is not None and not bound.allows(self.candidates[module]):
            raise PlanError(f"{bound}, but the default is {module!r}: {self.candidates[module]}")

    def _check_quality(self) -> None:
        for (feature, module), value in self.quality.items():
            _check_known("feature", [feature], self.features)
            _check_known("module", [module], self.candidates)
            if not 0 <= value <= 1:
                raise InputError(f"the quality of {feature!r} by {module!r} lies from 0 to 1: got {value}")
        for feature in self.features:
            if not any(feature == known for known, _ in self.quality):
                raise InputError(f"no module's quality is known for {feature!r}: give one, or drop it")

    def _check_limits(self) -> None:
        _check_known("objective", [self.aim], PLACING_AIMS)
        if isinstance(self.limits.latency_s, Mapping):
            _check_known("feature", self.limits.latency_s, self.features)
        if self.aim == "price" and self.prices == Prices():
            raise InputError("an objective of price needs prices: say per_hour of a place, or per_gb")


def _check_known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    found = list(known)
    for name in names:
        if name not in found:
            raise UnknownNameError(kind, name, found)
