"""What crosses a split point, and what each side has to keep: the findings of ``tracing`` about a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.models.call_tree import Path

__all__ = [
    "AFTER_BLOCKS",
    "BEFORE_BLOCKS",
    "TRACE_BATCH",
    "TRACE_TOKENS",
    "Crossing",
    "Dataflow",
    "Recomputed",
    "Source",
    "Target",
]

BEFORE_BLOCKS, AFTER_BLOCKS = -1, -2
TRACE_BATCH, TRACE_TOKENS = 3, 7  # sizes that hardly occur otherwise, so that shapes tell them apart


@dataclass(frozen=True)
class Target:
    """Where a crossing tensor goes: an argument of a block, or for block n the last one's result."""

    block: int
    path: Path

    @property
    def name(self) -> str:
        return ".".join(map(str, (self.block, *self.path)))


@dataclass(frozen=True)
class Crossing:
    """One tensor that crosses a split point."""

    targets: tuple[Target, ...]  # every place it goes to
    shape: tuple[int, ...]  # in a forward of TRACE_BATCH x TRACE_TOKENS
    float32: bool  # it is float32 in a model of half precision too
    cache_layer: int | None  # of keys or values that blocks on both sides use: only new tokens cross

    @property
    def name(self) -> str:
        return self.targets[0].name


@dataclass(frozen=True)
class Source:
    """A leaf of a skipped block's result: the object at this path of its arguments."""

    path: Path


@dataclass(frozen=True)
class Recomputed:
    """An input of a block that some sides compute again."""

    crosses: int  # bit k: not at split point k, where it crosses
    parameters: frozenset[str]  # that it is computed from


@dataclass(frozen=True)
class Dataflow:
    """What one pass through a model found; blocks count from 0 to n - 1, split points from 0 to n."""

    n_blocks: int
    crossing: tuple[tuple[Crossing, ...], ...]  # per split point
    refusals: dict[int, str]  # per split point that cannot be, the reason
    ids_until: int  # blocks below this one read token ids (n + 1: the head does too); 0 for none
    results: tuple[Any, ...]  # per block: its result with Source or None for tensors
    users: dict[str, frozenset[int]]  # per parameter: the blocks that use it, BEFORE_BLOCKS, AFTER_BLOCKS
    recomputed: tuple[tuple[Recomputed, ...], ...]  # per cut 0…n
    cache_layers: tuple[tuple[int, ...], ...]  # per block: the cache layers that it writes
    last_block: int  # the last block that runs
    after: str  # path of the first module that runs after it, "" for none
    module_state: tuple[tuple[str, str], ...]  # modules that keep state themselves: path and attribute

    def shared_parameters(self, start: int, stop: int) -> set[str]:
        """Parameters that the inputs of cuts ``[start, stop)`` need on a side that begins at ``start``."""
        inputs = (found for cut in self.recomputed[start:stop] for found in cut)
        return {name for found in inputs if not found.crosses >> start & 1 for name in found.parameters}
