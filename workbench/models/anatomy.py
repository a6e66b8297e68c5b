"""Where a model's blocks are, and what its forward does around them: found once per configuration.

Works without weights: everything is read off a twin of the model on the meta device.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from workbench.errors import UnsupportedArchitectureError
from workbench.models.dataflow import (
    AFTER_BLOCKS,
    BEFORE_BLOCKS,
    TRACE_BATCH,
    TRACE_TOKENS,
    Dataflow,
)
from workbench.models.meta_ops import order_of_calls
from workbench.models.pasts import new_past
from workbench.models.tracing import UntraceableError, trace

__all__ = ["Anatomy", "find_anatomy"]


@dataclass(frozen=True)
class Anatomy:
    """A model's blocks and what has to be known to run only some of them."""

    architecture: str  # the model's class name
    blocks: str  # dotted path of the list of blocks
    n_blocks: int
    flow: Dataflow
    cache_argument: str | None  # how the forward names its cache, None where it has none
    arguments: frozenset[str]  # the forward's named arguments

    @property
    def embeddings(self) -> tuple[str, ...]:
        """Names of the parameters that run before the first block, e.g. of the token embedding."""
        return self._used(BEFORE_BLOCKS)

    @property
    def head(self) -> tuple[str, ...]:
        """Names of the parameters that run after the last block: final norm and output head."""
        return self._used(AFTER_BLOCKS)

    @property
    def boundary_elements(self) -> tuple[int, ...]:
        """Per split point 0…n, how many numbers per token cross there."""
        positions = TRACE_BATCH * TRACE_TOKENS
        sizes = [[torch.Size(c.shape).numel() for c in crossing] for crossing in self.flow.crossing]
        return tuple(sum(size) // positions for size in sizes)

    def block_of(self, parameter: str) -> int | None:
        """The block that a parameter or buffer belongs to by name, None for those outside."""
        prefix = self.blocks + "."
        return int(parameter[len(prefix) :].split(".")[0]) if parameter.startswith(prefix) else None

    def check(self, split_point: int) -> None:
        """Nothing where the model can be split there.

        Raises:
            UnsupportedArchitectureError: it would not be exact; the message has the reason.
        """
        reason = self.flow.refusals.get(split_point)
        if reason:
            raise UnsupportedArchitectureError(
                f"{self.architecture} cannot be split at {split_point}: {reason}"
            )

    def _used(self, phase: int) -> tuple[str, ...]:
        return tuple(name for name, users in self.flow.users.items() if phase in users)


_known: OrderedDict[tuple[type, str], Anatomy] = OrderedDict()
_lock = threading.Lock()
_REMEMBERED = 32


def find_anatomy(model: PreTrainedModel) -> Anatomy:
    """Find a model's blocks and follow its forward; the model itself, meta or real, is only read.

    Raises:
        UnsupportedArchitectureError: it has no list of blocks that run once each, in order, or its forward
            cannot be followed without weights.
    """
    key = (type(model), model.config.to_json_string(use_diff=False))
    with _lock:
        if key not in _known:
            _known[key] = _examine(model)
            while len(_known) > _REMEMBERED:
                _known.popitem(last=False)
        return _known[key]


def _twin(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """The same model on the meta device, each tied parameter on its own."""
    with _default_dtype(dtype), torch.device("meta"):
        twin = type(model)(copy.deepcopy(model.config))
    seen: set[int] = set()
    for module in twin.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) in seen:
                setattr(module, name, nn.Parameter(torch.empty_like(parameter), requires_grad=False))
            seen.add(id(parameter))
    return twin.eval().requires_grad_(False)


def _examine(model: PreTrainedModel) -> Anatomy:
    """In half precision, which tells what stays float32.

    Again in float32 for models that can only that, with all that the forward makes on the meta device.
    """
    with suppress(Exception):
        return _examine_as(model, torch.bfloat16)
    try:
        with torch.device("meta"):
            return _examine_as(model, torch.float32)
    except Exception as error:
        unknown = f"its forward cannot be followed without weights ({type(error).__name__}: {error})"
        reason = str(error) if isinstance(error, UntraceableError) else unknown
        raise UnsupportedArchitectureError(f"{type(model).__name__} cannot be split: {reason}") from error


def _examine_as(model: PreTrainedModel, dtype: torch.dtype) -> Anatomy:
    twin = _twin(model, dtype)
    arguments = frozenset(inspect.signature(type(twin).forward).parameters)
    cache_argument = next((a for a in ("past_key_values", "cache_params", "state") if a in arguments), None)
    ids = torch.zeros((TRACE_BATCH, TRACE_TOKENS), dtype=torch.long, device="meta")
    path, blocks, last = _find_blocks(twin, ids)
    cache = new_past(
        twin.config, cache_argument, 0, len(blocks), batch=TRACE_BATCH, device=ids.device, dtype=dtype
    )
    given = {cache_argument: cache} if cache_argument else {}
    flow = trace(twin, blocks, last, lambda: twin(input_ids=ids, use_cache=True, **given).logits, ids, cache)
    return Anatomy(type(twin).__name__, path, len(blocks), flow, cache_argument, arguments)


def _find_blocks(twin: PreTrainedModel, ids: Tensor) -> tuple[str, nn.ModuleList, int]:
    """The largest of the lists of modules that a forward runs through in order, and the last that it runs.

    Raises:
        UntraceableError: there is none, or a list whose modules run between the blocks has weights too.
    """
    lists = {path: found for path, found in _lists(twin) if len(found)}
    sizes = {path: sum(p.numel() for p in found.parameters()) for path, found in lists.items()}
    with _states_untouched(twin):
        order = order_of_calls(
            {path: list(found) for path, found in lists.items()}, lambda: twin(input_ids=ids)
        )
    if not order:
        raise UntraceableError("it has no list of blocks that its forward runs")
    path = max({called for called, _ in order}, key=lambda p: sizes[p])
    runs = [i for called, i in order if called == path]
    if runs != sorted(set(runs)):
        raise UntraceableError(f"its blocks do not run once each, in order: {path} runs {runs[:12]}")
    first, last = order.index((path, runs[0])), order.index((path, runs[-1]))
    between = {called for called, _ in order[first:last]} - {path}
    if any(next(lists[p].parameters(), None) is not None for p in between):
        raise UntraceableError(
            f"its layers are spread over several lists: {path}, {', '.join(sorted(between))}"
        )
    return path, lists[path], runs[-1]


def _lists(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.ModuleList]]:
    """Every ModuleList that is not inside another one's items."""
    for name, child in module.named_children():
        below = f"{path}.{name}" if path else name
        if isinstance(child, nn.ModuleList):
            yield below, child
        else:
            yield from _lists(child, below)


@contextmanager
def _states_untouched(model: nn.Module) -> Iterator[None]:
    """For the few architectures whose modules keep state themselves."""
    before = [(module, dict(vars(module))) for module in model.modules()]
    yield
    for module, attributes in before:
        vars(module).update(attributes)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
