"""How long a stage computes: fixed cost per block, and the slower of moving bytes and doing operations.

The roofline of Williams, Waterman and Patterson (CACM 52(4), 2009) with a fixed cost per block in front:
published decode rates of one device at two sizes agree with it within a few percent, where a constant
share of the bandwidth does not (see ``docs/cost_model.md``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.cost.memory import activation_bits, head_bytes, head_elements, weight_bytes
from workbench.plan import Stage
from workbench.profiles import DeviceProfile, ModelProfile

__all__ = ["StageCost", "stage_decode_s", "stage_prefill_s", "stage_step_s"]

_Windows = tuple[tuple["int | None", int], ...]


@dataclass(frozen=True)
class StageCost:
    """One stage on one device, summed over its blocks, ready to be asked step by step.

    Make it once with ``of`` where many steps are asked for: a step then takes about a microsecond.
    """

    fixed_s: float  # overheads of one forward pass
    bandwidth_bytes_per_s: float
    cache_bandwidth_bytes_per_s: float
    flops: float
    dense_bytes: float  # weights that every pass reads whole
    expert_bytes: float  # weights of blocks that hold more than a token uses …
    expert_active_bytes: float  # … and what one token uses of them
    active_params: float
    kv_bytes: _Windows  # per token of context, by attention window
    attention_width: _Windows
    head_s_fixed: float  # reading the head's weights
    head_s_per_token: float  # the head's operations

    @classmethod
    def of(cls, model: ModelProfile, stage: Stage, device: DeviceProfile) -> StageCost:
        """Sum a stage's blocks."""
        kernel = device.kernel(stage.bits)
        blocks = range(stage.start, stage.stop)
        experts = [b for b in blocks if model.block_active_params[b] < model.block_params[b]]
        held = {
            b: weight_bytes(model.block_params[b], model.block_quantizable[b], stage.bits) for b in blocks
        }
        used = {b: held[b] * model.block_active_params[b] / model.block_params[b] for b in experts}
        element = activation_bits(stage.bits) // 8
        head = head_elements(model) if stage.head else 0
        head_kernel = device.kernel(activation_bits(stage.bits))
        return cls(
            fixed_s=device.forward_overhead_s
            + stage.n_blocks * kernel.block_overhead_s
            + (device.head_overhead_s if head else 0.0),
            bandwidth_bytes_per_s=kernel.bandwidth_bytes_per_s,
            cache_bandwidth_bytes_per_s=kernel.cache_bandwidth_bytes_per_s or kernel.bandwidth_bytes_per_s,
            flops=kernel.flops,
            dense_bytes=sum(held[b] for b in blocks if b not in used),
            expert_bytes=sum(held[b] for b in experts),
            expert_active_bytes=sum(used.values()),
            active_params=sum(model.block_active_params[b] for b in blocks),
            kv_bytes=_by_window(model, blocks, [model.kv_elements[b] * element for b in blocks]),
            attention_width=_by_window(model, blocks, [model.attention_width[b] for b in blocks]),
            head_s_fixed=(head_bytes(model, stage.bits) if head else 0) / head_kernel.bandwidth_bytes_per_s,
            head_s_per_token=2 * head / head_kernel.flops,
        )

    def step_s(self, tokens: int, context: int = 0, batch: int = 1) -> float:
        """Seconds of one forward pass.

        Args:
            tokens: new tokens per sequence; the head works on the last of them only.
            context: tokens per sequence that the cache already holds.
            batch: sequences.
        """
        moved = self._moving_s(tokens, context, batch)
        done = self._operations(tokens, context, batch) / self.flops
        head = max(self.head_s_fixed, self.head_s_per_token * batch)
        return self.fixed_s + max(moved, done) + head

    def _moving_s(self, tokens: int, context: int, batch: int) -> float:
        experts = min(self.expert_bytes, self.expert_active_bytes * tokens * batch)
        cache = batch * sum(n * _clip(context + tokens, window) for window, n in self.kv_bytes)
        weights_s = (self.dense_bytes + experts) / self.bandwidth_bytes_per_s
        return weights_s + cache / self.cache_bandwidth_bytes_per_s

    def _operations(self, tokens: int, context: int, batch: int) -> float:
        # two operations per weight; attention: two products of width x positions, two operations each
        seen = sum(n * _positions_seen(tokens, context, window) for window, n in self.attention_width)
        return batch * (2.0 * self.active_params * tokens + 4.0 * seen)


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


def _by_window(model: ModelProfile, blocks: Sequence[int], values: Sequence[int]) -> _Windows:
    sums: Counter[int | None] = Counter()
    for block, value in zip(blocks, values, strict=True):
        sums[model.window[block]] += value
    return tuple(sums.items())


def _clip(positions: int, window: int | None) -> int:
    return positions if window is None else min(positions, window)


def _positions_seen(tokens: int, context: int, window: int | None) -> float:
    """Sum over the new tokens of the positions that each attends to."""
    growing = tokens if window is None else max(0, min(tokens, window - context))
    steady = (tokens - growing) * (window or 0)
    return growing * context + growing * (growing + 1) / 2 + steady
