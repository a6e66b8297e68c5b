"""What is to be planned: a model, devices in a row with links between them, a request, limits and aims.

Data only, validated when made. Every planner takes a ``Problem`` and gives an ``Answer``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from workbench.cost import Chain
from workbench.errors import InputError, PlanError, PromptError, UnknownNameError
from workbench.plan import BITS, WIRE_CODECS
from workbench.planner.aims import AIMS
from workbench.planner.losses import LossTable
from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile

__all__ = ["PARTS", "Choices", "Exit", "Limits", "Pin", "Prices", "Problem", "Request"]

PARTS = ("embedding", "head", "blocks", "everything")
"""What a pin can hold in its place."""


@dataclass(frozen=True)
class Request:
    """What is asked of the model each time."""

    prompt_tokens: int = 64
    new_tokens: int = 32
    batch: int = 1

    def __post_init__(self) -> None:
        for name in ("prompt_tokens", "new_tokens", "batch"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise PromptError(f"{name} must be a whole number of at least 1, got {value!r}")


@dataclass(frozen=True)
class Pin:
    """A part of the model that has its place, e.g. the embedding on the edge because prompts are private."""

    part: str  # one of PARTS
    place: str
    start: int = 0  # first block, for "blocks"
    stop: int | None = None  # one past the last block, for "blocks"; None for all of them

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise UnknownNameError("part of a model", self.part, PARTS)
        if self.start < 0 or (self.stop is not None and self.stop <= self.start):
            raise PlanError(f"blocks [{self.start}, {self.stop}) are no range: need 0 <= start < stop")

    def __str__(self) -> str:
        blocks = f" {self.start} to {'the last' if self.stop is None else self.stop - 1}"
        return f"{self.part}{blocks if self.part == 'blocks' else ''} on {self.place}"


@dataclass(frozen=True)
class Exit:
    """A place to leave the model early: after so many blocks, as good as ``quality`` says."""

    after: int  # blocks that have run
    quality: float  # 0 to 1, e.g. agreement with the whole model

    def __post_init__(self) -> None:
        if self.after < 1 or not 0 <= self.quality <= 1:
            raise PlanError(
                f"an exit comes after at least one block and has a quality from 0 to 1: got {self.after} and "
                f"{self.quality}"
            )


@dataclass(frozen=True)
class Limits:
    """What a plan must keep; None and empty are no limit. Each device's own memory always counts."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    total_s: float | None = None
    memory_bytes: Mapping[str, float] = field(default_factory=dict)  # by place, below what its device has
    busy_s: Mapping[str, float] = field(default_factory=dict)  # seconds of computing per request, by place
    bytes_per_month: float | None = None  # data plan of the user's device, both ways
    battery_j: float | None = None  # what the user's device may draw for a month's requests
    requests_per_month: float | None = None  # needed by the two above
    edge_j: float | None = None  # energy of the user's device per request, its radio included
    price_per_token: float | None = None
    loss: float | None = None  # bits per byte over those of 16-bit weights
    offline_quality: float | None = None  # of the best exit that the user's device holds whole

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            for number in value.values() if isinstance(value, Mapping) else [value]:
                if number is not None and not 0 <= number < math.inf:
                    raise InputError(f"limit {f.name} must be finite and not negative, got {number}")
        monthly = [name for name in ("bytes_per_month", "battery_j") if getattr(self, name) is not None]
        if monthly and not self.requests_per_month:
            raise InputError(f"limit {monthly[0]} needs requests_per_month, above 0, to be told per request")


@dataclass(frozen=True)
class Prices:
    """What things cost, in any one currency."""

    per_hour: Mapping[str, float] = field(default_factory=dict)  # of a place's device while it computes
    per_gb: float = 0.0  # of data over the user's link, either way

    def __post_init__(self) -> None:
        if any(not 0 <= price < math.inf for price in (*self.per_hour.values(), self.per_gb)):
            raise InputError(f"prices are finite and not negative: got {dict(self.per_hour)}, {self.per_gb}")


@dataclass(frozen=True)
class Choices:
    """What a planner may choose from."""

    bits: Mapping[str, Sequence[int]] = field(default_factory=dict)  # by place; elsewhere 16, 8 and 4
    wires: Sequence[str] = ("fp16", "int8", "int4")
    u_shaped: bool = False  # also: first and last blocks with the user, the middle in the cloud

    def __post_init__(self) -> None:
        for place, widths in self.bits.items():
            if not widths or any(bits not in BITS for bits in widths):
                raise PlanError(f"bits of {place!r} must be some of {BITS}, got {list(widths)}")
        if not self.wires:
            raise PlanError(f"a plan needs a wire codec: give some of {WIRE_CODECS}")
        for wire in self.wires:
            if wire not in WIRE_CODECS:
                raise UnknownNameError("wire codec", wire, WIRE_CODECS)

    def bits_of(self, place: str) -> tuple[int, ...]:
        return tuple(self.bits.get(place, (16, 8, 4)))


