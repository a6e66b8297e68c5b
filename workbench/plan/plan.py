"""Plans: features, and where each runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from workbench.errors import PlanError, UnknownNameError
from workbench.plan.partition import Partition, Stage
from workbench.plan.placement import DATA_CLASSES, QUEUE, Bound, Placement

__all__ = ["DEFAULT_FEATURE", "Plan"]

DEFAULT_FEATURE = "default"


@dataclass(frozen=True)
class Plan:
    """Features and where each runs. A pure layer split is the plan with one feature.

    The default's placement answers what no other feature does, and what an edge module is not sure enough of.
    """

    model: str  # the model's name, hub id or folder; a placement may name another
    features: Mapping[str, Placement] = field(hash=False)
    bounds: tuple[Bound, ...] = ()  # what has its place; enforced at run time too

    def __post_init__(self) -> None:
        if DEFAULT_FEATURE not in self.features:
            raise PlanError(
                f"a plan needs a placement for {DEFAULT_FEATURE!r}: it has {sorted(self.features)}"
            )
        if QUEUE in self.features:
            raise PlanError(f"{QUEUE!r} says what happens with no link: call the feature something else")
        if clash := sorted(set(self.features) & set(DATA_CLASSES)):
            raise PlanError(f"{clash} are classes of data, which bounds name: call the feature otherwise")
        object.__setattr__(self, "features", dict(self.features))
        object.__setattr__(self, "bounds", tuple(self.bounds))
        self._check_sizes()
        self._check_fallbacks()
        self._check_bounds()

    @classmethod
    def of(cls, model: str, partition: Partition, wire: str = "fp16") -> Plan:
        """The plan with one feature."""
        return cls(model, {DEFAULT_FEATURE: Placement(partition, wire)})

    def placement(self, feature: str = DEFAULT_FEATURE) -> Placement:
        """Where a feature runs.

        Raises:
            UnknownNameError: the plan has no such feature.
        """
        if feature not in self.features:
            raise UnknownNameError("feature", feature, self.features)
        return self.features[feature]

    def model_of(self, feature: str = DEFAULT_FEATURE) -> str:
        """The name of the model that serves a feature."""
        return self.placement(feature).model or self.model

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that some feature runs, the default's first."""
        names = [self.model_of(), *map(self.model_of, self.features)]
        return tuple(dict.fromkeys(names))

    def answers_offline(self, feature: str = DEFAULT_FEATURE) -> str | None:
        """Whose module answers with no link: its own, another feature's; ``QUEUE`` waits, None refuses."""
        placement = self.placement(feature)
        return feature if placement.is_local else placement.fallback

    def bound_of(self, subject: str) -> Bound | None:
        """Where a feature or class of data has to stay, if anywhere."""
        return next((bound for bound in self.bounds if bound.subject == subject), None)

    @property
    def default(self) -> Placement:
        return self.features[DEFAULT_FEATURE]

    @property
    def partition(self) -> Partition:
        """The default feature's partition."""
        return self.default.partition

    @property
    def wire(self) -> str:
        """The default feature's wire codec."""
        return self.default.wire

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        data = asdict(self)
        for placement in data["features"].values():
            for name in ("model", "adapter"):
                if placement[name] is None:
                    del placement[name]
            for stage in placement["partition"]["stages"]:
                if not stage["block_bits"]:
                    del stage["block_bits"]
        if not self.bounds:
            del data["bounds"]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Read what ``to_dict`` gave.

        Raises:
            PlanError: a field is missing, unknown or out of range.
        """
        try:
            _only(data, "model", "features", "bounds")
            features = {k: _placement(v) for k, v in data["features"].items()}
            return cls(data["model"], features, tuple(Bound(**b) for b in data.get("bounds", ())))
        except (KeyError, TypeError, AttributeError) as error:
            raise PlanError(
                f"this is no plan ({type(error).__name__}: {error}): {str(data)[:200]}"
            ) from error

    def replace_default(self, **changes: Any) -> Plan:
        """The same plan with fields of the default placement changed."""
        return replace(self, features={**self.features, DEFAULT_FEATURE: replace(self.default, **changes)})

    @property
    def key(self) -> str:
        """A short name of the plan's content: equal plans, and no others, share it."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def rows(self) -> Iterator[dict[str, str]]:
        """The plan as a table: one row per feature, the default first."""
        for feature in dict.fromkeys((DEFAULT_FEATURE, *self.features)):
            placement, bound = self.features[feature], self.bound_of(feature)
            fallback = {None: "refused", QUEUE: "queued"}.get(
                placement.fallback, f"degraded to {placement.fallback}"
            )
            yield {
                "feature": feature,
                "model": self.model_of(feature),
                "adapter": placement.adapter or "",
                "where": str(placement.partition),
                "wire": placement.wire if placement.partition.split_points else "",
                "offline": "goes on" if placement.is_local else fallback,
                "bound to": bound.place if bound else "",
            }

    def __str__(self) -> str:
        if len(self.features) == 1:
            return f"{self.model}: {self.default}"
        return f"{self.model}: " + "; ".join(f"{k}: {v}" for k, v in self.features.items())

    # ---- what cannot be

    def _check_sizes(self) -> None:
        sizes: dict[str, set[int]] = {}
        for feature, placement in self.features.items():
            sizes.setdefault(self.model_of(feature), set()).add(placement.partition.n_blocks)
        for found in sizes.values():
            if len(found) > 1:
                raise PlanError(f"placements of one model disagree on its number of blocks: {sorted(found)}")

    def _check_fallbacks(self) -> None:
        for feature, placement in self.features.items():
            target = placement.fallback
            if target in (None, QUEUE):
                continue
            if target not in self.features:
                known = ", ".join(sorted(self.features))
                raise PlanError(
                    f"offline, {feature!r} is to be answered by {target!r}, which the plan has not: "
                    f"known are {known}, {QUEUE!r} and None"
                )
            if not self.features[target].is_local:
                raise PlanError(
                    f"offline, {feature!r} is to be answered by {target!r}, which needs the link itself: "
                    "name a feature that runs on the edge alone"
                )

    def _check_bounds(self) -> None:
        subjects = [bound.subject for bound in self.bounds]
        if twice := sorted({s for s in subjects if subjects.count(s) > 1}):
            raise PlanError(f"{twice} are bound more than once: leave one bound for each")
        for bound in self.bounds:
            if bound.subject not in self.features and bound.subject not in DATA_CLASSES:
                raise PlanError(
                    f"{bound.subject!r} is bound to the {bound.place}, but is neither a feature of the plan "
                    f"({', '.join(sorted(self.features))}) nor a class of data ({', '.join(DATA_CLASSES)})"
                )
            placement = self.features.get(bound.subject)
            if placement is not None and not bound.allows(placement):
                raise PlanError(f"{bound}, but its placement is {placement}: move it, or drop the bound")


def _only(data: Mapping[str, Any], *known: str) -> Mapping[str, Any]:
    if unknown := set(data) - set(known):
        raise PlanError(f"{sorted(unknown)} mean nothing in a plan: known are {sorted(known)}")
    return data


def _placement(data: Mapping[str, Any]) -> Placement:
    partition = _only(data["partition"], "n_blocks", "stages")
    stages = tuple(Stage(**s) for s in partition["stages"])
    rest = {k: v for k, v in data.items() if k != "partition"}
    return Placement(Partition(partition["n_blocks"], stages), **rest)
