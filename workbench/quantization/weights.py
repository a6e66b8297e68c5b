"""Weights in 8 and 4 bits, packed for real: what a stage of few bits holds is what it says.

Linear layers are packed, transformers' ``Conv1D`` among them; embeddings, heads and norms stay as they are,
and so do the fused expert tensors of mixtures, which are no linear layers: ``resident_bytes`` tells.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from workbench.quantization.codes import quantize
from workbench.quantization.kernels import PackedLinear, kernel_for

__all__ = [
    "PackedLinear",
    "freed_memory_returns",
    "is_packable",
    "pack_linear",
    "quantize_linears",
    "resident_bytes",
]

_MMAP_THRESHOLD = -3  # glibc's number of the size from which a block of memory gets pages of its own
_OWN_BLOCK_BYTES, _GLIBC_LARGEST_BYTES = 1 << 19, 32 << 20
_MIN_FEATURES = 16  # smaller layers are gates and routers: nothing to win, much to lose


def is_packable(module: nn.Module) -> bool:
    """True for the layers that 8 and 4 bits pack; their weight is ``module.weight``."""
    return _is_linear(module) and min(module.weight.shape) >= _MIN_FEATURES  # type: ignore[arg-type]


def _is_linear(module: nn.Module) -> bool:
    """A matrix product and no more; subclasses may do otherwise, Falcon's does not."""
    return type(module) in (nn.Linear, Conv1D) or type(module).__name__ == "FalconLinear"


def pack_linear(layer: nn.Module, bits: int) -> PackedLinear:
    """A layer's packed twin, on the same device and for the same type of activations.

    Args:
        layer: one for which ``is_packable`` holds, with real weights; used up, its weight is dropped.
        bits: 8 (a scale per output) or 4 (a scale and a zero per 32 inputs).

    Raises:
        InputError: another number of bits.
    """
    transposed = type(layer) is Conv1D
    weight: Tensor = layer.weight.detach()  # type: ignore[operator]
    dtype, device = weight.dtype, weight.device
    codes = quantize(weight.t() if transposed else weight, bits)
    del weight, layer.weight
    kernel = kernel_for(bits, codes.values.shape[0], codes.n_inputs, dtype, device)
    return kernel(codes, layer.bias, dtype, transposed)  # type: ignore[arg-type]


@contextmanager
def freed_memory_returns() -> Iterator[None]:
    """While layers are packed, what is freed goes back to the system at once.

    Otherwise glibc keeps the pages of unpacked weights as holes between the packed ones that stay. Afterwards
    it is set to what its own rule for large blocks ends at; other allocators are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        yield
        return
    mallopt(_MMAP_THRESHOLD, _OWN_BLOCK_BYTES)
    try:
        yield
    finally:
        mallopt(_MMAP_THRESHOLD, _GLIBC_LARGEST_BYTES)


def quantize_linears(root: nn.Module, bits: int) -> None:
    """Pack every packable layer below ``root`` in place, one at a time: a model's blocks, never its head.

    Raises:
        InputError: another number of bits.
    """
    for parent in list(root.modules()):
        for name, child in list(parent.named_children()):
            if is_packable(child):
                setattr(parent, name, pack_linear(child, bits))


def resident_bytes(*modules: nn.Module) -> int:
    """Bytes that the modules' parameters and buffers take; memory that several share counts once."""
    sizes: dict[int, int] = {}
    for tensor in (t for module in modules for t in (*module.parameters(), *module.buffers())):
        if tensor.is_mkldnn:  # opaque: has no storage of its own kind
            sizes[id(tensor)] = tensor.numel() * tensor.itemsize
        elif not tensor.is_meta:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
    return sum(sizes.values())
