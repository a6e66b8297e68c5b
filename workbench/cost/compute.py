"""How long a stage computes: as it was measured, or by a model where nothing was.

Measured times are those of the model's profile (``workbench.profiles.times``), per block and on the device
that they name. The model is the roofline of Williams, Waterman and Patterson (CACM 52(4), 2009) with a fixed
cost per block in front: published decode rates of one device at two sizes agree with it within a few percent,
where a constant share of the bandwidth does not (see ``docs/cost_model.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from workbench.cost.memory import activation_bits, head_bytes, head_elements, weight_bytes
from workbench.plan import Stage
from workbench.profiles import DeviceProfile, Kernel, ModelProfile, WidthTable
from workbench.profiles.times import Surface

__all__ = ["CostSource", "StageCost", "stage_decode_s", "stage_prefill_s", "stage_step_s"]

CostSource = Literal["measured", "analytic"]


class _Part(Protocol):
    """Some of what a stage does."""

    def step_s(self, tokens: int, context: int, batch: int) -> float: ...


@dataclass(frozen=True)
class StageCost:
    """One stage on one device, summed over its blocks, ready to be asked step by step.

    Make it once with ``of`` where many steps are asked for: a step then takes a few microseconds.
    """

    overhead_s: float  # of one forward pass, whatever the stage owns
    parts: tuple[_Part, ...]
    source: CostSource
    spread: float  # half of p10 to p90 of a step over its median; 0 where nobody knows

    @classmethod
    def of(cls, model: ModelProfile, stage: Stage, device: DeviceProfile) -> StageCost:
        """Sum a stage's blocks: as measured where its every width was, else by the model of the device."""
        blocks = _by_width(stage)
        tables = {bits: model.times_on(device.name, bits) for bits in blocks}
        measured = {bits: table for bits, table in tables.items() if table is not None}
        if len(measured) == len(tables):
            return _measured(stage, blocks, measured, device.spread)
        rooflines = [line for bits, own in blocks.items() for line in _rooflines(model, own, bits, device)]
        head = (_Head.of(model, stage.bits, device),) if stage.head else ()
        return cls(device.forward_overhead_s, (*rooflines, *head), "analytic", device.spread)

    def step_s(self, tokens: int, context: int = 0, batch: int = 1) -> float:
        """Seconds of one forward pass.

        Args:
            tokens: new tokens per sequence; the head works on the last of them only.
            context: tokens per sequence that the cache already holds.
            batch: sequences.
        """
        return self.overhead_s + sum(part.step_s(tokens, context, batch) for part in self.parts)


def stage_step_s(
    model: ModelProfile, stage: Stage, device: DeviceProfile, tokens: int, context: int = 0, batch: int = 1
) -> float:
    """Seconds of one forward pass of a stage: ``StageCost.step_s`` asked once."""
    return StageCost.of(model, stage, device).step_s(tokens, context, batch)


def stage_prefill_s(
    model: ModelProfile, stage: Stage, device: DeviceProfile, tokens: int, batch: int = 1
) -> float:
    """Seconds to run a stage over a whole prompt of ``tokens``."""
    return stage_step_s(model, stage, device, tokens, 0, batch)


def stage_decode_s(
    model: ModelProfile, stage: Stage, device: DeviceProfile, context: int, batch: int = 1
) -> float:
    """Seconds to run a stage for one more token after ``context`` tokens."""
    return stage_step_s(model, stage, device, 1, context, batch)


def _by_width(stage: Stage) -> dict[int, list[int]]:
    """The stage's blocks by their weight bits, its own width first; that is there without any block too."""
    blocks: dict[int, list[int]] = {stage.bits: []}
    for block, bits in enumerate(stage.widths, stage.start):
        blocks.setdefault(bits, []).append(block)
    return blocks


def _measured(
    stage: Stage, blocks: Mapping[int, Sequence[int]], tables: Mapping[int, WidthTable], spread: float
) -> StageCost:
    """``spread`` is the device's: passes in a loop vary less than those of requests."""
    own = tables[stage.bits]
    parts: list[_Part] = [_Blocks(tables[bits].blocks_surface(at)) for bits, at in blocks.items() if at]
    if stage.embedding or stage.head:
        parts.append(_Ends(own, stage.embedding, stage.head))
    widest = max(spread, *(table.spread for table in tables.values()))
    return StageCost(own.overhead_s, tuple(parts), "measured", widest)


