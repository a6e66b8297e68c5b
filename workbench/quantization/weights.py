"""Weights in 8 and 4 bits, packed for real."""

from __future__ import annotations

from torch import nn
from transformers.pytorch_utils import Conv1D

__all__ = ["is_packable", "resident_bytes"]

_MIN_FEATURES = 16  # smaller layers are gates and routers: nothing to win, much to lose


def is_packable(module: nn.Module) -> bool:
    """True for the linear layers that 8 and 4 bits pack; their weight is ``module.weight``."""
    return type(module) in (nn.Linear, Conv1D) and min(module.weight.shape) >= _MIN_FEATURES  # type: ignore[arg-type]


def resident_bytes(module: nn.Module) -> int:
    """Bytes that a module's parameters and buffers take; memory that several share counts once."""
    tensors = [*module.parameters(), *module.buffers()]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors if not t.is_meta}
    return sum(storages.values())