@dataclass(frozen=True)
class Problem:
    """All that a planner needs.

    Attributes:
        devices: by place, the user's first.
        links: between each two neighbours of ``devices``.
        aims: what to optimise, with weights; several of weight None ask for the Pareto front instead.
        losses: what fewer bits cost in accuracy, where that was measured.
        exits: early exits and their quality, where the model has any.
    """

    model: ModelProfile
    devices: Mapping[str, DeviceProfile]
    links: tuple[LinkProfile, ...]
    request: Request = Request()
    aims: Mapping[str, float] = field(default_factory=lambda: {"total": 1.0})
    front: tuple[str, ...] = ()  # aims whose Pareto front is wanted besides
    limits: Limits = Limits()
    pins: tuple[Pin, ...] = ()
    choices: Choices = Choices()
    prices: Prices = Prices()
    losses: LossTable | None = None
    exits: tuple[Exit, ...] = ()
    link_kind: str = "simulated"  # whose model of a transfer is used

    def __post_init__(self) -> None:
        object.__setattr__(self, "links", tuple(self.links))
        chain = self.chain  # says what is wrong with devices and links
        if missing := [place for place in chain.places if place not in self.devices]:
            raise PlanError(f"no device for {missing}")
        self._check_names("pin", (pin.place for pin in self.pins))
        self._check_names("choice of bits", self.choices.bits)
        self._check_names("limit", (*self.limits.memory_bytes, *self.limits.busy_s))
        self._check_names("price", self.prices.per_hour)
        self._check_aims()
        self._check_model()

    def _check_names(self, what: str, places: Iterable[str]) -> None:
        for place in places:
            if place not in self.devices:
                raise UnknownNameError(f"place of a {what}", place, self.devices)

    def _check_aims(self) -> None:
        if not self.aims:
            raise InputError(f"nothing to optimise: name one or more of {', '.join(AIMS)}")
        for name in (*self.aims, *self.front):
            if name not in AIMS:
                raise UnknownNameError("objective", name, AIMS)
        if any(not 0 <= weight < math.inf for weight in self.aims.values()) or not any(self.aims.values()):
            raise InputError(f"weights of objectives are finite, not negative, not all 0: {dict(self.aims)}")
        wants_loss = "loss" in (*self.aims, *self.front) or self.limits.loss is not None
        if wants_loss and self.losses is None:
            raise InputError(
                f"what fewer bits cost {self.model.name!r} in accuracy was never measured: let `workbench "
                "model sensitivity` measure it, or leave the loss out"
            )
        if "price" in self.aims and self.prices == Prices():
            raise InputError("an objective of price needs prices: say per_hour of a place, or per_gb")
        if self.limits.offline_quality is not None and not self.exits:
            raise InputError(f"no exits of {self.model.name!r} are known: give exits, or no offline_quality")

    def _check_model(self) -> None:
        model, request = self.model, self.request
        if request.prompt_tokens + request.new_tokens > model.max_positions:
            raise PromptError(
                f"{request.prompt_tokens} prompt and {request.new_tokens} new tokens are more than the "
                f"{model.max_positions} positions of {model.name!r}: shorten either"
            )
        for pin in self.pins:
            if pin.part == "blocks" and (pin.stop or pin.start + 1) > model.n_blocks:
                raise PlanError(f"pin {pin} is out of range: {model.name!r} has {model.n_blocks} blocks")
        if self.losses is not None and self.losses.n_blocks != model.n_blocks:
            raise PlanError(
                f"losses are of {self.losses.n_blocks} blocks, {model.name!r} has {model.n_blocks}"
            )

    @property
    def chain(self) -> Chain:
        return Chain(tuple(self.devices), self.devices, self.links)

    @property
    def main_aim(self) -> str:
        """The aim that weighs most."""
        return max(self.aims, key=lambda name: self.aims[name])

    @property
    def user(self) -> str:
        """The place where the user sits."""
        return next(iter(self.devices))

    @property
    def begin_s(self) -> float:
        """Seconds that the user's device takes for the prompt before anything else."""
        return self.devices[self.user].begin_s(self.request.prompt_tokens * self.request.batch)

    def with_(self, **changes: Any) -> Problem:
        """The same problem with some fields changed."""
        return replace(self, **changes)
