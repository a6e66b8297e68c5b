"""What a model was measured to take on a host: seconds per block, embedding and head, for each weight width.

A table is a grid of forward passes that were measured. What lies between its points is interpolated linearly
in tokens, context and batch; what lies outside is on the line through the two outermost points.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from statistics import median
from typing import Any

from workbench.errors import ProfileError
from workbench.profiles.reading import check, read

__all__ = ["TIMES_VERSION", "HostFacts", "ModelTimes", "PassTimes", "Surface", "WidthTable"]

TIMES_VERSION = 1


@dataclass(frozen=True)
class HostFacts:
    """On what, with what and when something was measured."""

    processor: str
    cores: int
    threads: int  # that computed
    libraries: Mapping[str, str] = field(hash=False)  # versions by name
    measured_at: str  # ISO 8601, UTC
    cpu_share: float  # of its cores that the measuring had; below 1 beside other programs


@dataclass(frozen=True)
class PassTimes:
    """One shape of forward pass of the whole model: medians over its repetitions."""

    tokens: int  # new ones per sequence
    context: int  # tokens per sequence that the cache held already
    batch: int
    blocks_s: tuple[float, ...]  # one per block
    embedding_s: float
    head_s: float  # final norm and head, on the last position
    total_s: float  # the whole pass as it runs without being watched
    spread: float = 0.0  # half of p10 to p90 of the whole pass over its median

    def __post_init__(self) -> None:
        name = f"pass of {self.tokens} tokens, context {self.context}, batch {self.batch}"
        blocks = {f"blocks_s[{i}]": seconds for i, seconds in enumerate(self.blocks_s)}
        parts = {"embedding_s": self.embedding_s, "head_s": self.head_s}
        counts = {"tokens": self.tokens, "batch": self.batch}
        check(name, counts, {"context": self.context, "spread": self.spread, **parts, **blocks})
        check(name, {"total_s": self.total_s}, {})
        if not self.blocks_s:
            raise ProfileError(f"{name}: no block was measured")


_Line = tuple[tuple[int, ...], tuple[float, ...]]
"""Points in order and the values there."""


@dataclass(frozen=True)
class Surface:
    """One number of a forward pass, such as its seconds, as a function of its shape; never below zero."""

    lengths: Mapping[int, _Line] = field(hash=False)  # without a past: over the tokens, by batch
    contexts: Mapping[int, _Line] = field(hash=False)  # of a single token: over the context, by batch

    @classmethod
    def of(cls, passes: Sequence[PassTimes], value: Callable[[PassTimes], float]) -> Surface:
        """Through what was measured."""
        alone = _lines((p.batch, p.tokens, value(p)) for p in passes if not p.context)
        return cls(alone, _lines((p.batch, p.context, value(p)) for p in passes if p.context))

    def at(self, tokens: int, context: int, batch: int) -> float:
        """For ``tokens`` new ones per sequence, after ``context``.

        Several tokens after a context take what they take without one, and what the context costs one token.
        """
        if tokens == 1 and context:
            return max(0.0, _on(self.contexts, context, batch))
        alone = _on(self.lengths, tokens, batch)
        if context:
            first = min(points[0] for points, _ in self.contexts.values())
            alone += _on(self.contexts, context, batch) - _on(self.contexts, first, batch)
        return max(0.0, alone)


@dataclass(frozen=True)
class WidthTable:
    """All passes with one weight width: prompts without a past, and single tokens after a context.

    Each batch that was measured has two prompt lengths and two contexts at least.
    """

    passes: tuple[PassTimes, ...]
    overhead_s: float  # of one forward pass of a stage, besides its blocks, embedding and head
    wait_s: float = 0.0  # what a pass takes longer after a pause, as a round trip makes it

    def __post_init__(self) -> None:
        check("width table", {}, {"overhead_s": self.overhead_s, "wait_s": self.wait_s})
        if len({len(p.blocks_s) for p in self.passes}) != 1:
            raise ProfileError("passes of one table measure the same blocks, and there is at least one pass")
        if strange := [p for p in self.passes if p.context and p.tokens > 1]:
            raise ProfileError(f"a pass has a context or several tokens, not both: {strange[0]}")
        if len({(p.tokens, p.context, p.batch) for p in self.passes}) < len(self.passes):
            raise ProfileError("a table has each pass once")
        for batch in {p.batch for p in self.passes}:
            lengths = sorted(p.tokens for p in self.passes if p.batch == batch and not p.context)
            contexts = sorted(p.context for p in self.passes if p.batch == batch and p.context)
            if min(len(lengths), len(contexts)) < 2:
                raise ProfileError(
                    f"a table needs two prompt lengths and two contexts for batch {batch}: it has {lengths} "
                    f"and {contexts}"
                )

    @property
    def n_blocks(self) -> int:
        return len(self.passes[0].blocks_s)

    @cached_property
    def spread(self) -> float:
        """Half of p10 to p90 of a pass's time over its median: the median of that over all shapes."""
        return median(p.spread for p in self.passes)

    def blocks_s(self, tokens: int, context: int = 0, batch: int = 1) -> tuple[float, ...]:
        """Seconds per block of one forward pass: ``tokens`` new ones per sequence after ``context``."""
        return tuple(surface.at(tokens, context, batch) for surface in self._blocks)

    def blocks_surface(self, blocks: Iterable[int]) -> Surface:
        """The sum of some blocks' seconds, ready to be asked often."""
        own = tuple(blocks)
        return Surface.of(self.passes, lambda p: sum(p.blocks_s[b] for b in own))

    def embedding_s(self, tokens: int, batch: int = 1) -> float:
        """Seconds of the token embedding, besides a pass's overhead."""
        return self._embedding.at(tokens, 0, batch)

    def head_s(self, batch: int = 1) -> float:
        """Seconds of the final norm and head, on the last position: medians over all lengths and contexts."""
        points, values = self._heads
        return max(0.0, _line(points, values, batch))

    def covers(self, tokens: int, context: int = 0, batch: int = 1) -> bool:
        """Whether a pass lies within what was measured: outside, lines go on."""
        batches = self._heads[0]
        if (tokens > 1 and context) or not batches[0] <= batch <= batches[-1]:
            return False
        axis, x = (self._embedding.contexts, context) if context else (self._embedding.lengths, tokens)
        return all(axis[b][0][0] <= x <= axis[b][0][-1] for b in _neighbours(batches, batch))

    @cached_property
    def _blocks(self) -> tuple[Surface, ...]:
        return tuple(self.blocks_surface([b]) for b in range(self.n_blocks))

    @cached_property
    def _embedding(self) -> Surface:
        return Surface.of(self.passes, lambda p: p.embedding_s)

    @cached_property
    def _heads(self) -> _Line:
        batches = sorted({p.batch for p in self.passes})
        return tuple(batches), tuple(median(p.head_s for p in self.passes if p.batch == b) for b in batches)


