"""A setting: all that the controls of an explorer say, as data. Its plan and code follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

from workbench import profiles
from workbench.cache import content_key
from workbench.errors import InputError, PlanError, UnknownNameError
from workbench.plan import CLOUD, EDGE, Partition, Plan
from workbench.profiles import DeviceProfile, LinkProfile

__all__ = ["CLOUD_ONLY", "EDGE_ONLY", "SHAPES", "Setting"]

CLOUD_ONLY, EDGE_ONLY = "cloud-only", "edge-only"
SHAPES = ("split", "U-shape", EDGE_ONLY, CLOUD_ONLY)
"""How the model may lie: cut once, both ends on the edge, or not cut at all."""


@dataclass(frozen=True)
class Setting:
    """One point of what can be explored.

    A value that its shape does not use is kept all the same, so that going back to another shape finds it.
    """

    model: str  # name, hub id or folder, as `load_model` takes it
    n_blocks: int
    edge: DeviceProfile
    cloud: DeviceProfile
    link: LinkProfile
    shape: str = "split"  # one of SHAPES
    split: int = 0  # blocks [0, split) are on the edge
    back: int = 1  # U-shape: blocks [back, n) are on the edge again
    edge_bits: int = 16
    cloud_bits: int = 16
    wire: str = "fp16"  # codec of what crosses
    prompt_tokens: int = 64  # per sequence
    new_tokens: int = 32  # per sequence
    batch: int = 1
    link_kind: str = "simulated"  # whose model of a transfer predictions use

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise UnknownNameError("shape", self.shape, SHAPES)
        for name in ("prompt_tokens", "new_tokens", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1: got {getattr(self, name)}")

    @cached_property
    def plan(self) -> Plan:
        """The plan that is chosen.

        Raises:
            PlanError: split points that the model does not have.
        """
        return self.plan_at(self.position)

    @property
    def position(self) -> str:
        """Which of ``positions`` is chosen."""
        return self.shape if self.shape in (CLOUD_ONLY, EDGE_ONLY) else self._named(self.split)

    @property
    def positions(self) -> tuple[str, ...]:
        """Every place to cut with all else equal, as text, between the two ways of not cutting."""
        cuts = range(self.back) if self.shape == "U-shape" else range(self.n_blocks + 1)
        return (CLOUD_ONLY, *map(self._named, cuts), EDGE_ONLY)

    def _named(self, split: int) -> str:
        return f"{split}–{self.back}" if self.shape == "U-shape" else str(split)

    def plan_at(self, position: str) -> Plan:
        """The plan at one of ``positions``."""
        bits = (self.edge_bits, self.cloud_bits)
        if position == EDGE_ONLY:
            return Plan.of(self.model, Partition.unsplit(self.n_blocks, EDGE, bits[0]))
        if position == CLOUD_ONLY:
            return Plan.of(self.model, Partition.unsplit(self.n_blocks, CLOUD, bits[1]))
        split = int(position.partition("–")[0])
        if self.shape == "U-shape":
            partition = Partition.u_shaped(self.n_blocks, (split, self.back), *bits)
        else:
            partition = Partition.split(self.n_blocks, split, *bits)
        return Plan.of(self.model, partition, self.wire)

    def with_plan(self, plan: Plan) -> Setting:
        """The same setting with another plan of the same model.

        Raises:
            PlanError: the plan is of another model, or of a shape that the controls cannot say.
        """
        partition = plan.partition
        if (plan.model, partition.n_blocks) != (self.model, self.n_blocks):
            raise PlanError(
                f"this explorer is about {self.model!r} with {self.n_blocks} blocks, the plan about "
                f"{plan.model!r} with {partition.n_blocks}: explore that model in another cell"
            )
        found = replace(self, wire=plan.wire, **_cuts(plan))
        if found.plan != plan:
            raise PlanError(
                f"the controls cannot say {plan}: they know one split, a U-shape, edge-only and cloud-only, "
                "one feature, and the same bits for all stages of a side"
            )
        return found

    @property
    def devices(self) -> dict[str, DeviceProfile]:
        """By place."""
        return {EDGE: self.edge, CLOUD: self.cloud}

    @property
    def request(self) -> dict[str, Any]:
        """``prompt_tokens``, ``new_tokens`` and ``batch`` of what is predicted and run."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "new_tokens": self.new_tokens,
            "batch": self.batch,
        }

    @cached_property
    def key(self) -> str:
        """What a request depends on: settings that differ only in what they do not use share it."""
        data = {"plan": self.plan.to_dict(), **self.request, "link_kind": self.link_kind}
        used = {place: self.devices[place].to_dict() for place in {EDGE, *self.plan.partition.places}}
        link = self.link.to_dict() if CLOUD in self.plan.partition.places else None
        return content_key([data, used, link])

    @property
    def title(self) -> str:
        """In a few words, for a list of runs."""
        bits = {EDGE_ONLY: str(self.edge_bits), CLOUD_ONLY: str(self.cloud_bits)}
        width = bits.get(self.shape, f"{self.edge_bits}/{self.cloud_bits}")
        if self.shape in bits:
            return f"{self.shape}, {width} bit, {self.link.name}"
        return f"{self.shape} {self.position}, {width} bit, {self.wire}, {self.link.name}"

    def code(self) -> str:
        """Python that makes this plan, its link and its prediction anew."""
        request = ", ".join(f"{name}={value}" for name, value in self.request.items())
        return "\n".join(
            [
                "import workbench as wb",
                "",
                f"model = wb.load_model({self.model!r})",
                f"edge, cloud = {_device_code(self.edge)}, {_device_code(self.cloud)}",
                f"link = {_link_code(self.link)}",
                f"plan = {self._plan_code()}",
                f"predicted = wb.predict(plan, edge, cloud, link, {request}, model=model,",
                f"                       link_kind={self.link_kind!r})",
            ]
        )

    def _plan_code(self) -> str:
        if self.shape == EDGE_ONLY:
            return f"wb.edge_only(model, bits={self.edge_bits})"
        if self.shape == CLOUD_ONLY:
            return f"wb.cloud_only(model, bits={self.cloud_bits})"
        at = f"({self.split}, {self.back})" if self.shape == "U-shape" else str(self.split)
        bits = f"edge_bits={self.edge_bits}, cloud_bits={self.cloud_bits}"
        return f"wb.split(model, at={at}, {bits}, wire={self.wire!r})"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        parts = {name: getattr(self, name).to_dict() for name in ("edge", "cloud", "link")}
        return {**asdict(self), **parts}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Setting:
        """Read what ``to_dict`` gave.

        Raises:
            InputError: a field is missing, unknown or out of range.
        """
        try:
            parts = {
                "edge": DeviceProfile.from_dict(data["edge"]),
                "cloud": DeviceProfile.from_dict(data["cloud"]),
                "link": LinkProfile.from_dict(data["link"]),
            }
            return cls(**{**data, **parts})
        except (KeyError, TypeError) as error:
            raise InputError(f"this is no setting ({type(error).__name__}: {error})") from error


def _cuts(plan: Plan) -> dict[str, Any]:
    points, stages = plan.partition.split_points, plan.partition.stages
    bits = {f"{s.place}_bits": s.bits for s in stages if s.place in (EDGE, CLOUD)}
    if not points:
        return {**bits, "shape": f"{plan.partition.places[0]}-only"}
    if len(points) == 1:
        return {**bits, "shape": "split", "split": points[0]}
    return {**bits, "shape": "U-shape", "split": points[0], "back": points[1]}


def _device_code(device: DeviceProfile) -> str:
    if device.name == "host" or profiles.device_profiles().get(device.name) == device:
        return f"wb.device({device.name!r})"
    return f"wb.DeviceProfile.from_dict({device.to_dict()!r})"


def _link_code(link: LinkProfile) -> str:
    if profiles.link_profiles().get(link.name) == link:
        return f"wb.link({link.name!r})"
    asked = [field for field in fields(LinkProfile) if field.name not in ("name", "title", "sources")]
    said = [f.name for f in asked if f.default is MISSING or getattr(link, f.name) not in (f.default, {})]
    return f"wb.LinkProfile({', '.join(f'{name}={getattr(link, name)!r}' for name in said)})"
