"""Every block of a model on one device, as columns that a planner adds up: no run of blocks is asked twice.

A pass over blocks [i, j) takes the device's overhead and the sum of its blocks; embedding and head come on
top. The same model of computing as ``StageCost``, for all runs of blocks at once.

n blocks, K contexts that stand for all of a request's decode steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from workbench.cost.compute import StageCost
from workbench.cost.memory import activation_bits, head_bytes, stage_bytes
from workbench.plan import Stage
from workbench.profiles import DeviceProfile, ModelProfile

__all__ = ["BlockColumns", "Floats", "decode_contexts"]

Floats: TypeAlias = NDArray[np.float64]
_MOST_CONTEXTS = 8
_PLACE = "device"


class _Size(TypedDict):
    batch: int
    prompt_tokens: int
    new_tokens: int


def decode_contexts(prompt_tokens: int, new_tokens: int) -> tuple[int, ...]:
    """Contexts whose steps stand for those of every token after the first.

    All of them for a short answer; else the middles of equal parts, whose mean is that of all.
    """
    steps = new_tokens - 1
    if steps <= _MOST_CONTEXTS:
        return tuple(range(prompt_tokens, prompt_tokens + steps))
    parts = np.linspace(0, steps, _MOST_CONTEXTS + 1)
    return tuple(int(m) for m in np.rint(prompt_tokens - 0.5 + (parts[:-1] + parts[1:]) / 2))


@dataclass(frozen=True)
class BlockColumns:
    """One model on one device at one width, in one request.

    Columns have an entry per block; ``decode_s`` is the mean over the tokens after the first.
    """

    prefill_s: Floats  # [n]
    decode_s: Floats  # [n]
    held_bytes: Floats  # [n] weights and, at the end of the request, cache
    overhead_s: float  # of one forward pass of a stage
    embedding_s: tuple[float, float]  # prefill, decode
    head_s: float
    embedding_bytes: int
    head_bytes: int
    shared_bytes: int  # what a device that owns both ends saves, where they are tied
    alive_bytes: Floats  # [n + 1, n + 1] activations in blocks [i, j) at their peak
    received_bytes: Floats  # [n + 1] the prompt's boundary activation, by split point
    embedding_alive_bytes: int  # activations of the embedding at its peak …
    head_alive_bytes: int  # … and of the head
    spread: float

    @classmethod
    def of(
        cls,
        model: ModelProfile,
        device: DeviceProfile,
        bits: int,
        *,
        prompt_tokens: int,
        new_tokens: int,
        batch: int,
    ) -> BlockColumns:
        """Ask the model of computing once per distinct block."""
        size = _Size(batch=batch, prompt_tokens=prompt_tokens, new_tokens=new_tokens)
        ends = _Ends.of(model, device, bits, batch)
        costs, numbers = _distinct(model, device, bits)
        contexts = decode_contexts(prompt_tokens, new_tokens)
        prefill = [cost.step_s(prompt_tokens, 0, batch) - ends.overhead_s for cost in costs]
        decode = [_mean(cost, contexts, batch) - ends.overhead_s if contexts else 0.0 for cost in costs]
        held, alive = _block_bytes(model, bits, size)
        n = model.n_blocks
        first = stage_bytes(model, Stage(_PLACE, 0, 0, embedding=True, bits=bits), **size)
        last = stage_bytes(model, Stage(_PLACE, n, n, head=True, bits=bits), **size)
        element = activation_bits(bits) // 8
        received = np.array(model.boundary_elements, dtype=float) * batch * prompt_tokens * element
        embedding_bytes = model.embedding_params * element
        shared = min(embedding_bytes, head_bytes(model, bits)) if model.tied else 0
        return cls(
            prefill_s=np.array(prefill)[numbers],
            decode_s=np.array(decode)[numbers],
            held_bytes=held,
            overhead_s=ends.overhead_s,
            embedding_s=(ends.embedding_s(prompt_tokens, batch), ends.embedding_s(1, batch)),
            head_s=ends.head_s,
            embedding_bytes=embedding_bytes,
            head_bytes=head_bytes(model, bits),
            shared_bytes=shared,
            alive_bytes=_running_peaks(alive),
            received_bytes=received,
            embedding_alive_bytes=first.activations,
            head_alive_bytes=last.activations - int(received[-1]),
            spread=costs[0].spread,
        )


@dataclass(frozen=True)
class _Ends:
    """What a pass takes besides its blocks."""

    overhead_s: float
    first: StageCost  # the embedding alone
    head_s: float

    @classmethod
    def of(cls, model: ModelProfile, device: DeviceProfile, bits: int, batch: int) -> _Ends:
        first = StageCost.of(model, Stage(_PLACE, 0, 0, embedding=True, bits=bits), device)
        last = StageCost.of(
            model, Stage(_PLACE, model.n_blocks, model.n_blocks, head=True, bits=bits), device
        )
        overhead_s = first.overhead_s
        return cls(overhead_s, first, last.step_s(1, 1, batch) - overhead_s)

    def embedding_s(self, tokens: int, batch: int) -> float:
        return self.first.step_s(tokens, 0, batch) - self.overhead_s


def _distinct(model: ModelProfile, device: DeviceProfile, bits: int) -> tuple[list[StageCost], list[int]]:
    """A cost for each kind of block, and the kind of each block; measured ones are all of their own kind."""
    kinds: dict[object, int] = {}
    measured = model.times_on(device.name, bits) is not None
    numbers = [kinds.setdefault(b if measured else model.kind(b), len(kinds)) for b in range(model.n_blocks)]
    firsts = [numbers.index(kind) for kind in range(len(kinds))]
    return [StageCost.of(model, Stage(_PLACE, b, b + 1, bits=bits), device) for b in firsts], numbers


def _block_bytes(model: ModelProfile, bits: int, size: _Size) -> tuple[Floats, Floats]:
    """Of each block: weights and, at the end of the request, cache; and activations, [n] each."""
    known: dict[object, tuple[float, float]] = {}
    for b in range(model.n_blocks):
        if model.kind(b) not in known:
            found = stage_bytes(model, Stage(_PLACE, b, b + 1, bits=bits), **size)
            element = activation_bits(bits) // 8
            received = model.boundary_elements[b] * size["batch"] * size["prompt_tokens"] * element
            known[model.kind(b)] = found.weights + found.cache, found.activations - received
    held, alive = zip(*(known[model.kind(b)] for b in range(model.n_blocks)), strict=True)
    return np.array(held, dtype=float), np.array(alive, dtype=float)


def _running_peaks(column: Floats) -> Floats:
    """The largest of every run of blocks [i, j), [n + 1, n + 1]; 0 where there is none."""
    n = len(column)
    peaks = np.zeros((n + 1, n + 1))
    for i in range(n):
        peaks[i, i + 1 :] = np.maximum.accumulate(column[i:])
    return peaks


def _mean(cost: StageCost, contexts: tuple[int, ...], batch: int) -> float:
    return sum(cost.step_s(1, context, batch) for context in contexts) / len(contexts)
