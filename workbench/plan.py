"""What runs where: stages, partitions and plans. Data only, validated when made.

A **block** is one transformer layer; ranges of blocks are half-open. A **stage** is a contiguous run of
blocks on one place, with the embedding and/or the head where it owns them. A **partition** is the ordered
stages of one model; a **placement** is a partition with everything else that one feature's run needs; a
**plan** maps features to placements.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any

from workbench.errors import PlanError, UnknownNameError

__all__ = [
    "BITS",
    "CLOUD",
    "DECODINGS",
    "DEFAULT_FEATURE",
    "EDGE",
    "WIRE_CODECS",
    "Partition",
    "Placement",
    "Plan",
    "Stage",
]

EDGE, CLOUD = "edge", "cloud"
BITS = (32, 16, 8, 4)
"""Weight bits of a stage: 32 is float32, 16 is bfloat16, 8 and 4 are packed integers with scales."""
WIRE_CODECS = ("fp32", "bf16", "fp16", "int8", "int4")
"""How a boundary activation crosses: bit-exact float32, half precision, int8 per token, int4 per group."""
DECODINGS = ("plain",)
DEFAULT_FEATURE = "default"
Width = int | Sequence[int]
"""Weight bits of all blocks of a stage, or of each."""


@dataclass(frozen=True)
class Stage:
    """Blocks ``[start, stop)`` on one place.

    An empty range is a stage too, where it owns the embedding or the head (a split at 0 or at n).
    """

    place: str  # who runs it: "edge", "cloud", or another device's name in a longer chain
    start: int  # first block
    stop: int  # one past the last block
    embedding: bool = False  # token ids come in, not a boundary activation
    head: bool = False  # final norm and head: logits come out
    bits: int = 16  # weight bits, one of BITS; with block_bits the widest of them
    block_bits: tuple[int, ...] = ()  # of each block, where they differ (mixed precision along depth)

    def __post_init__(self) -> None:
        if not self.place or not isinstance(self.place, str):
            raise PlanError(f"a stage needs a place, e.g. 'edge' or 'cloud': got {self.place!r}")
        if not (_is_int(self.start) and _is_int(self.stop)):
            raise PlanError(f"blocks are whole numbers: got [{self.start!r}, {self.stop!r})")
        if not 0 <= self.start <= self.stop:
            raise PlanError(f"blocks [{self.start}, {self.stop}) are no range: need 0 <= start <= stop")
        if self.bits not in BITS:
            raise PlanError(f"{self.bits} weight bits are not supported: choose one of {BITS}")
        if self.start == self.stop and not (self.embedding or self.head):
            raise PlanError(f"stage [{self.start}, {self.stop}) on {self.place!r} owns nothing: leave it out")
        self._settle_block_bits()

    def _settle_block_bits(self) -> None:
        """One form for one meaning: equal widths are ``bits``, and unequal ones name the widest there."""
        widths = tuple(self.block_bits)
        if widths and len(widths) != self.n_blocks:
            raise PlanError(f"{len(widths)} widths do not fit the {self.n_blocks} blocks of {self.place!r}")
        if strange := sorted({bits for bits in widths if bits not in BITS}):
            raise PlanError(f"{strange} weight bits are not supported: choose of {BITS}")
        if len(set(widths)) > 1 and 32 in widths:
            raise PlanError("blocks of 32 bits compute in float32 and cannot be mixed with others: use 16")
        object.__setattr__(self, "bits", max(widths, default=self.bits))
        object.__setattr__(self, "block_bits", widths if len(set(widths)) > 1 else ())

    @property
    def n_blocks(self) -> int:
        return self.stop - self.start

    @property
    def widths(self) -> tuple[int, ...]:
        """Weight bits of each block."""
        return self.block_bits or (self.bits,) * self.n_blocks

    @property
    def is_whole(self) -> bool:
        """True where the stage takes token ids and gives logits."""
        return self.embedding and self.head

    def __str__(self) -> str:
        owned = ("E+" if self.embedding else "") + f"[{self.start},{self.stop})" + ("+H" if self.head else "")
        return f"{self.place} {owned} @{'/'.join(map(str, self.block_bits or [self.bits]))}b"


@dataclass(frozen=True)
class Partition:
    """The ordered stages of a model: no gap, no overlap, neighbours on other places."""

    n_blocks: int
    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        stages = self.stages
        if not _is_int(self.n_blocks) or self.n_blocks < 1:
            raise PlanError(f"a model has at least one block: got {self.n_blocks!r}")
        if not stages:
            raise PlanError("a partition needs at least one stage")
        if [s.embedding for s in stages] != [i == 0 for i in range(len(stages))]:
            raise PlanError("the first stage, and no other, owns the embedding")
        if [s.head for s in stages] != [i == len(stages) - 1 for i in range(len(stages))]:
            raise PlanError("the last stage, and no other, owns the head")
        edges = [0, *(s.stop for s in stages)]
        if [s.start for s in stages] != edges[:-1] or edges[-1] != self.n_blocks:
            runs = ", ".join(f"[{s.start}, {s.stop})" for s in stages)
            raise PlanError(f"stages {runs} do not cover blocks [0, {self.n_blocks}) in turn")
        for left, right in pairwise(stages):
            if left.place == right.place:
                raise PlanError(f"neighbouring stages on {left.place!r}: make them one stage")

    @classmethod
    def unsplit(cls, n_blocks: int, place: str, bits: Width = 16) -> Partition:
        """Everything on one place: the baseline that every split has to beat."""
        return cls(n_blocks, (Stage(place, 0, n_blocks, embedding=True, head=True, **_width(bits)),))

    @classmethod
    def split(cls, n_blocks: int, at: int, edge_bits: Width = 16, cloud_bits: Width = 16) -> Partition:
        """Embedding and blocks ``[0, at)`` on the edge, ``[at, n_blocks)`` and the head in the cloud.

        Bits are of all the blocks of a side, or of each.
        """
        if not _is_int(at) or not 0 <= at <= n_blocks:
            raise PlanError(
                f"split point {at!r} is out of range: choose 0 to {n_blocks} for {n_blocks} blocks"
            )
        return cls(
            n_blocks,
            (
                Stage(EDGE, 0, at, embedding=True, **_width(edge_bits)),
                Stage(CLOUD, at, n_blocks, head=True, **_width(cloud_bits)),
            ),
        )

    @classmethod
    def u_shaped(
        cls, n_blocks: int, at: tuple[int, int], edge_bits: int = 16, cloud_bits: int = 16
    ) -> Partition:
        """First and last blocks, embedding and head on the edge; blocks ``[at[0], at[1])`` in the cloud."""
        if not _is_pair(at) or not 0 <= at[0] < at[1] <= n_blocks:
            raise PlanError(f"split points {at!r} are out of range: need 0 <= first < last <= {n_blocks}")
        first, last = at
        return cls(
            n_blocks,
            (
                Stage(EDGE, 0, first, embedding=True, bits=edge_bits),
                Stage(CLOUD, first, last, bits=cloud_bits),
                Stage(EDGE, last, n_blocks, head=True, bits=edge_bits),
            ),
        )

    @property
    def split_points(self) -> tuple[int, ...]:
        """Where a boundary activation crosses, in order of depth; empty for an unsplit model."""
        return tuple(s.start for s in self.stages[1:])

    @property
    def places(self) -> tuple[str, ...]:
        """Every place, in order of first use."""
        return tuple(dict.fromkeys(s.place for s in self.stages))

    def on(self, place: str) -> tuple[Stage, ...]:
        """The stages that one place runs; more than one where the model is U-shaped."""
        return tuple(s for s in self.stages if s.place == place)

    def __str__(self) -> str:
        return " | ".join(map(str, self.stages))


@dataclass(frozen=True)
class Placement:
    """All that one feature's run needs: where its blocks go, how they talk, how tokens are made."""

    partition: Partition
    wire: str = "fp16"  # codec of boundary activations, one of WIRE_CODECS
    decoding: str = "plain"  # one of DECODINGS
    fallback: str | None = None  # what happens with no link: None refuses

    def __post_init__(self) -> None:
        if self.wire not in WIRE_CODECS:
            raise UnknownNameError("wire codec", self.wire, WIRE_CODECS)
        if self.decoding not in DECODINGS:
            raise UnknownNameError("decoding strategy", self.decoding, DECODINGS)


