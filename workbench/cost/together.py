"""What a place holds for all of a plan's features at once: what they share is there once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from workbench.cost.memory import (
    PlaceBytes,
    activation_bits,
    head_bytes,
    head_elements,
    place_bytes,
    size_text,
    weight_bytes,
)
from workbench.errors import DoesNotFitError, UnknownNameError
from workbench.plan import DEFAULT_FEATURE, Placement, Plan, Stage
from workbench.profiles import DeviceProfile, ModelProfile

__all__ = ["Piece", "base_of", "fits_together", "total_bytes", "weight_pieces", "working_bytes"]

_T = TypeVar("_T")

Piece = tuple[str, str, int, int]
"""A piece of weights that is loaded once: its base model, the part, the block, the width in bits."""


def base_of(model: str) -> str:
    """The model whose weights these are: an early exit such as ``tiny@4`` is made of ``tiny``'s."""
    base, at, after = model.rpartition("@")
    return base if at and base and after.isdigit() else model


def weight_pieces(
    name: str,
    model: ModelProfile,
    placement: Placement,
    adapter_bytes: Mapping[str, int] | None = None,
) -> dict[str, dict[Piece, float]]:
    """By place, the bytes of each piece of weights that a placement needs there.

    Args:
        name: what the plan calls the model.
        adapter_bytes: of each adapter by name, spread evenly over the blocks.

    Raises:
        UnknownNameError: the placement has an adapter whose bytes are not given.
    """
    found: dict[str, dict[Piece, float]] = {}
    for stage in placement.partition.stages:
        pieces = found.setdefault(stage.place, {})
        pieces |= _blocks(base_of(name), model, stage) | _ends(base_of(name), model, stage)
        if placement.adapter is not None:
            pieces |= _adapted(name, model, stage, placement.adapter, adapter_bytes or {})
    return found


def _blocks(base: str, model: ModelProfile, stage: Stage) -> dict[Piece, float]:
    return {
        (base, "block", b, bits): weight_bytes(model.block_params[b], model.block_quantizable[b], bits)
        for b, bits in zip(range(stage.start, stage.stop), stage.widths, strict=True)
    }


def _ends(base: str, model: ModelProfile, stage: Stage) -> dict[Piece, float]:
    """Embedding and head; where they are one tensor, that is a piece of its own."""
    bits = activation_bits(stage.bits)
    shared = min(model.embedding_params, head_elements(model)) * bits / 8 if model.tied else 0.0
    found: dict[Piece, float] = {}
    if shared and (stage.embedding or stage.head):
        found[base, "table", 0, bits] = shared
    if stage.embedding:
        found[base, "embedding", 0, bits] = model.embedding_params * bits / 8 - shared
    if stage.head:
        found[base, "head", 0, bits] = head_bytes(model, stage.bits) - shared
    return found


def _adapted(
    name: str, model: ModelProfile, stage: Stage, adapter: str, known: Mapping[str, int]
) -> dict[Piece, float]:
    if adapter not in known:
        raise UnknownNameError("adapter of known size", adapter, known)
    each = known[adapter] / model.n_blocks
    return {(name, f"adapter {adapter}", b, 0): each for b in range(stage.start, stage.stop)}


def working_bytes(
    model: ModelProfile,
    placement: Placement,
    *,
    batch: int = 1,
    prompt_tokens: int = 64,
    new_tokens: int = 32,
) -> dict[str, PlaceBytes]:
    """By place, what one request needs besides the weights: ``PlaceBytes`` with none."""
    found = place_bytes(model, placement, batch=batch, prompt_tokens=prompt_tokens, new_tokens=new_tokens)
    return {place: PlaceBytes(0, need.cache, need.activations) for place, need in found.items()}


def fits_together(
    plan: Plan,
    profiles: Mapping[str, ModelProfile],
    devices: Mapping[str, DeviceProfile],
    *,
    batch: int = 1,
    prompt_tokens: int = 64,
    new_tokens: int = 32,
    tokens: Mapping[str, tuple[int, int]] | None = None,
    adapter_bytes: Mapping[str, int] | None = None,
    features: Iterable[str] | None = None,
) -> dict[str, PlaceBytes]:
    """What each place holds for all features, if it can.

    All weights stay loaded; a block, an embedding or a head of one base model and width is there once. One
    request runs at a time: cache and activations are those of the feature that needs most.

    Args:
        profiles: of every model of the plan, by the name that the plan has for it.
        prompt_tokens, new_tokens: of the features that ``tokens`` does not name.
        tokens: prompt and new tokens by feature.
        adapter_bytes: of each adapter by name.
        features: those of the plan that are there; None for all, the default before the others.

    Raises:
        DoesNotFitError: a place needs more than its device has; names the first feature that does not fit
            beside those before it, and by how much.
        UnknownNameError: a feature, a model's profile, a place's device or an adapter's size is missing.
    """
    shelves: dict[str, _Shelf] = {}
    for feature in dict.fromkeys((DEFAULT_FEATURE, *plan.features) if features is None else features):
        name, placement = plan.model_of(feature), plan.placement(feature)
        model = _known("model with a profile", name, profiles)
        prompt, new = (tokens or {}).get(feature, (prompt_tokens, new_tokens))
        working = working_bytes(model, placement, batch=batch, prompt_tokens=prompt, new_tokens=new)
        for place, pieces in weight_pieces(name, model, placement, adapter_bytes).items():
            device = _known("place with a device", place, devices)
            shelves.setdefault(place, _Shelf(place, device)).put(feature, name, pieces, working[place])
    return {place: shelf.held for place, shelf in shelves.items()}


@dataclass
class _Shelf:
    """What lies on one place so far."""

    place: str
    device: DeviceProfile
    features: list[str] = field(default_factory=list)
    pieces: dict[Piece, float] = field(default_factory=dict)
    working: PlaceBytes = field(default_factory=lambda: PlaceBytes(0, 0, 0))

    @property
    def held(self) -> PlaceBytes:
        return PlaceBytes(total_bytes(self.pieces.values()), self.working.cache, self.working.activations)

    def put(self, feature: str, model: str, pieces: Mapping[Piece, float], working: PlaceBytes) -> None:
        before = self.held.total
        self.pieces |= pieces
        self.working = max(self.working, working, key=lambda need: need.total)
        if self.held.total > self.device.memory_bytes:
            raise DoesNotFitError(self._too_much(feature, model, self.held.total - before))
        self.features.append(feature)

    def _too_much(self, feature: str, model: str, added: int) -> str:
        held, capacity = self.held.total, self.device.memory_bytes
        beside = f" beside {', '.join(map(repr, self.features))}" if self.features else ""
        return (
            f"{self.place} cannot hold {feature!r} ({model!r}){beside}: it adds {size_text(added)} to make "
            f"{size_text(held)}, {size_text(held - capacity)} more than the {size_text(capacity)} of "
            f"{self.device.title}. Place it elsewhere, or let it share blocks, an exit or fewer weight bits"
        )


def total_bytes(pieces: Iterable[float]) -> int:
    """Whole bytes of pieces, whatever their order."""
    return round(math.fsum(pieces))


def _known(kind: str, name: str, known: Mapping[str, _T]) -> _T:
    if name not in known:
        raise UnknownNameError(kind, name, known)
    return known[name]
