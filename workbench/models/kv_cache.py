"""The cache of one stage: its own layers only, at their original indices, with the true length everywhere.

Models ask their cache for positions and mask sizes, mostly of layer 0. On a stage that does not own layer 0
that layer would be empty and every position silently wrong. Here, layers that the stage does not own keep
their class, so that sliding and recurrent layers are told apart as ever, hold no data, and answer with the
number of tokens that the stage has seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

from torch import Tensor, nn
from transformers.cache_utils import (
    DummyLayer,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionCacheLayerMixin,
)

from workbench.errors import InputError

__all__ = ["DEFAULT_REWIND", "ModuleState", "StageCache"]

DEFAULT_REWIND = 16
"""How many tokens back a cache reaches where its layers forget: sliding windows and recurrent states."""

ModuleState: TypeAlias = tuple[nn.Module, str]
"""A module and its attribute, of the few architectures that keep their state in modules."""


class StageCache:
    """What one stage remembers of one sequence, or of one batch of them.

    Has one owner and is not for several threads at once.

    Args:
        past: what the model's forward gets as its cache.
        owned: indices of the layers that the stage fills; None for all.
        in_modules: state that the stage's modules keep themselves; it is put there for each forward.
        max_rewind: how many tokens back ``rewind`` reaches where layers forget.
    """

    def __init__(
        self,
        past: Any,
        owned: Collection[int] | None = None,
        *,
        in_modules: Sequence[ModuleState] = (),
        max_rewind: int = DEFAULT_REWIND,
    ) -> None:
        self.length = 0  # tokens seen
        self.past = past
        self.max_rewind = max_rewind
        self._owned = owned
        self._in_modules = in_modules
        self._kept: dict[str, Any] = {}  # what modules had after the last forward
        self._snapshots: deque[tuple[int, list[dict[str, Any]]]] = deque()
        for i, layer in enumerate(self._layers):
            if not self._owns(i) and _counts(past, i):
                self._layers[i] = _absent(layer, self)
        self._sort()

    @property
    def n_bytes(self) -> int:
        """Bytes of all keys, values and states held, with what is kept for rewinding."""
        self._sort()
        held = [*self._cropping, *self._sliding, *self._forgetful]
        tensors = [*_tensors([_state(h) for h in held]), *_tensors([s for _, s in self._snapshots])]
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
        return sum(storages.values())

    def before(self) -> None:
        """The stage calls it before each forward: keeps what a rewind needs."""
        self._sort()
        if self._forgetful and self.max_rewind:
            self._snapshots.append((self.length, [_copy(_state(holder)) for holder in self._forgetful]))
        for i, (module, name) in enumerate(self._in_modules):
            setattr(module, name, self._kept.get(str(i)))

    def advance(self, n_tokens: int) -> None:
        """The stage calls it after each forward: ``n_tokens`` more have been seen."""
        self.length += n_tokens
        for i, (module, name) in enumerate(self._in_modules):
            self._kept[str(i)] = getattr(module, name)
            setattr(module, name, None)
        while self._snapshots and self._snapshots[0][0] < self.length - self.max_rewind:
            self._snapshots.popleft()
        for layer in self._sliding:
            _trim(layer, self.max_rewind)

    def rewind(self, n_tokens: int) -> None:
        """Forget the last ``n_tokens`` tokens.

        Recurrent states cannot be cropped: they go back to where a forward began.

        Raises:
            InputError: more than the cache holds, further than ``max_rewind`` where layers forget, or into
                the middle of a forward where states are recurrent. Nothing has changed then.
        """
        if not 0 <= n_tokens <= self.length:
            raise InputError(f"cannot rewind {n_tokens} tokens: the cache holds {self.length}")
        if not n_tokens:
            return
        target = self.length - n_tokens
        self._sort()
        self._check(target)
        if self._forgetful:
            states = next(states for length, states in self._snapshots if length == target)
            for holder, state in zip(self._forgetful, states, strict=True):
                _restore(holder, _copy(state))
        for layer in (*self._cropping, *self._sliding):
            layer.crop(-n_tokens)
        self._snapshots = deque(item for item in self._snapshots if item[0] < target)
        self.length = target

    # -- layers -----------------------------------------------------------------------------------------
    @property
    def _layers(self) -> list[Any]:
        return getattr(self.past, "layers", [])

    def _owns(self, i: int) -> bool:
        return self._owned is None or i in self._owned

    def _sort(self) -> None:
        """Tell layers apart by how they forget; again when the model has added some."""
        if len(self._layers) == getattr(self, "_n_sorted", -1):
            return
        self._n_sorted = len(self._layers)
        own = [x for i, x in enumerate(self._layers) if self._owns(i) and not isinstance(x, DummyLayer)]
        self._cropping = [layer for layer in own if _crops(layer)]
        self._sliding = [layer for layer in own if type(layer) is DynamicSlidingWindowLayer]
        rest: list[Any] = [
            layer for layer in own if layer not in self._cropping and layer not in self._sliding
        ]
        if self.past is not None and not hasattr(self.past, "layers"):
            rest.append(self.past)
        rest += [self.past.linear_cache] if hasattr(self.past, "linear_cache") else []
        self._forgetful = rest + ([self._kept] if self._in_modules else [])
        for layer in self._sliding:
            layer.activate_past_recording()

    def _check(self, target: int) -> None:
        reach = [length for length, _ in self._snapshots]
        if self._forgetful and target not in reach:
            raise InputError(
                f"cannot rewind from {self.length} to {target} tokens: recurrent states are kept where"
                f" forwards began, at {reach}; rewind to one of these and give the tokens after it again"
            )
        full = any(layer.cumulative_length >= layer.sliding_window for layer in self._sliding)
        if full and self.length - target > self.max_rewind:
            raise InputError(
                f"cannot rewind from {self.length} to {target} tokens: a sliding window has forgotten what"
                f" was more than {self.max_rewind} tokens back; make the cache with a larger max_rewind"
            )


def _counts(past: Any, i: int) -> bool:
    """False where a layer of keys and values stays empty because its block has a state of another kind."""
    kinds = getattr(past, "layer_kinds", ())
    return not (i < len(kinds) and kinds[i] == "linear_attention")


def _crops(layer: Any) -> bool:
    """True for layers that keep all of the past, whose ``crop`` is exact."""
    forgets = (DynamicSlidingWindowLayer, LinearAttentionCacheLayerMixin)
    return isinstance(layer, DynamicLayer) and not isinstance(layer, forgets)


def _trim(layer: DynamicSlidingWindowLayer, max_rewind: int) -> None:
    """Drop what neither the window nor a rewind needs."""
    if layer.keys is None or layer.values is None:
        return
    keep = layer.sliding_window - 1 + max_rewind
    if layer.keys.shape[-2] > keep:
        layer.keys, layer.values = layer.keys[..., -keep:, :], layer.values[..., -keep:, :]


# -- states -----------------------------------------------------------------------------------------------


def _state(holder: Any) -> dict[str, Any]:
    if isinstance(holder, dict):
        return holder
    return {"items": holder} if isinstance(holder, list) else vars(holder)


def _restore(holder: Any, state: dict[str, Any]) -> None:
    if isinstance(holder, list):
        holder[:] = state["items"]
    elif isinstance(holder, dict):
        holder.clear()
        holder.update(state)
    else:
        vars(holder).update(state)


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for item in tree.values():
            yield from _tensors(item)
    elif isinstance(tree, (tuple, list)):
        for item in tree:
            yield from _tensors(item)


def _copy(tree: Any) -> Any:
    """Containers and tensors copied, as layers write into both; everything else as it is."""
    if isinstance(tree, Tensor):
        return tree.clone()
    if isinstance(tree, dict):
        return {key: _copy(item) for key, item in tree.items()}
    if isinstance(tree, (tuple, list)):
        return type(tree)([_copy(item) for item in tree])
    return tree


# -- layers of other stages -------------------------------------------------------------------------------


class _Absent:
    """Mixed into the class of a cache layer that another stage owns."""

    _layer_type = None
    _stage_cache: StageCache

    @property
    def cumulative_length(self) -> int:
        return self._stage_cache.length

    @property
    def has_previous_state(self) -> dict[int, bool]:
        return dict.fromkeys(range(getattr(self, "number_of_states", 1)), self._stage_cache.length > 0)

    def get_seq_length(self) -> int:
        return self._stage_cache.length

    def update(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("a block wrote to a cache layer that its stage does not own")


def _absent(layer: Any, stage_cache: StageCache) -> Any:
    """A stand-in of the layer's own class, which holds nothing and follows the stage's length."""
    layer_class: Any = type(layer)
    stand_in: Any = object.__new__(_absent_class(layer_class))
    answered = ("cumulative_length", "has_previous_state")
    vars(stand_in).update({k: v for k, v in vars(layer).items() if k not in answered})
    stand_in._stage_cache = stage_cache
    return stand_in


@cache
def _absent_class(layer_class: Any) -> type:
    return type(f"Absent{layer_class.__name__}", (_Absent, layer_class), {"_layer_type": None})
