"""Forwards on the meta device: operations whose result depends on data are given a plausible one.

Only shapes and the flow of data matter there: every condition is false, every element of a mask is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["order_of_calls", "run_on_meta"]

aten = torch.ops.aten


def run_on_meta(func: Any, args: Any, kwargs: Any) -> Any:
    """Run one operation; where it would need data of a meta tensor, answer without."""
    first = args[0] if args else None
    if not (isinstance(first, Tensor) and first.is_meta):
        return func(*args, **kwargs)
    if func is aten._local_scalar_dense.default:
        return torch.zeros((), dtype=first.dtype).item()
    if func is aten.nonzero.default:
        return first.new_empty((first.numel(), first.dim()), dtype=torch.long)
    if func is aten.masked_select.default:
        return first.new_empty(torch.broadcast_shapes(first.shape, args[1].shape)).flatten()
    if func is aten.index.Tensor:
        return func(first, _without_masks(args[1]), **kwargs)
    if func in (aten.index_put.default, aten.index_put_.default):
        return func(first, _without_masks(args[1]), *args[2:], **kwargs)
    if func is aten._to_copy.default and kwargs.get("device") == torch.device("cpu"):
        return torch.zeros(first.shape, dtype=kwargs.get("dtype") or first.dtype)
    if func is aten.split_with_sizes.default:
        return func(
            first, _adding_up(args[1], first.shape[args[2] if len(args) > 2 else 0]), *args[2:], **kwargs
        )
    return func(*args, **kwargs)


def _adding_up(sizes: list[int], total: int) -> list[int]:
    """Sizes of parts that were data, made to fit."""
    return sizes if sum(sizes) == total else [*[0] * (len(sizes) - 1), total]


def _without_masks(indices: Any) -> list[Tensor | None]:
    """Integer indices in place of boolean ones."""
    plain: list[Tensor | None] = []
    for index in indices:
        if index is not None and index.dtype in (torch.bool, torch.uint8):
            plain += [index.new_empty(index.numel(), dtype=torch.long) for _ in range(index.dim())]
        else:
            plain.append(index)
    return plain


def order_of_calls(modules: dict[str, list[nn.Module]], call: Callable[[], Any]) -> list[tuple[str, int]]:
    """Which of some lists' modules a forward on the meta device calls, in order: list and position."""
    order: list[tuple[str, int]] = []
    handles = [
        module.register_forward_pre_hook(lambda *_, seen=(path, i): order.append(seen))
        for path, members in modules.items()
        for i, module in enumerate(members)
    ]
    try:
        with torch.no_grad(), _OnMeta():
            call()
    finally:
        for handle in handles:
            handle.remove()
    return order


class _OnMeta(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run_on_meta(func, args, kwargs or {})
