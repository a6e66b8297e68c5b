"""The changes to a model that make its own forward run one stage.

Parameters that the stage does not own are dropped: in blocks that are passed over they become meta tensors;
before the blocks they become NaN that takes no memory, so that anything which should have crossed but did not
would show in every logit instead of being silently wrong. Hooks are set once, none per forward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from workbench.models.anatomy import Anatomy
from workbench.models.call_tree import Path, read, replace
from workbench.models.dataflow import AFTER_BLOCKS, BEFORE_BLOCKS, TRACE_BATCH, TRACE_TOKENS, Crossing, Source
from workbench.plan import Stage

__all__ = ["Wiring"]

Forward = Callable[..., Any]


class _Reached(Exception):  # noqa: N818 (it ends a forward and is no error)
    """The forward has come to where the next stage begins."""


class Wiring:
    """A model in which one stage runs. Changes ``module``; holds one forward's boundary at a time."""

    def __init__(self, module: PreTrainedModel, stage: Stage, anatomy: Anatomy) -> None:
        self.module, self.stage, self.anatomy = module, stage, anatomy
        crossing = anatomy.flow.crossing
        self.incoming: tuple[Crossing, ...] = () if stage.embedding else crossing[stage.start]
        self.outgoing: tuple[Crossing, ...] = () if stage.head else crossing[stage.stop]
        self._received: tuple[Tensor, ...] = ()
        self._past: Any = None
        self._n_tokens = 0
        self._grown: dict[int, Tensor] = {}  # received keys and values, with those of the past
        self._collected: dict[int, Tensor] = {}
        self._blanks: list[tuple[nn.Module, str]] = []
        self._sample: nn.Parameter | None = None  # a weight, which tells device and type
        self._device, self._dtype = torch.device("meta"), torch.float32
        self._forwarded = _forwarded(self.incoming, self.outgoing)
        self._sizes = _batch_and_length(self.incoming)
        if not stage.is_whole:
            self._prune()
            self._wire()

    # -- running ----------------------------------------------------------------------------------------
    def run(
        self, call: dict[str, Any], boundary: tuple[Tensor, ...], past: Any
    ) -> Tensor | tuple[Tensor, ...]:
        """One forward: logits where the stage owns the head, else the tensors that go out.

        Args:
            call: what the model's forward gets.
            boundary: what comes in.
            past: the cache among ``call``, or None.
        """
        self._place()
        self._received = tuple(map(self._receive, boundary, self.incoming))
        self._past, self._n_tokens = past, call["input_ids"].shape[1]
        try:
            logits: Tensor = self.module(**call).logits
            return logits
        except _Reached:
            return tuple(self._outgoing())
        finally:
            self._received, self._collected, self._grown, self._past = (), {}, {}, None

    def blank_ids(self, boundary: tuple[Tensor, ...]) -> Tensor:
        """Token ids [B, T] that nobody reads, for the batch and length of a boundary."""
        index, dim = self._sizes or (0, 0)
        shape = boundary[index].shape[dim : dim + 2]
        self._place()
        return torch.zeros(shape, dtype=torch.long, device=self._device)

    @property
    def needs_token_ids(self) -> bool:
        """Its blocks read token ids, or the boundary's shapes do not tell batch and length."""
        return bool(self.incoming) and (self.stage.start < self.anatomy.flow.ids_until or self._sizes is None)

    def _receive(self, tensor: Tensor, known: Crossing) -> Tensor:
        if not tensor.is_floating_point():
            return tensor.to(self._device)
        return tensor.to(self._device, torch.float32 if known.float32 else self._dtype)

    @property
    def borrowed_layers(self) -> set[int]:
        """Cache layers below the stage whose keys and values its blocks use: it keeps them too."""
        return {c.cache_layer for c in self.incoming if c.cache_layer is not None}

    def _incoming(self, index: int) -> Tensor:
        layer = self.incoming[index].cache_layer
        if layer is None or self._past is None:
            return self._received[index]
        if index not in self._grown:
            pair = [i for i, c in enumerate(self.incoming) if c.cache_layer == layer]
            keys, values = (self._received[i] for i in pair)
            self._grown.update(zip(pair, self._past.layers[layer].update(keys, values), strict=True))
        return self._grown[index]

    def _collected_from(self, arguments: Any, index: int, path: Path) -> Tensor:
        value: Tensor = read(arguments, path)
        return value if self.outgoing[index].cache_layer is None else value[..., -self._n_tokens :, :]

    def _outgoing(self) -> Iterator[Tensor]:
        for i in range(len(self.outgoing)):
            yield self._received[self._forwarded[i]] if i in self._forwarded else self._collected[i]

    def _place(self) -> None:
        """Find out where the stage's weights are; NaN goes there. Again when they have moved."""
        if self._sample is None:
            self._sample = next(p for p in self.module.parameters() if p.is_floating_point())
        if (self._sample.device, self._sample.dtype) == (self._device, self._dtype):
            return
        self._device, self._dtype = self._sample.device, self._sample.dtype
        for module, name in self._blanks:
            blank = torch.full((), math.nan, dtype=self._dtype, device=self._device)
            vars(module)[name] = blank.expand(vars(module)[name].shape)

    # -- parameters -------------------------------------------------------------------------------------
    def _prune(self) -> None:
        keep = {
            (id(module), name)
            for path, module in self.module.named_modules(remove_duplicate=False)
            for name in module._parameters
            if self._owns(f"{path}.{name}" if path else name)
        }
        for path, module in self.module.named_modules():
            for name, parameter in list(module._parameters.items()):
                if parameter is not None and (id(module), name) not in keep:
                    self._drop(module, name, f"{path}.{name}" if path else name)
        self._drop_buffers()
        self.module.all_tied_weights_keys = {}

    def _owns(self, parameter: str) -> bool:
        stage, flow = self.stage, self.anatomy.flow
        block = self.anatomy.block_of(parameter)
        if block is not None:
            return stage.start <= block < stage.stop
        users = flow.users.get(parameter, frozenset())
        if (stage.embedding and BEFORE_BLOCKS in users) or (stage.head and AFTER_BLOCKS in users):
            return True
        if any(stage.start <= user < stage.stop for user in users if user >= 0):
            return True
        return parameter in flow.shared_parameters(stage.start, stage.stop + stage.head)

    def _drop(self, module: nn.Module, name: str, path: str) -> None:
        shape = module._parameters.pop(name).shape  # type: ignore[union-attr]
        vars(module)[name] = torch.empty(shape, device="meta")
        users = self.anatomy.flow.users.get(path, frozenset())
        if self.anatomy.block_of(path) is not None or not users - {AFTER_BLOCKS}:
            return
        self._blanks.append((module, name))
        if type(module) is nn.Linear and name == "weight":
            module.forward = _blank_linear(module.out_features)  # type: ignore[method-assign]

    def _drop_buffers(self) -> None:
        """Those of blocks that are passed over, unless a module that stays has them too."""
        prefix = self.anatomy.blocks
        stay = {id(m) for path, m in self.module.named_modules(remove_duplicate=False) if self._stays(path)}
        for module in self.module.get_submodule(prefix).modules():
            for name, buffer in list(module._buffers.items()):
                if id(module) not in stay and buffer is not None:
                    del module._buffers[name]
                    vars(module)[name] = torch.empty_like(buffer, device="meta")

    def _stays(self, path: str) -> bool:
        block = self.anatomy.block_of(path)
        return block is None or self.stage.start <= block < self.stage.stop

    # -- blocks -----------------------------------------------------------------------------------------
    def _wire(self) -> None:
        blocks: list[nn.Module] = list(self.module.get_submodule(self.anatomy.blocks))
        for i in range(self.stage.start):
            blocks[i].forward = self._skip(i)
        for i in range(self.stage.start, self.stage.stop):
            self._inject(blocks[i], i)
        if not self.stage.head:
            self._end(blocks)

    def _skip(self, i: int) -> Forward:
        """The forward of a block that is passed over: placeholders, or after the last block the boundary."""
        template = self.anatomy.flow.results[i]
        places = self._places(self.anatomy.n_blocks) if i == self.anatomy.flow.last_block else []

        def skip(*args: Any, **kwargs: Any) -> Any:
            result = _fill(template, args, kwargs)
            for index, path in places:
                result = replace(result, path, self._incoming(index))
            return result

        return skip

    def _places(self, block: int) -> list[tuple[int, Path]]:
        """Where the incoming tensors go at a block: index of the tensor and path in the arguments."""
        return [(i, t.path) for i, c in enumerate(self.incoming) for t in c.targets if t.block == block]

    def _inject(self, block: nn.Module, i: int) -> None:
        places = self._places(i)

        def hook(module: nn.Module, args: Any, kwargs: Any) -> Any:
            for index, path in places:
                if isinstance(path[0], int):
                    args = replace(args, path, self._incoming(index))
                else:
                    kwargs = replace(kwargs, path, self._incoming(index))
            return args, kwargs

        if places:
            block.register_forward_pre_hook(hook, with_kwargs=True)

    def _end(self, blocks: list[nn.Module]) -> None:
        """Collect what goes out, then end the forward."""
        n, stop = self.anatomy.n_blocks, self.stage.stop
        wanted: dict[int, list[tuple[int, Path]]] = {}
        for i, crossing in enumerate(self.outgoing):
            if i not in self._forwarded:
                wanted.setdefault(crossing.targets[0].block, []).append((i, crossing.targets[0].path))
        last = max(wanted, default=stop)
        if last == n:
            blocks[self.anatomy.flow.last_block].register_forward_hook(
                self._collect_result(wanted.get(n, []))
            )
            self._end_after_blocks()
            return
        for i in range(stop, last + 1):
            blocks[i].forward = self._collect(i, wanted.get(i, []), last)

    def _end_after_blocks(self) -> None:
        """End at the first module after the blocks: the loop may have put the last one's state away."""
        module = self.module.get_submodule(self.anatomy.flow.after)
        original = module.forward

        def end(*args: Any, **kwargs: Any) -> Any:
            if self._collected:
                raise _Reached
            return original(*args, **kwargs)

        module.forward = end

    def _collect(self, i: int, wanted: list[tuple[int, Path]], last: int) -> Forward:
        template = self.anatomy.flow.results[i]

        def collect(*args: Any, **kwargs: Any) -> Any:
            for index, path in wanted:
                given = args if isinstance(path[0], int) else kwargs
                self._collected[index] = self._collected_from(given, index, path)
            if i == last:
                raise _Reached
            return _fill(template, args, kwargs)

        return collect

    def _collect_result(self, wanted: list[tuple[int, Path]]) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, result: Any) -> None:
            for index, path in wanted:
                self._collected[index] = self._collected_from(result, index, path)

        return hook


