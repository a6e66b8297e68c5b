"""All that one feature's run needs, and what may not be placed freely."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.errors import PlanError, UnknownNameError
from workbench.plan.partition import CLOUD, EDGE, Partition

__all__ = ["DATA_CLASSES", "DECODINGS", "QUEUE", "WIRE_CODECS", "Bound", "Placement"]

WIRE_CODECS = ("fp32", "bf16", "fp16", "int8", "int4")
"""How a boundary activation crosses: bit-exact float32, half precision, int8 per token, int4 per group."""
DECODINGS = ("plain",)
QUEUE = "queue"
"""A ``fallback``: the request waits until there is a link again."""
DATA_CLASSES = ("name", "contact", "number", "health")
"""What a text may hold that has its place: names of people; addresses, mail and telephone; numbers of
cards, accounts and identity papers; medical matters. ``routing`` finds them."""


@dataclass(frozen=True)
class Placement:
    """Where a feature's blocks go, how they talk, how tokens are made, and what happens with no link."""

    partition: Partition
    wire: str = "fp16"  # codec of boundary activations, one of WIRE_CODECS
    decoding: str = "plain"  # one of DECODINGS
    fallback: str | None = (
        None  # with no link: None refuses, QUEUE waits, a feature's name has its module answer
    )
    model: str | None = None  # another model than the plan's, e.g. "tiny@4", left after block 4
    adapter: str | None = None  # of low rank (LoRA), by shipped name or folder

    def __post_init__(self) -> None:
        if self.wire not in WIRE_CODECS:
            raise UnknownNameError("wire codec", self.wire, WIRE_CODECS)
        if self.decoding not in DECODINGS:
            raise UnknownNameError("decoding strategy", self.decoding, DECODINGS)
        for name, value in (("fallback", self.fallback), ("model", self.model), ("adapter", self.adapter)):
            if value is not None and (not isinstance(value, str) or not value):
                raise PlanError(f"a placement's {name} is a name, or None: got {value!r}")

    @property
    def place(self) -> str | None:
        """The one place that runs all of it; None where it is split."""
        places = self.partition.places
        return places[0] if len(places) == 1 else None

    @property
    def is_local(self) -> bool:
        """True where all of it runs on the edge: no text and no activation leaves, and no link is needed."""
        return self.place == EDGE

    def __str__(self) -> str:
        which = "" if self.model is None else f"{self.model} "
        tuned = "" if self.adapter is None else f" + {self.adapter}"
        wire = f", wire {self.wire}" if self.partition.split_points else ""
        return f"{which}{self.partition}{tuned}{wire}"


@dataclass(frozen=True)
class Bound:
    """A feature, or a class of data, that has its place: nothing of it is computed anywhere else.

    Bound to the edge, neither its text nor an activation leaves the device. Bound to the cloud, all blocks
    run there, and the edge only tokenizes.
    """

    subject: str  # a feature, or one of DATA_CLASSES
    place: str  # "edge" or "cloud"

    def __post_init__(self) -> None:
        if not isinstance(self.subject, str) or not self.subject:
            raise PlanError(f"a bound names a feature or one of {DATA_CLASSES}: got {self.subject!r}")
        if self.place not in (EDGE, CLOUD):
            raise PlanError(f"{self.subject!r} is bound to {EDGE!r} or {CLOUD!r}: got {self.place!r}")

    def allows(self, placement: Placement) -> bool:
        """Whether all of a placement runs where it has to."""
        return placement.place == self.place

    def __str__(self) -> str:
        return (
            f"{self.subject} stays on the {self.place}"
            if self.place == EDGE
            else f"{self.subject} stays in the cloud"
        )
