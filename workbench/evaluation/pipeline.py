"""A plan's real stages in one process, with the wire codec's round trip at every split point."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.models.adapters import Adapter, load_adapter
from workbench.models.slice import Boundary, StageModel
from workbench.plan import Placement, Stage
from workbench.quantization.weights import resident_bytes
from workbench.wire.codec import decode_tensors, encode_tensors

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["StageShelf", "crossed", "run_stages"]

_MAX_BYTES = 2 << 30
_Key = tuple[str, str, Stage]


class StageShelf:
    """Loaded stages, kept for the next plan that has them too. Not for several threads at once."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._stages: OrderedDict[_Key, StageModel] = OrderedDict()
        self._adapters: dict[str, str] = {}  # fingerprints by name

    def stages(self, model: Model, placement: Placement, device: str) -> list[StageModel]:
        """The placement's stages in order, loaded where they are not yet, with its adapter at work.

        Raises:
            AdapterError: the adapter is missing, or of another base.
            CheckpointError: the weights are missing, incomplete or damaged.
            UnsupportedArchitectureError: the model cannot be split there truthfully.
        """
        adapter = None if placement.adapter is None else load_adapter(placement.adapter, model)
        if adapter is not None:
            self._forget_older(adapter)
        keys = [_key(model, stage, device) for stage in placement.partition.stages]
        for key, stage in zip(keys, placement.partition.stages, strict=True):
            if key not in self._stages:
                self._make_room(keys)
                self._stages[key] = model.load_stage(stage, device=device)
            self._stages.move_to_end(key)
        self._make_room(keys)
        found = [self._stages[key] for key in keys]
        for each in found:
            if adapter is not None:
                each.attach(adapter)
            each.use(None if adapter is None else adapter.name)
        return found

    def _forget_older(self, adapter: Adapter) -> None:
        """Let go of all stages where the adapter's files have changed: some may hold what they were."""
        if self._adapters.setdefault(adapter.name, adapter.fingerprint) != adapter.fingerprint:
            self._stages.clear()
            self._adapters[adapter.name] = adapter.fingerprint

    def _make_room(self, needed: Sequence[_Key]) -> None:
        """Let go of what has not been used for longest, never of what is needed now."""
        while self._n_bytes() > self._max_bytes:
            idle = next((key for key in self._stages if key not in needed), None)
            if idle is None:
                return
            del self._stages[idle]

    def _n_bytes(self) -> int:
        return sum(resident_bytes(stage.module) for stage in self._stages.values())


def _key(model: Model, stage: Stage, device: str) -> _Key:
    """Where a stage is placed does not change what it computes."""
    return (model.fingerprint, device, replace(stage, place="anywhere"))


@torch.inference_mode()
def run_stages(stages: Sequence[StageModel], wire: str, tokens: Tensor) -> Tensor:
    """Logits [B, T, V] of token ids [B, T], each boundary activation sent through the codec."""
    state: Tensor | Boundary = tokens.to(stages[0].device)
    for stage in stages:
        if isinstance(state, Boundary):
            state = crossed(state, wire, stage)
        state = stage.forward(state, token_ids=tokens.to(stage.device) if stage.needs_token_ids else None)
    assert isinstance(state, Tensor)
    return state


def crossed(boundary: Boundary, wire: str, to: StageModel) -> Boundary:
    """What the next stage's device gets."""
    named = {f"boundary_{i}": tensor for i, tensor in enumerate(boundary.tensors)}
    headers, frames = encode_tensors(named, wire)
    tensors = decode_tensors(headers, frames, dtype=to.dtype)
    return Boundary(tuple(tensor.to(to.device) for tensor in tensors.values()), boundary.names)
