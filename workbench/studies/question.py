"""What a study asks: which model, devices, link, request, objectives and space. Data only.

Stored in the study's file, so that a study can be resumed, read and reported without anything else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from workbench.errors import InputError
from workbench.plan import CLOUD, EDGE, Plan
from workbench.profiles import MODEL_PROFILE_VERSION, DeviceProfile, LinkProfile, ModelProfile
from workbench.records import Objective, objective
from workbench.studies.space import Choice, Space

__all__ = ["Question"]


@dataclass(frozen=True)
class Question:
    """Everything that a trial's numbers depend on, except the plan."""

    model: ModelProfile
    edge: DeviceProfile
    cloud: DeviceProfile
    link: LinkProfile
    objectives: tuple[str, ...] = ("latency", "accuracy")
    space: Space = field(default_factory=Space)
    prompt_tokens: int = 64
    new_tokens: int = 32
    batch: int = 1
    suite: str = "quick"  # of the evaluation, where an objective needs one
    fingerprint: str = ""  # of the model's weights, where an objective needs them
    limits: Mapping[str, float] = field(default_factory=dict)  # by objective: no more, or no less, than this

    def __post_init__(self) -> None:
        if not self.objectives or len(set(self.objectives)) != len(self.objectives):
            raise InputError(f"a study needs different objectives, at least one: got {self.objectives}")
        for name in (*self.objectives, *self.limits):
            objective(name)
        for name, bound in self.limits.items():
            if not isfinite(bound):
                raise InputError(f"the limit of {name} must be a finite number: got {bound}")
        for name in ("prompt_tokens", "new_tokens", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1: got {getattr(self, name)}")
        self.space.split_values(self.model.n_blocks)

    @property
    def goals(self) -> tuple[Objective, ...]:
        """The objectives in order."""
        return tuple(objective(name) for name in self.objectives)

    @property
    def needs_weights(self) -> bool:
        """Whether trials run the model's stages."""
        return any(objective(name).needs_weights for name in (*self.objectives, *self.limits))

    def excess(self, values: Mapping[str, float]) -> dict[str, float]:
        """By objective with a limit, how far its value is beyond it, as a share; below 0 it keeps to it."""
        found = {}
        for name, bound in self.limits.items():
            beyond = (values[name] - bound) * (1 if objective(name).direction == "minimize" else -1)
            found[name] = beyond / abs(bound) if bound else beyond
        return found

    @property
    def devices(self) -> dict[str, DeviceProfile]:
        """By place."""
        return {EDGE: self.edge, CLOUD: self.cloud}

    def plan(self, choice: Choice) -> Plan:
        """The plan that a choice means for this model."""
        return self.space.plan(self.model.name, self.model.n_blocks, choice)

    @property
    def title(self) -> str:
        """The question in a line."""
        return f"{self.model.name}: {self.edge.title} and {self.cloud.title} over {self.link.title}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        parts = {name: getattr(self, name).to_dict() for name in ("model", "edge", "cloud", "link", "space")}
        data = {**asdict(self), **parts}
        return json.loads(json.dumps(data))  # tuples become lists, as a file would give them back

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Question:
        """Read what ``to_dict`` gave."""
        parts = {
            "model": ModelProfile.from_dict({"version": MODEL_PROFILE_VERSION, **data["model"]}),
            "edge": DeviceProfile.from_dict(data["edge"]),
            "cloud": DeviceProfile.from_dict(data["cloud"]),
            "link": LinkProfile.from_dict(data["link"]),
            "space": Space.from_dict(data["space"]),
            "objectives": tuple(data["objectives"]),
        }
        return cls(**{**data, **parts})