@dataclass(frozen=True)
class _Blocks:
    """Blocks as they were measured."""

    seconds: Surface

    def step_s(self, tokens: int, context: int, batch: int) -> float:
        return self.seconds.at(tokens, context, batch)


@dataclass(frozen=True)
class _Ends:
    """Embedding and head, as they were measured."""

    table: WidthTable
    embedding: bool
    head: bool

    def step_s(self, tokens: int, context: int, batch: int) -> float:
        embedding_s = self.table.embedding_s(tokens, batch) if self.embedding else 0.0
        return embedding_s + (self.table.head_s(batch) if self.head else 0.0)


@dataclass(frozen=True)
class _Head:
    """Final norm and head, on the last position only; never packed."""

    fixed_s: float  # its own overhead
    reading_s: float  # of its weights
    operations_s: float  # per sequence

    @classmethod
    def of(cls, model: ModelProfile, bits: int, device: DeviceProfile) -> _Head:
        kernel = device.kernel(activation_bits(bits))
        return cls(
            device.head_overhead_s,
            head_bytes(model, bits) / kernel.bandwidth_bytes_per_s,
            2 * head_elements(model) / kernel.flops,
        )

    def step_s(self, tokens: int, context: int, batch: int) -> float:
        return self.fixed_s + max(self.reading_s, self.operations_s * batch)


def _rooflines(
    model: ModelProfile, blocks: Iterable[int], bits: int, device: DeviceProfile
) -> Iterator[_Roofline]:
    """One for each kind of block."""
    kinds: dict[object, list[int]] = {}
    for block in blocks:
        kinds.setdefault(model.kind(block), []).append(block)
    for alike in kinds.values():
        yield _Roofline.of(model, alike[0], len(alike), bits, device)


@dataclass(frozen=True)
class _Roofline:
    """Blocks of one kind and width by the model: each its overhead, and the slower of bytes and operations.

    One block after the other runs, so the slower of the two is taken for each by itself.
    """

    n_blocks: int
    kernel: Kernel
    held_bytes: float  # a block's weights …
    active_bytes: float  # … and what one token reads of them: less in a mixture of experts
    active_params: int
    kv_bytes: int  # per token of context
    attention_width: int
    window: int | None

    @classmethod
    def of(cls, model: ModelProfile, block: int, n: int, bits: int, device: DeviceProfile) -> _Roofline:
        """``n`` blocks like ``block``."""
        held = weight_bytes(model.block_params[block], model.block_quantizable[block], bits)
        share = (
            model.block_active_params[block] / model.block_params[block] if model.block_params[block] else 1.0
        )
        return cls(
            n_blocks=n,
            kernel=device.kernel(bits),
            held_bytes=held,
            active_bytes=held * share,
            active_params=model.block_active_params[block],
            kv_bytes=model.kv_elements[block] * activation_bits(bits) // 8,
            attention_width=model.attention_width[block],
            window=model.window[block],
        )

    def step_s(self, tokens: int, context: int, batch: int) -> float:
        done_s = self._operations(tokens, context, batch) / self.kernel.flops
        slower_s = max(self._moving_s(tokens, context, batch), done_s)
        return self.n_blocks * (self.kernel.block_overhead_s + slower_s)

    def _moving_s(self, tokens: int, context: int, batch: int) -> float:
        kernel, seen = self.kernel, context + tokens
        weights = min(self.held_bytes, self.active_bytes * tokens * batch)
        cache = batch * self.kv_bytes * (seen if self.window is None else min(seen, self.window))
        cache_bandwidth = kernel.cache_bandwidth_bytes_per_s or kernel.bandwidth_bytes_per_s
        return weights / kernel.bandwidth_bytes_per_s + cache / cache_bandwidth

    def _operations(self, tokens: int, context: int, batch: int) -> float:
        # two operations per weight; attention: two products of width x positions, two operations each
        seen = _positions_seen(tokens, context, self.window)
        return batch * (2.0 * self.active_params * tokens + 4.0 * self.attention_width * seen)


def _positions_seen(tokens: int, context: int, window: int | None) -> float:
    """Sum over the new tokens of the positions that each attends to."""
    growing = tokens if window is None else max(0, min(tokens, window - context))
    steady = (tokens - growing) * (window or 0)
    return growing * context + growing * (growing + 1) / 2 + steady
