"""A stage at work in one request: its cache, its pace, its memory.

B batch, T tokens, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from workbench.cost.compute import StageCost
from workbench.devices import Pace
from workbench.errors import ProtocolError
from workbench.models.slice import Boundary, StageModel
from workbench.profiles import DeviceProfile, ModelProfile
from workbench.quantization.weights import resident_bytes
from workbench.trace import Clock
from workbench.wire.sizes import BOUNDARY_NAME

__all__ = ["HOST_KIND", "StageRun", "StepTime", "step_time", "tensors_of"]

HOST_KIND = "host"
StepTime = Callable[[int, int, int], "float | None"]
"""Modelled seconds of a step from (tokens, context, batch); None where the device is this host."""


def step_time(model: ModelProfile, stage: StageModel, device: DeviceProfile | None, clock: Clock) -> StepTime:
    """How long the device would take for the stage's steps.

    On the wall clock this host needs no model of itself; on the virtual clock its own profile stands for it.
    """
    if device is None or (device.kind == HOST_KIND and clock == "wall"):
        return lambda *_: None
    return StageCost.of(model, stage.stage, device).step_s


class StageRun:
    """One stage in one request. Used by one thread.

    Args:
        step_s: what the device would take for a step.
        adapter: of those attached to the stage, the one that the request uses.
        turns: held while a step computes, and until the device would be done with it.
    """

    def __init__(
        self,
        model: StageModel,
        step_s: StepTime,
        pace: Pace,
        batch: int,
        *,
        adapter: str | None = None,
        turns: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._model, self._step_s, self._pace, self._batch = model, step_s, pace, batch
        self._adapter, self._turns = adapter, turns or nullcontext()
        self._cache = model.new_cache(batch)
        self._mask: Tensor | None = None

    @property
    def position(self) -> int:
        """Tokens that the cache holds."""
        return self._cache.length

    @property
    def dtype(self) -> torch.dtype:
        """What the stage computes in: what a boundary activation is read as."""
        return self._model.dtype

    def step(
        self, inputs: Tensor | Boundary, *, padding: Tensor | None = None, token_ids: Tensor | None = None
    ) -> tuple[Tensor | Boundary, float]:
        """Run T more tokens; logits are those of the last position.

        Args:
            inputs: token ids [B, T], or the boundary activation that the stage before gave.
            padding: [B, T], 0 where a prompt is padded on the left; with every step of a padded batch.
            token_ids: [B, T] for an architecture whose later blocks use them.

        Returns:
            The boundary activation, or logits [B, 1, V], and the seconds that the step counts for.
        """
        if padding is not None:
            padding = padding.to(self._model.device)
            self._mask = padding if self._mask is None else torch.cat([self._mask, padding], dim=1)
        with self._turns:
            started_s, context = perf_counter(), self._cache.length
            self._model.use(self._adapter)
            output = self._model.forward(
                self._here(inputs),
                attention_mask=self._mask,
                cache=self._cache,
                token_ids=None if token_ids is None else token_ids.to(self._model.device),
                logits_to_keep=1,
            )
            modelled_s = self._step_s(self._cache.length - context, context, self._batch)
            return output, self._pace.end_step(started_s, modelled_s)

    def _here(self, inputs: Tensor | Boundary) -> Tensor | Boundary:
        device = self._model.device
        if isinstance(inputs, Tensor):
            return inputs.to(device)
        return Boundary(tuple(tensor.to(device) for tensor in inputs.tensors), inputs.names)

    def boundary(self, tensors: Mapping[str, Tensor]) -> Boundary:
        """What ``tensors_of`` gave, as this stage takes it.

        Raises:
            ProtocolError: the other side sent another number of tensors.
        """
        names = self._model.boundary_in
        if len(tensors) != len(names):
            raise ProtocolError(
                f"stage {self._model.stage} takes {len(names)} boundary tensors: {len(tensors)} came"
            )
        return Boundary(tuple(tensors.values()), names)

    def rewind(self, n_tokens: int) -> None:
        """Forget the last tokens."""
        self._cache.rewind(n_tokens)
        if self._mask is not None:
            self._mask = self._mask[:, : self._mask.shape[1] - n_tokens]

    @staticmethod
    def held_bytes(runs: Iterable[StageRun]) -> int:
        """Weights and caches of one place as they lie in memory; what stages share counts once."""
        all_runs = tuple(runs)
        caches = sum(run._cache.n_bytes for run in all_runs)
        return resident_bytes(*(run._model.module for run in all_runs)) + caches


def tensors_of(boundary: Boundary) -> dict[str, Tensor]:
    """A boundary activation as the wire takes it: named by place, so that sizes follow from shapes."""
    names = (BOUNDARY_NAME, *(f"boundary_{i}" for i in range(1, len(boundary.tensors))))
    return dict(zip(names, boundary.tensors, strict=True))