def _forwarded(incoming: tuple[Crossing, ...], outgoing: tuple[Crossing, ...]) -> dict[int, int]:
    """Which outgoing tensors are incoming ones, handed on untouched."""
    known = {target: i for i, crossing in enumerate(incoming) for target in crossing.targets}
    return {i: known[c.targets[0]] for i, c in enumerate(outgoing) if c.targets[0] in known}


def _batch_and_length(incoming: tuple[Crossing, ...]) -> tuple[int, int] | None:
    """Which tensor, and from which dimension on, is [..., B, T, ...]."""
    for index, crossing in enumerate(incoming):
        for dim, sizes in enumerate(zip(crossing.shape, crossing.shape[1:], strict=False)):
            if sizes == (TRACE_BATCH, TRACE_TOKENS):
                return index, dim
    return None


def _fill(template: Any, args: Any, kwargs: Any) -> Any:
    if isinstance(template, Source):
        return _argument(args, kwargs, template.path)
    if isinstance(template, (tuple, list)):
        return type(template)([_fill(item, args, kwargs) for item in template])
    return template


def _argument(args: Any, kwargs: Any, path: Path) -> Any:
    """The argument that a placeholder is taken from; None where this forward has none."""
    try:
        return read(args if isinstance(path[0], int) else kwargs, path)
    except (IndexError, KeyError, TypeError):
        return None


def _blank_linear(n_out: int) -> Forward:
    """In place of a linear layer whose weight was dropped: its shape without its work."""
    return lambda x: x.new_full((*x.shape[:-1], n_out), math.nan)