def _lines(values: Iterable[tuple[int, int, float]]) -> dict[int, _Line]:
    """By the first number, lines through the other two."""
    found: dict[int, list[tuple[int, float]]] = {}
    for batch, point, value in sorted(values):
        found.setdefault(batch, []).append((point, value))
    return {batch: (tuple(x for x, _ in line), tuple(y for _, y in line)) for batch, line in found.items()}


def _on(lines: Mapping[int, _Line], x: int, batch: int) -> float:
    if batch in lines:
        return _line(*lines[batch], x)
    batches = tuple(lines)
    return _line(batches, tuple(_line(*lines[b], x) for b in batches), batch)


def _line(points: Sequence[int], values: Sequence[float], x: float) -> float:
    """The line through the two neighbours of ``x``, or the two outermost points; of a single one, that."""
    if len(points) == 1:
        return values[0]
    right = min(max(bisect_right(points, x), 1), len(points) - 1)
    low, high = points[right - 1], points[right]
    return values[right - 1] + (x - low) / (high - low) * (values[right] - values[right - 1])


def _neighbours(points: Sequence[int], x: int) -> tuple[int, ...]:
    """The point itself, or the two around it."""
    if x in points:
        return (x,)
    right = bisect_right(points, x)
    return points[right - 1], points[right]


@dataclass(frozen=True)
class ModelTimes:
    """What one model was measured to take on one device."""

    device: str  # name of the DeviceProfile that it belongs to, e.g. "host"
    config_key: str  # of the model's configuration
    host: HostFacts
    widths: Mapping[int, WidthTable] = field(hash=False)  # by weight bits
    notes: tuple[str, ...] = ()  # what a reader must know, e.g. that other programs were at work
    version: int = TIMES_VERSION

    def __post_init__(self) -> None:
        if self.version != TIMES_VERSION:
            raise ProfileError(
                f"times of version {self.version} cannot be read, only of {TIMES_VERSION}: measure again"
            )
        if len({table.n_blocks for table in self.widths.values()}) != 1:
            raise ProfileError("times of one model measure the same blocks at every width, and one at least")

    @property
    def n_blocks(self) -> int:
        return next(iter(self.widths.values())).n_blocks

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        data = asdict(self)
        return {**data, "widths": {str(bits): table for bits, table in data["widths"].items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelTimes:
        """Read what ``to_dict`` gave.

        Raises:
            ProfileError: a field is missing, unknown or out of range, or the version is another.
        """
        readers: dict[str, Callable[[Any], Any]] = {"host": _facts, "widths": _widths, "notes": tuple}
        return read(cls, data, readers)


def _facts(data: HostFacts | Mapping[str, Any]) -> HostFacts:
    return data if isinstance(data, HostFacts) else read(HostFacts, data, {})


def _widths(data: Mapping[str, Any]) -> dict[int, WidthTable]:
    return {int(bits): read(WidthTable, table, {"passes": _passes}) for bits, table in data.items()}


def _passes(data: Sequence[Mapping[str, Any]]) -> tuple[PassTimes, ...]:
    return tuple(read(PassTimes, row, {"blocks_s": tuple}) for row in data)
