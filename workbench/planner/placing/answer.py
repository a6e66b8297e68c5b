"""What placing gives back: a plan with its expected figures, both baselines, the front, a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.cost import PlaceBytes
from workbench.plan import Plan
from workbench.planner.placing.problem import PLACING_AIMS, PlacingProblem
from workbench.planner.quantity import quantity

__all__ = ["Placed", "PlacingAnswer"]


@dataclass(frozen=True)
class Placed:
    """A module for every feature, and what that comes to; all modelled but the quality, which was given."""

    modules: Mapping[str, str]  # by feature
    values: Mapping[str, float]  # by aim the mean over the requests, and "edge_share"
    broken: tuple[str, ...] = ()  # limits that it does not keep, each with by how much
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """By feature, how sure its module has to be of an answer; empty where nothing is passed on."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "modules": dict(self.modules),
            "values": dict(self.values),
            "label": "modelled",
            "broken": list(self.broken),
            "thresholds": dict(self.thresholds),
        }

    def __str__(self) -> str:
        known = [aim for aim in PLACING_AIMS.values() if aim.name != "price" or self.values[aim.name]]
        said = ", ".join(f"{quantity(self.values[aim.name], aim.unit)} {aim.phrase}" for aim in known)
        return f"{'; '.join(f'{f}: {m}' for f, m in self.modules.items())} (modelled: {said})"


@dataclass(frozen=True)
class PlacingAnswer:
    """The best placing of a problem."""

    problem: PlacingProblem = field(repr=False)
    plan: Plan
    best: Placed
    by_feature: Mapping[str, Mapping[str, float]]  # by feature and aim, of one request
    memory: Mapping[str, PlaceBytes]  # by place, of the whole plan
    baselines: Mapping[str, Placed | None]
    """Everything on the edge and everything in the cloud, whether or not it keeps the limits; None where
    some feature has no module there, or the modules do not fit."""
    front: tuple[Placed, ...]  # of the aim and its rival, by the aim from the best on
    default: str  # the module of what no feature is
    verdict: str
    n_sets: int  # sets of modules that were solved

    def rows(self) -> Iterator[dict[str, str | float]]:
        """The plan as a table with expected figures: one row per feature."""
        shares = dict(zip(self.problem.features, self.problem.shares, strict=True))
        for feature, values in self.by_feature.items():
            yield {
                "feature": feature,
                "share": shares[feature],
                "module": self.best.modules[feature],
                "where": str(self.plan.placement(feature).partition),
                **values,
            }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "verdict": self.verdict,
            "plan": self.plan.to_dict(),
            "best": self.best.to_dict(),
            "by_feature": {feature: dict(values) for feature, values in self.by_feature.items()},
            "memory_bytes": {place: need.total for place, need in self.memory.items()},
            "baselines": {name: found and found.to_dict() for name, found in self.baselines.items()},
            "front": [placed.to_dict() for placed in self.front],
            "default": self.default,
            "n_sets": self.n_sets,
        }

    def __str__(self) -> str:
        return f"{self.best}\n{self.verdict}"

    def __repr__(self) -> str:
        return f"<PlacingAnswer: {self.verdict}>"  # all of it would fill pages
