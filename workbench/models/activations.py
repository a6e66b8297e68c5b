"""How much a forward pass holds on its way, counted on the meta device: no weight and no number is needed.

What is alive at once is followed operation by operation. Attention is taken for fused where the architecture
calls PyTorch's, which keeps no scores; the meta device would make them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

__all__ = ["PROBES", "AliveBytes", "FusedAttention", "block_peaks", "per_token"]

PROBES = (16, 48)  # tokens of two forwards, which tell what grows with tokens and what with pairs of them
_HALF = 2  # bytes of an element in the half precision that is followed


class AliveBytes(TorchDispatchMode):
    """Follows the bytes of all tensors that operations make.

    Args:
        module: whose parameters and buffers do not count.
        run: what runs an operation, e.g. ``run_on_meta``; None for the operation itself.
    """

    def __init__(self, module: nn.Module, run: Callable[[Any, Any, Any], Any] | None = None) -> None:
        super().__init__()
        self._run = run
        own = [t for t in (*module.parameters(), *module.buffers()) if not t.is_mkldnn]
        self._weights = [tensor.untyped_storage() for tensor in own]  # kept: an address says whose it is
        self._held = {storage._cdata for storage in self._weights}
        self._alive: dict[int, int] = {}
        self.now_bytes = 0
        self.peak_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = self._run(func, args, kwargs or {}) if self._run else func(*args, **(kwargs or {}))
        for tensor in tree_iter(made):
            if isinstance(tensor, Tensor) and not tensor.is_mkldnn:
                self._add(tensor.untyped_storage())
        return made

    def _add(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._alive or key in self._held:
            return
        self._alive[key] = storage.nbytes()
        self.now_bytes += storage.nbytes()
        self.peak_bytes = max(self.peak_bytes, self.now_bytes)
        weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.now_bytes -= self._alive.pop(key, 0)


class FusedAttention(TorchFunctionMode):
    """Attention without its scores, as the kernels of a real device do it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is scaled_dot_product_attention and len(args) >= 3:
            query, _, value = args[:3]
            return query.new_empty((*query.shape[:-1], value.shape[-1]))
        return func(*args, **(kwargs or {}))


def block_peaks(blocks: Sequence[nn.Module], alive: AliveBytes, forward: Callable[[], Any]) -> list[int]:
    """The most bytes that are alive during each block of one forward, weights aside."""
    peaks = [0] * len(blocks)

    def begin(*_: Any) -> None:
        alive.peak_bytes = alive.now_bytes

    def ender(block: int) -> Callable[..., None]:
        def end(*_: Any) -> None:
            peaks[block] = alive.peak_bytes

        return end

    handles = [block.register_forward_pre_hook(begin) for block in blocks]
    handles += [block.register_forward_hook(ender(i)) for i, block in enumerate(blocks)]
    try:
        with torch.no_grad(), FusedAttention(), alive:
            forward()
    finally:
        for handle in handles:
            handle.remove()
    return peaks


def per_token(peaks: Sequence[Sequence[int]], kv_elements: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Each block's peak as elements per token and per pair of tokens; what is cached aside.

    Args:
        peaks: bytes by probe and block, in half precision.
        kv_elements: by block and token, what stays cached.
    """
    found = []
    for block, cached in enumerate(accumulate(kv_elements)):
        few, many = (row[block] / _HALF / n - cached for row, n in zip(peaks, PROBES, strict=True))
        per_pair = max(0.0, (many - few) / (PROBES[1] - PROBES[0]))
        found.append((max(0, round(few - per_pair * PROBES[0])), round(per_pair)))
    return tuple(found)
