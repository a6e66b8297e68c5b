"""A model cut down to one stage. The architecture's own forward runs; what it does not own is passed over.

Blocks below the stage give back a placeholder, the boundary activation takes the place of the arguments of
the stage's first block, and the forward ends where the next stage begins. Which tensors cross, and what is
computed again on each side, is found by ``anatomy``.

Shapes: B batch, T tokens of this forward, P tokens seen before, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from workbench.errors import InputError, PlanError, UnsupportedArchitectureError
from workbench.models.anatomy import Anatomy, find_anatomy
from workbench.models.attached import Adapters
from workbench.models.kv_cache import DEFAULT_REWIND, StageCache
from workbench.models.pasts import new_past
from workbench.models.wiring import Wiring
from workbench.plan import Stage
from workbench.quantization.weights import PackedLinear

if TYPE_CHECKING:
    from workbench.models.adapters import Adapter

__all__ = ["Boundary", "StageModel", "can_split", "share_tied", "slice_model"]


@dataclass(frozen=True)
class Boundary:
    """What crosses a split point in one forward; for most architectures one tensor [B, T, D].

    Names tell where each tensor goes and stay the same for one architecture and split point.
    """

    tensors: tuple[Tensor, ...]
    names: tuple[str, ...]


class StageModel:
    """One stage of a model, ready to run once its own parameters hold their weights.

    Not for several threads at once. Made by ``slice_model``.

    Attributes:
        stage: what it runs.
        module: the model, with the parameters that the stage owns and no others.
        anatomy: of the whole model.
        aliases: per parameter of the whole model, the names that share its tensor, its own among them; a
            checkpoint may hold the tensor under any of these.
    """

    def __init__(self, module: PreTrainedModel, stage: Stage, anatomy: Anatomy) -> None:
        self.stage = stage
        self.module = module
        self.anatomy = anatomy
        self.aliases: Mapping[str, tuple[str, ...]] = _aliases(module)
        self._wiring = Wiring(module, stage, anatomy)
        self._adapters = Adapters(module, stage, anatomy.n_blocks)

    @property
    def needs_token_ids(self) -> bool:
        """True where token ids must come with each boundary, as the stage's blocks read them."""
        return self._wiring.needs_token_ids

    @property
    def boundary_in(self) -> tuple[str, ...]:
        """Names of the tensors that come in; empty for a stage with the embedding."""
        return tuple(c.name for c in self._wiring.incoming)

    @property
    def boundary_out(self) -> tuple[str, ...]:
        """Names of the tensors that go out; empty for a stage with the head."""
        return tuple(c.name for c in self._wiring.outgoing)

    @property
    def dtype(self) -> torch.dtype:
        """What the stage computes in."""
        return self.module.dtype

    @property
    def device(self) -> torch.device:
        return self.module.device

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the attached adapters."""
        return self._adapters.names

    @property
    def adapter(self) -> str | None:
        """The adapter that the next forward uses; None for the base alone."""
        return self._adapters.active

    def attach(self, adapter: Adapter) -> None:
        """Hold an adapter's pieces of the stage's own blocks, in what the stage computes in.

        The base's weights stay as they are, and are there once for any number of adapters. The adapter is
        not active before ``use`` says so.

        Raises:
            AdapterError: it is of another model, another one of its name is attached, or its file is damaged.
        """
        self._adapters.attach(adapter)

    def use(self, name: str | None) -> None:
        """Choose the adapter of the next forwards, or None for the base alone, bit for bit.

        Takes a microsecond. A cache holds keys and values of the adapter that made them: begin a new one.

        Raises:
            UnknownNameError: no adapter of that name is attached.
        """
        self._adapters.use(name)

    def new_cache(self, batch: int = 1, *, max_rewind: int = DEFAULT_REWIND) -> StageCache:
        """An empty cache for ``batch`` sequences.

        Args:
            batch: number of sequences.
            max_rewind: how many tokens can be taken back where layers forget; elsewhere all can.

        Raises:
            UnsupportedArchitectureError: the architecture has no cache.
        """
        argument, stage, module = self.anatomy.cache_argument, self.stage, self.module
        if argument is None:
            raise UnsupportedArchitectureError(
                f"{self.anatomy.architecture} has no cache: give it all tokens in each forward, cache=None"
            )
        past = new_past(
            module.config,
            argument,
            stage.start,
            stage.stop,
            batch=batch,
            device=self.device,
            dtype=self.dtype,
        )
        own = [(module.get_submodule(p), name) for p, name in self.anatomy.flow.module_state if self._runs(p)]
        return StageCache(past, self._owned_cache_layers(), in_modules=own, max_rewind=max_rewind)

    @torch.inference_mode()
    def forward(
        self,
        inputs: Tensor | Boundary,
        *,
        attention_mask: Tensor | None = None,
        cache: StageCache | None = None,
        token_ids: Tensor | None = None,
        logits_to_keep: int = 0,
    ) -> Boundary | Tensor:
        """Run the stage over some tokens.

        Args:
            inputs: token ids [B, T] where the stage owns the embedding, else what the one before returned.
            attention_mask: [B, P + T], 1 for tokens and 0 for left padding; None for no padding.
            cache: of ``new_cache``; what came before, and where these tokens are added.
            token_ids: [B, T], where ``needs_token_ids``.
            logits_to_keep: logits of the last so many tokens only; 0 for all.

        Returns:
            Logits [B, T or logits_to_keep, V] where the stage owns the head, else the boundary activation.

        Raises:
            InputError: the inputs are not this stage's.
        """
        ids = self._ids(inputs, token_ids)
        call = self._call(ids, attention_mask, cache, logits_to_keep)
        if cache is not None:
            cache.before()
        boundary = inputs.tensors if isinstance(inputs, Boundary) else ()
        result = self._wiring.run(call, boundary, None if cache is None else cache.past)
        if cache is not None:
            cache.advance(ids.shape[1])
        if isinstance(result, tuple):
            return Boundary(result, self.boundary_out)
        return result[:, -logits_to_keep:] if logits_to_keep else result

    def _owned_cache_layers(self) -> frozenset[int] | None:
        if self.stage.is_whole:
            return None
        blocks = self.anatomy.flow.cache_layers[self.stage.start : self.stage.stop]
        return frozenset(i for layers in blocks for i in layers) | self._wiring.borrowed_layers

    def _runs(self, path: str) -> bool:
        block = self.anatomy.block_of(path)
        return block is None or self.stage.start <= block < self.stage.stop

    def _ids(self, inputs: Tensor | Boundary, token_ids: Tensor | None) -> Tensor:
        if isinstance(inputs, Tensor):
            if not self.stage.embedding:
                raise InputError(f"stage {self.stage} takes a boundary activation, not token ids")
            return inputs
        if self.stage.embedding or inputs.names != self.boundary_in:
            raise InputError(
                f"stage {self.stage} takes {self.boundary_in or 'token ids'}, got {inputs.names}"
            )
        if token_ids is not None:
            return token_ids
        if self.needs_token_ids:
            raise InputError(f"stage {self.stage} needs token_ids too: its blocks read them")
        return self._wiring.blank_ids(inputs.tensors)

    def _call(
        self, ids: Tensor, attention_mask: Tensor | None, cache: StageCache | None, logits_to_keep: int
    ) -> dict[str, Any]:
        call: dict[str, Any] = {"input_ids": ids, "use_cache": cache is not None}
        accepted = self.anatomy.arguments
        if "position_ids" in accepted:
            call["position_ids"] = _positions(ids, attention_mask, cache.length if cache else 0)
        if attention_mask is not None and "attention_mask" in accepted:
            call["attention_mask"] = attention_mask
        if cache is not None and self.anatomy.cache_argument:
            call[self.anatomy.cache_argument] = cache.past
        if logits_to_keep and self.stage.head and "logits_to_keep" in accepted:
            call["logits_to_keep"] = logits_to_keep
        return call


def _positions(ids: Tensor, attention_mask: Tensor | None, past: int) -> Tensor:
    """Position ids [B or 1, T], counted as ``transformers`` does when it generates."""
    n_tokens = ids.shape[1]
    if attention_mask is None:
        return torch.arange(past, past + n_tokens, device=ids.device).unsqueeze(0)
    positions = (attention_mask.long().cumsum(-1) - 1).masked_fill(attention_mask == 0, 0)
    return positions[:, -n_tokens:]


def _aliases(module: PreTrainedModel) -> dict[str, tuple[str, ...]]:
    """Per parameter, every name that it goes by in the whole model, where tied ones share a tensor."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return {name: tuple(group) for group in names.values() for name in group}


