"""Stages and partitions: contiguous blocks on places, and how they make up a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from workbench.errors import PlanError

__all__ = ["BITS", "CLOUD", "EDGE", "Partition", "Stage"]

EDGE, CLOUD = "edge", "cloud"
BITS = (32, 16, 8, 4)
"""Weight bits of a stage: 32 is float32, 16 is bfloat16, 8 and 4 are packed integers with scales."""
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


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _width(bits: Width) -> dict[str, Any]:
    return {"bits": bits} if isinstance(bits, int) else {"block_bits": tuple(bits)}


def _is_pair(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_is_int, value))
