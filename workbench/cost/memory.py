"""What a place has to hold: weights at their width, the cache, and what a forward pass needs on its way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from workbench.errors import DoesNotFitError
from workbench.plan import DEFAULT_FEATURE, Placement, Plan, Stage
from workbench.profiles import DeviceProfile, ModelProfile

__all__ = [
    "PlaceBytes",
    "activation_bits",
    "fits",
    "head_bytes",
    "head_elements",
    "place_bytes",
    "size_text",
    "stage_bytes",
    "weight_bytes",
]

_ACTIVATION_ROWS = 12
"""Hidden-sized rows per token alive at once in a gated block, where nobody has counted: 2 of the residual,
4 of attention, 6 in between."""
_EMBEDDING_ROWS = 1.25
"""The same before the first block: what was embedded, and tables of positions."""
_NORM_ROWS = {16: 5, 32: 3}
"""The same at the final norm, which computes in float32: what goes in, and two rows of its own."""


@dataclass(frozen=True)
class PlaceBytes:
    """Bytes that one place holds at its peak."""

    weights: int
    cache: int
    activations: int

    @property
    def total(self) -> int:
        """What has to fit."""
        return self.resident + self.activations

    @property
    def resident(self) -> int:
        """What stays between two passes: weights and cache, as a run measures them."""
        return self.weights + self.cache

    def __add__(self, other: PlaceBytes) -> PlaceBytes:
        return PlaceBytes(
            self.weights + other.weights,
            self.cache + other.cache,
            max(self.activations, other.activations),  # stages of one place take turns
        )


def activation_bits(bits: int) -> int:
    """Width of everything that is not packed: 32 with float32 weights, else 16."""
    return 32 if bits == 32 else 16


def weight_bytes(elements: int, quantizable: int, bits: int) -> float:
    """Bytes of a block's parameters as they lie in memory.

    Args:
        elements: all parameters of the block.
        quantizable: those in linear layers, which 8 and 4 bits pack; the others keep 16 bits.
        bits: one of ``plan.BITS``.
    """
    if bits >= 16:
        return elements * bits / 8
    return quantizable * _PACKED[bits] + (elements - quantizable) * 2.0


_PACKED = {8: 1.0, 4: 0.5 + 4 / 32}
"""Bytes per packed weight: 4 bits carry a 16-bit scale and zero point per group of 32. The scale per output
channel that 8 bits carry is left out: 1 % of a layer of 192 inputs, 0.4 % of one of 2048."""


def head_elements(model: ModelProfile) -> int:
    """Parameters of the final norm and head, also where the embedding's tensor is reused."""
    return model.head_params or (model.vocab * model.hidden if model.tied else 0)


def head_bytes(model: ModelProfile, bits: int) -> int:
    """Bytes of the head, which is never packed."""
    return head_elements(model) * activation_bits(bits) // 8


def stage_bytes(
    model: ModelProfile, stage: Stage, batch: int = 1, prompt_tokens: int = 64, new_tokens: int = 32
) -> PlaceBytes:
    """Bytes of one stage at the end of a request."""
    own, element = slice(stage.start, stage.stop), activation_bits(stage.bits) // 8
    shapes = Counter(zip(model.block_params[own], model.block_quantizable[own], stage.widths, strict=True))
    packed = sum(n * weight_bytes(*shape) for shape, n in shapes.items())  # most blocks are alike
    ends = (model.embedding_params * element if stage.embedding else 0) + (
        head_bytes(model, stage.bits) if stage.head else 0
    )
    if stage.is_whole and model.tied:
        ends -= min(model.embedding_params, head_elements(model)) * element
    context = prompt_tokens + new_tokens
    caches = Counter(zip(model.kv_elements[own], model.window[own], strict=True))
    cached = sum(n * kept * min(context, window or context) * element for (kept, window), n in caches.items())
    alive = _activation_elements(model, stage, batch, prompt_tokens)
    return PlaceBytes(round(packed) + ends, cached * batch, alive * element)


def _activation_elements(model: ModelProfile, stage: Stage, batch: int, tokens: int) -> int:
    """Numbers alive at once, at the peak of a prompt's pass: before the blocks, in one, or at the head."""
    rows = batch * tokens
    came_in = 0 if stage.embedding else rows * model.boundary_elements[stage.start]
    shapes: set[tuple[int, int] | None] = set(model.activations[stage.start : stage.stop])
    if stage.n_blocks and not shapes:
        shapes = {None}
    blocks = [_block_elements(model, shape, batch, tokens) for shape in shapes]
    first = round(_EMBEDDING_ROWS * rows * model.boundary_elements[0]) if stage.embedding else 0
    norm = _NORM_ROWS[activation_bits(stage.bits)] * rows * model.hidden
    head = norm + batch * model.vocab if stage.head else 0
    return came_in + max(first, head, *blocks)


def _block_elements(model: ModelProfile, shape: tuple[int, int] | None, batch: int, tokens: int) -> int:
    """Of a block that keeps so many numbers per token and per pair of tokens; None where nobody counted."""
    if shape is None:
        return _ACTIVATION_ROWS * model.hidden * batch * tokens
    per_token, per_pair = shape
    return batch * tokens * (per_token + tokens * per_pair)


def place_bytes(
    model: ModelProfile,
    placement: Placement,
    *,
    batch: int = 1,
    prompt_tokens: int = 64,
    new_tokens: int = 32,
) -> dict[str, PlaceBytes]:
    """Bytes per place. A place with several stages holds all of them, a tied embedding and head once."""
    sums: dict[str, PlaceBytes] = {}
    for place in placement.partition.places:
        stages = placement.partition.on(place)
        total = PlaceBytes(0, 0, 0)
        for stage in stages:
            total += stage_bytes(model, stage, batch, prompt_tokens, new_tokens)
        sums[place] = _share_tied(model, stages, total)
    return sums


def fits(
    plan: Plan,
    model: ModelProfile,
    devices: Mapping[str, DeviceProfile],
    *,
    batch: int = 1,
    prompt_tokens: int = 64,
    new_tokens: int = 32,
    feature: str = DEFAULT_FEATURE,
) -> dict[str, PlaceBytes]:
    """What each place holds, if it can.

    Raises:
        DoesNotFitError: a place needs more than its device has; names place, need and capacity.
    """
    placement = plan.placement(feature)
    needs = place_bytes(model, placement, batch=batch, prompt_tokens=prompt_tokens, new_tokens=new_tokens)
    for place, need in needs.items():
        device = devices[place]
        if need.total > device.memory_bytes:
            raise DoesNotFitError(_too_much(model, place, need, device))
    return needs


def _too_much(model: ModelProfile, place: str, need: PlaceBytes, device: DeviceProfile) -> str:
    held, capacity = size_text(need.total), size_text(device.memory_bytes)
    return (
        f"{place} needs {held} of {model.name!r} ({size_text(need.weights)} weights, "
        f"{size_text(need.cache)} cache), but {device.title} has {capacity}: move blocks away, use fewer "
        f"weight bits, or a shorter context"
    )


def size_text(n_bytes: float) -> str:
    """Bytes as messages say them."""
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.2f} MB"


def _share_tied(model: ModelProfile, stages: tuple[Stage, ...], total: PlaceBytes) -> PlaceBytes:
    ends = [s for s in stages if s.embedding or s.head]
    if not model.tied or len(ends) < 2 or len({activation_bits(s.bits) for s in ends}) > 1:
        return total
    shared = min(model.embedding_params, head_elements(model)) * activation_bits(ends[0].bits) // 8
    return PlaceBytes(total.weights - shared, total.cache, total.activations)