@dataclass(frozen=True)
class Plan:
    """Features of one model and where each runs. A pure layer split is the plan with one feature."""

    model: str  # the model's name, hub id or folder
    features: Mapping[str, Placement] = field(hash=False)

    def __post_init__(self) -> None:
        if DEFAULT_FEATURE not in self.features:
            raise PlanError(
                f"a plan needs a placement for {DEFAULT_FEATURE!r}: it has {sorted(self.features)}"
            )
        sizes = {p.partition.n_blocks for p in self.features.values()}
        if len(sizes) > 1:
            raise PlanError(f"placements of one model disagree on its number of blocks: {sorted(sizes)}")
        object.__setattr__(self, "features", dict(self.features))

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
            for stage in placement["partition"]["stages"]:
                if not stage["block_bits"]:
                    del stage["block_bits"]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Read what ``to_dict`` gave.

        Raises:
            PlanError: a field is missing, unknown or out of range.
        """
        try:
            _only(data, "model", "features")
            return cls(data["model"], {k: _placement(v) for k, v in data["features"].items()})
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

    def __str__(self) -> str:
        if len(self.features) == 1:
            wire = f", wire {self.wire}" if self.partition.split_points else ""
            return f"{self.model}: {self.partition}{wire}"
        return f"{self.model}: " + "; ".join(
            f"{k}: {v.partition}, {v.wire}" for k, v in self.features.items()
        )


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _width(bits: Width) -> dict[str, Any]:
    return {"bits": bits} if isinstance(bits, int) else {"block_bits": tuple(bits)}


def _is_pair(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_is_int, value))


def _only(data: Mapping[str, Any], *known: str) -> Mapping[str, Any]:
    if unknown := set(data) - set(known):
        raise PlanError(f"{sorted(unknown)} mean nothing in a plan: known are {sorted(known)}")
    return data


def _placement(data: Mapping[str, Any]) -> Placement:
    partition = _only(data["partition"], "n_blocks", "stages")
    stages = tuple(Stage(**s) for s in partition["stages"])
    rest = {k: v for k, v in data.items() if k != "partition"}
    return Placement(Partition(partition["n_blocks"], stages), **rest)
