"""Tensors to bytes and back: one frame per tensor, its meaning in a TensorHeader.

Nothing is copied that need not be: fp32 sends the tensor's own memory, and a large frame that arrives is
computed with where it lies. So a tensor must not be changed between encoding and the answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from workbench.errors import ProtocolError
from workbench.quantization.activations import Packed, pack, unpack
from workbench.quantization.layout import packed_bytes
from workbench.wire.base import Frame
from workbench.wire.messages import RAW_CODECS, TensorHeader

__all__ = ["decode_tensors", "encode_tensors"]

_RAW = {"int64": torch.int64, "int32": torch.int32, "uint8": torch.uint8, "bool": torch.bool}
_RAW_NAMES = {dtype: name for name, dtype in _RAW.items()}
_COPIED_BELOW = 1 << 16  # small frames lie anywhere in a receive buffer: copying aligns them and lets it go
_ALIGNMENT = 8


def encode_tensors(tensors: Mapping[str, Tensor], codec: str) -> tuple[tuple[TensorHeader, ...], list[Frame]]:
    """Headers and frames of named tensors: floating-point ones by ``codec``, integers and masks as they are.

    Raises:
        InputError: a tensor is a scalar, or of a type that does not cross.
        UnknownNameError: no codec is called so.
    """
    pairs = [_encode(name, tensor, codec) for name, tensor in tensors.items()]
    return tuple(header for header, _ in pairs), [frame for _, frame in pairs]


def decode_tensors(
    headers: Sequence[TensorHeader], frames: Sequence[Frame], *, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """The tensors by name, on the CPU: floating-point ones in ``dtype``, integers in their own.

    Every size is checked against its frame before anything is allocated.

    Raises:
        ProtocolError: frames and headers do not fit each other.
    """
    if len(headers) != len(frames):
        raise ProtocolError(f"{len(headers)} tensors announced, {len(frames)} frames came")
    if len({header.name for header in headers}) != len(headers):
        raise ProtocolError(f"tensors of one name: {[header.name for header in headers]}")
    for header, frame in zip(headers, frames, strict=True):
        _check(header, len(frame))
    return {h.name: _decode(h, f, dtype) for h, f in zip(headers, frames, strict=True)}


def _encode(name: str, tensor: Tensor, codec: str) -> tuple[TensorHeader, Frame]:
    if tensor.dtype in _RAW_NAMES and tensor.dim() > 0:
        raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
        packed = Packed(raw, tuple(tensor.shape), _RAW_NAMES[tensor.dtype])
    else:
        packed = pack(tensor, codec)
    frame = packed.data.cpu().numpy().data
    return TensorHeader(name, packed.shape, packed.codec, packed.clipped), frame


def _check(header: TensorHeader, n_bytes: int) -> None:
    rows, width = math.prod(header.shape[:-1]), header.shape[-1]
    if header.codec in RAW_CODECS:
        need = rows * width * _RAW[header.codec].itemsize
    else:
        need = packed_bytes(rows, width, header.codec)
    if need != n_bytes:
        raise ProtocolError(
            f"{header.name!r} of shape {header.shape} takes {need} bytes as {header.codec}: got {n_bytes}"
        )


def _decode(header: TensorHeader, frame: Frame, dtype: torch.dtype) -> Tensor:
    data = _as_tensor(frame)
    if header.codec in RAW_CODECS:
        if header.codec == "bool" and data.numel() and int(data.max()) > 1:
            raise ProtocolError(f"tensor {header.name!r}: a bool is 0 or 1, {int(data.max())} came")
        return data.view(_RAW[header.codec]).view(header.shape)
    return unpack(Packed(data, header.shape, header.codec), dtype)


def _as_tensor(frame: Frame) -> Tensor:
    """uint8 [n_bytes]; shares the frame's memory where it is large, writable and aligned."""
    view = memoryview(frame)
    if len(view) >= _COPIED_BELOW and not view.readonly:
        shared = torch.frombuffer(view, dtype=torch.uint8)
        if shared.data_ptr() % _ALIGNMENT == 0:
            return shared
    copied = torch.empty(len(view), dtype=torch.uint8)
    copied.numpy().data[:] = view
    return copied