def slice_model(model: PreTrainedModel, stage: Stage) -> StageModel:
    """Cut a model down to a stage.

    The model is changed in place and belongs to the result; parameters that the stage does not own are
    dropped. On the meta device nothing is allocated: load the weights of ``module.named_parameters()``
    afterwards.

    Raises:
        PlanError: the stage is not one of this model's.
        UnsupportedArchitectureError: a split there would not be exact; the message has the reason.
    """
    anatomy = find_anatomy(model)
    _check(stage, anatomy)
    model.tie_weights(recompute_mapping=False)
    model.eval()
    return StageModel(model, stage, anatomy)


def share_tied(parts: Sequence[StageModel]) -> None:
    """Have stages of one place hold once what the whole model holds once, e.g. a tied embedding and head.

    The stages may be of a model and of the same left early: equal names are equal weights, packed ones too.
    """
    earlier: list[dict[str, Tensor]] = []
    for part in parts:
        for name, tensor in list(_weights(part)):
            shared = (_held(own, part.aliases.get(name, (name,)), tensor) for own in earlier)
            found = next((other for other in shared if other is not None), None)
            if found is not None:
                path, _, leaf = name.rpartition(".")
                setattr(part.module.get_submodule(path), leaf, found)
        earlier.append(dict(_weights(part)))


