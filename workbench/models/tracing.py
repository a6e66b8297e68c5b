"""A model's own forward, followed tensor by tensor on the meta device.

One forward without weights tells, for every split point k at once, which arguments of the blocks from k on
derive from the embedding or from blocks below k. Those have to cross; everything else (masks, positions,
rotary tables) each side computes again. The same pass tells which parameters the recomputed inputs need,
what a skipped block has to give back so that the loop around it goes on, and where an architecture reads
values other than through its blocks' arguments, so that it cannot be split there.

Each tensor carries a mark. Bit k of ``Mark.cross`` means: made below split point k, by a way that does not
go through an argument of a block at or after k.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_iter

from workbench.models.call_tree import Path, leaves, replace
from workbench.models.dataflow import (
    AFTER_BLOCKS,
    BEFORE_BLOCKS,
    TRACE_TOKENS,
    Crossing,
    Dataflow,
    Recomputed,
    Source,
    Target,
)
from workbench.models.meta_ops import run_on_meta

__all__ = ["UntraceableError", "trace"]


class UntraceableError(Exception):
    """The forward does not run each block once, in order."""


@dataclass
class Mark:
    """Where a tensor comes from."""

    cross: int = 0  # bit k: made below split point k
    params: int = 0  # bit i: computed from the i-th parameter, since the last cut
    ids: bool = False  # computed from the token ids
    blocks: int = 0  # bit i: computed from something that block i made

    def join(self, other: Mark) -> None:
        self.cross |= other.cross
        self.params |= other.params
        self.ids |= other.ids
        self.blocks |= other.blocks

    @property
    def pure_ids(self) -> bool:
        """Who has the token ids can compute it again."""
        return self.ids and not self.params and not self.blocks


def trace(
    model: nn.Module,
    blocks: nn.ModuleList,
    last_block: int,
    call: Callable[[], Tensor],
    ids: Tensor,
    cache: Any,
) -> Dataflow:
    """Follow one forward.

    Args:
        model: on the meta device.
        blocks: its blocks, in order; some may not run.
        last_block: the last that runs.
        call: runs the forward, returns the logits.
        ids: the token ids that ``call`` gives, [TRACE_BATCH, TRACE_TOKENS].
        cache: the cache that ``call`` gives, or None.

    Raises:
        UntraceableError: a block runs twice or out of order.
        Exception: whatever the forward raises on the meta device.
    """
    tracer = _Tracer(model, blocks, last_block, ids, cache)
    handles = tracer.hook()
    try:
        with torch.no_grad(), tracer:
            logits = call()
    finally:
        for handle in handles:
            handle.remove()
    return tracer.finish(logits)


_CLEAN = frozenset(
    [
        "empty_like",
        "zeros_like",
        "ones_like",
        "full_like",
        "rand_like",
        "new_empty",
        "new_zeros",
        "new_ones",
        "new_full",
        "new_empty_strided",
    ]
)
"""Operations that take only shape and type from their input."""


@dataclass(frozen=True)
class _Seen:
    """A tensor that crosses, as found at one cut."""

    target: Target
    low: int  # the split points that it crosses
    tensor: Tensor
    version: int
    made_by: int  # the last block that had a part in it, -1 for none


class _Tracer(TorchDispatchMode):
    def __init__(
        self, model: nn.Module, blocks: nn.ModuleList, last_block: int, ids: Tensor, cache: Any
    ) -> None:
        super().__init__()
        self.blocks, self.cache, self.n = blocks, cache, len(blocks)
        self.half = any(p.dtype == torch.bfloat16 for p in model.parameters())
        self.every = (2 << self.n) - 1
        self.phase: int | None = None  # the block that runs now
        self.done = BEFORE_BLOCKS  # the last block that has run
        self.marks: dict[int, Mark] = {}
        self.mutated: dict[int, Mark] = {}  # of bases whose views were written
        self.alive: list[Any] = []  # an id stays a tensor's own while it lives
        self.names = [name for name, _ in model.named_parameters()]
        self.index = {id(p): i for i, p in enumerate(model.parameters())}
        self.users: list[set[int]] = [set() for _ in self.names]
        self.seen: list[_Seen] = []
        self.last: dict[Target, int] = {}  # what leaves the last block, as a bit of Mark.params
        self.recomputed: list[list[tuple[int, int]]] = [[] for _ in range(self.n + 1)]
        self.refusals: dict[int, str] = {}
        self.ids_until = 0
        self.results: list[Any] = [None] * self.n
        self.cache_layers: list[tuple[int, ...]] = [()] * self.n
        self.last_block, self.after = last_block, ""
        self.arguments: tuple[Any, Any] = ((), {})
        self.states = {id(tensor) for _, tensor in leaves(cache)}  # of a cache that is no object
        self.module_state = _tensor_attributes(model)
        self.model = model
        self._keep(ids, Mark(cross=self.every, ids=True))

    # -- every operation --------------------------------------------------------------------------------
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        joined = Mark()
        if func._opname not in _CLEAN:
            for tensor in _tensors((args, kwargs)):
                joined.join(self._use(tensor))
        result = run_on_meta(func, args, kwargs)
        if self.phase is not None:
            joined.cross |= self.every & ~self._low()
            joined.blocks |= 1 << self.phase
        for tensor in _tensors(result):
            self._made(tensor, joined)
        return result

    def _use(self, tensor: Tensor) -> Mark:
        mark = self._mark(tensor)
        index = self.index.get(id(tensor))
        if index is not None:
            self.users[index].add(self._user())
            mark.params |= 1 << index
        hidden = mark.cross & self._low()
        mark.cross &= ~hidden
        if hidden and mark.pure_ids:
            self._reads_ids()
        elif hidden:
            where = "after the blocks" if self.phase is None else f"in block {self.phase}"
            for k in range(self.n + 1):
                if hidden >> k & 1:
                    self._refuse(k, f"a value made below it is read {where}, not passed as an argument")
        return mark

    def _made(self, tensor: Tensor, mark: Mark) -> None:
        if id(tensor) in self.states:
            return
        known = self.marks.get(id(tensor))
        if known is None:
            self._keep(tensor, Mark(mark.cross, mark.params, mark.ids, mark.blocks))
            return
        known.join(mark)
        if tensor._base is not None and id(tensor._base) not in self.states:
            self.mutated.setdefault(id(tensor._base), Mark()).join(mark)
            self._made(tensor._base, mark)

    def _mark(self, tensor: Tensor) -> Mark:
        joined = Mark()
        for known in (self.marks.get(id(tensor)), self.mutated.get(id(tensor._base))):
            if known is not None:
                joined.join(known)
        return joined

    def _keep(self, tensor: Tensor, mark: Mark) -> None:
        self.alive.append(tensor)
        self.marks[id(tensor)] = mark

    def _user(self) -> int:
        if self.phase is not None:
            return self.phase
        return AFTER_BLOCKS if self.done == self.last_block else self.done

    def _low(self) -> int:
        """The split points below which nothing may be read now, except through arguments."""
        if self.phase is not None:
            return (2 << self.phase) - 1
        return self.every if self.done == self.last_block else 0

    def _reads_ids(self) -> None:
        self.ids_until = max(self.ids_until, self.n + 1 if self.phase is None else self.phase + 1)

    # -- blocks -----------------------------------------------------------------------------------------
    def hook(self) -> list[Any]:
        handles: list[Any] = []
        for i, block in enumerate(self.blocks):
            handles.append(block.register_forward_pre_hook(self._enter(i), with_kwargs=True))
            handles.append(block.register_forward_hook(self._leave(i)))
        for path, module in self.model.named_modules():
            handles.append(module.register_forward_pre_hook(self._comes_after(path)))
        return handles

    def _comes_after(self, path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any) -> None:
            if self.done == self.last_block and self.phase is None:
                self.after = self.after or path

        return hook

    def _enter(self, i: int) -> Callable[..., Any]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> Any:
            if self.done >= i or self.phase is not None:
                raise UntraceableError(f"block {i} runs after block {self.done}")
            args, kwargs = self._cut_all(i, args), self._cut_all(i, kwargs)
            self.phase, self.arguments = i, (args, kwargs)
            return args, kwargs

        return hook

    def _leave(self, i: int) -> Callable[..., Any]:
        def hook(module: nn.Module, args: Any, result: Any) -> Any:
            self.results[i] = _template(result, *self.arguments)
            self.cache_layers[i] = self._newly_written()
            self.phase, self.done = None, i
            return self._cut_all(self.n, result) if i == self.last_block else result

        return hook

    def _cut_all(self, i: int, tree: Any) -> Any:
        for path, tensor in list(leaves(tree)):
            passed = self._cut(i, path, tensor)
            tree = tree if passed is tensor else replace(tree, path, passed)
        return tree

    def _cut(self, i: int, path: Path, tensor: Tensor) -> Tensor:
        """What goes on at cut ``i``: the tensor, or a copy that counts as having crossed there."""
        if id(tensor) in self.states:
            return tensor
        mark = self._mark(tensor)
        if id(tensor) in self.index:
            mark.params |= 1 << self.index[id(tensor)]
        low = mark.cross & ((2 << i) - 1)
        if mark.pure_ids and low:
            self.ids_until = max(self.ids_until, i + 1)
            low = 0
        self.recomputed[i].append((low, mark.params))
        return self._crossed(tensor, mark, low, Target(i, path)) if low else tensor

    def _crossed(self, tensor: Tensor, mark: Mark, low: int, target: Target) -> Tensor:
        self.seen.append(_Seen(target, low, tensor, tensor._version, mark.blocks.bit_length() - 1))
        for k in range(target.block):
            if low >> k & 1 and mark.blocks >> k:
                self._refuse(k, f"an argument of block {target.block} is made on both sides of it")
        with _disable_current_modes():
            copy = tensor.clone()
        copied = Mark(cross=mark.cross & ~low, ids=mark.ids, blocks=mark.blocks)
        if target.block == self.n:
            copied.params = self.last[target] = 1 << (len(self.names) + len(self.last))
        self._keep(copy, copied)
        return copy

    def _refuse(self, split_point: int, reason: str) -> None:
        self.refusals.setdefault(split_point, reason)

    def _newly_written(self) -> tuple[int, ...]:
        known = {layer for written in self.cache_layers for layer in written}
        layers = getattr(self.cache, "layers", [])
        return tuple(i for i, layer in enumerate(layers) if i not in known and _is_written(layer))

    # -- the end ----------------------------------------------------------------------------------------
    def finish(self, logits: Tensor) -> Dataflow:
        reached = self._mark(logits).params
        self.seen = [s for s in self.seen if s.target.block < self.n or reached & self.last[s.target]]
        return Dataflow(
            n_blocks=self.n,
            crossing=tuple(self._crossing(k) for k in range(self.n + 1)),
            refusals=self.refusals,
            ids_until=self.ids_until,
            results=tuple(self.results),
            users={name: frozenset(users) for name, users in zip(self.names, self.users, strict=True)},
            recomputed=tuple(
                tuple(Recomputed(low, self._named(p)) for low, p in cut) for cut in self.recomputed
            ),
            cache_layers=tuple(self.cache_layers),
            last_block=self.last_block,
            after=self.after,
            module_state=tuple(sorted(_tensor_attributes(self.model) - self.module_state)),
        )

    def _named(self, params: int) -> frozenset[str]:
        return frozenset(name for i, name in enumerate(self.names) if params >> i & 1)

    def _crossing(self, k: int) -> tuple[Crossing, ...]:
        groups: dict[tuple[int, int], list[_Seen]] = {}
        for seen in self.seen:
            if seen.low >> k & 1:
                groups.setdefault((id(seen.tensor), seen.version), []).append(seen)
        return tuple(map(self._as_crossing, groups.values()))

    def _as_crossing(self, group: list[_Seen]) -> Crossing:
        first = group[0]
        return Crossing(
            targets=tuple(seen.target for seen in group),
            shape=tuple(first.tensor.shape),
            float32=first.tensor.dtype == torch.float32 and self.half,
            cache_layer=self._shared_layer(first),
        )

    def _shared_layer(self, seen: _Seen) -> int | None:
        """Keys and values that later blocks borrow grow with the past: where the cache keeps them."""
        written = self.cache_layers[seen.made_by] if seen.made_by >= 0 else ()
        borrowed = seen.target.path[:1] == ("shared_kv_states",) and len(seen.target.path) == 3
        return written[0] if borrowed and written and seen.tensor.shape[-2] == TRACE_TOKENS else None


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_iter(tree) if isinstance(leaf, Tensor))


def _tensor_attributes(model: nn.Module) -> set[tuple[str, str]]:
    """Plain attributes of modules that hold a tensor."""
    modules = model.named_modules()
    return {(p, name) for p, m in modules for name, value in vars(m).items() if isinstance(value, Tensor)}


def _template(result: Any, args: Any, kwargs: Any) -> Any:
    """A block's result, each tensor replaced by where its arguments hold itself or one of the same shape."""
    given = [*enumerate(args), *kwargs.items()]
    same = [Source((key,)) for key, argument in given if argument is result]
    if result is None or isinstance(result, (bool, int, float, str)):
        return result
    if isinstance(result, Tensor):
        inputs = [*leaves(args), *leaves(kwargs)]
        itself = [Source(path) for path, t in inputs if t is result]
        alike = [(t.dtype != result.dtype, Source(path)) for path, t in inputs if t.shape == result.shape]
        return next((source for source in (*itself, *(s for _, s in sorted(alike, key=_first)))), None)
    if isinstance(result, (tuple, list)) and not same:
        return type(result)([_template(item, args, kwargs) for item in result])
    return next(iter(same), None)


def _first(pair: tuple[bool, Source]) -> bool:
    return pair[0]


def _is_written(layer: Any) -> bool:
    """True once a cache layer holds keys and values, or a convolution's or recurrence's state."""
    states = (
        getattr(layer, "is_conv_states_initialized", {}),
        getattr(layer, "is_recurrent_states_initialized", {}),
    )
    return getattr(layer, "keys", None) is not None or any(any(s.values()) for s in states)