def _weights(part: StageModel) -> Iterator[tuple[str, Tensor]]:
    """Parameters by each of their names, and what packed layers have in their place."""
    yield from part.module.named_parameters(remove_duplicate=False)
    for path, layer in part.module.named_modules():
        if isinstance(layer, PackedLinear):
            yield from ((f"{path}.{name}", buffer) for name, buffer in layer.named_buffers(recurse=False))


def _held(own: Mapping[str, Tensor], names: Sequence[str], like: Tensor) -> Tensor | None:
    """The tensor of a stage that goes by one of these names, where it is of one kind with another."""
    found = next((own[name] for name in names if name in own), None)
    if found is None or (found.shape, found.dtype, found.device) != (like.shape, like.dtype, like.device):
        return None
    return found


def can_split(model: PreTrainedModel) -> None:
    """Nothing where the model can be split at every split point.

    Raises:
        UnsupportedArchitectureError: with the first reason.
    """
    anatomy = find_anatomy(model)
    for split_point in range(anatomy.n_blocks + 1):
        anatomy.check(split_point)


def _check(stage: Stage, anatomy: Anatomy) -> None:
    n = anatomy.n_blocks
    if stage.stop > n:
        raise PlanError(f"stage {stage} is out of range: {anatomy.architecture} has {n} blocks")
    if (stage.embedding and stage.start > 0) or (stage.head and stage.stop < n):
        raise PlanError(f"stage {stage}: the embedding goes with block 0, the head with block {n - 1}")
    if not stage.embedding:
        anatomy.check(stage.start)
    if not stage.head:
        anatomy.check(stage.stop)
