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
from workbench.quantization.activations import Packed, PartLayout, pack, part_layout, unpack
from workbench.quantization.layout import packed_bytes
from workbench.wire.base import Frame
from workbench.wire.messages import RAW_CODECS, TensorHeader

__all__ = ["decode_tensors", "encode_tensors"]

_RAW = {"int64": torch.int64, "int32": torch.int32, "uint8": torch.uint8, "bool": torch.bool}
_RAW_NAMES = {dtype: name for name, dtype in _RAW.items()}
_COPIED_BELOW = 1 << 16  # small frames lie anywhere in a receive buffer: copying aligns them and lets it go
_ALIGNMENT = 8
_MAX_ELEMENTS = 1 << 40  # of a shape's other dimensions, where one is 0: torch refuses strides beyond 63 bits


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
        packed = Packed((tensor,), tuple(tensor.shape), _RAW_NAMES[tensor.dtype])
    else:
        packed = pack(tensor, codec)
    views = [_bytes_of(part) for part in packed.parts]
    frame = views[0] if len(views) == 1 else b"".join(views)
    return TensorHeader(name, packed.shape, packed.codec, packed.clipped), frame


def _bytes_of(part: Tensor) -> memoryview:
    """The tensor's own memory, where it is on the CPU and in order."""
    if part.device.type != "cpu":
        part = part.cpu()
    if part.dtype is torch.bfloat16:  # which NumPy lacks
        part = part.view(torch.int16)
    array = part.contiguous().numpy()
    return array.data.cast("B") if array.size else memoryview(b"")


def _check(header: TensorHeader, n_bytes: int) -> None:
    rows, width = math.prod(header.shape[:-1]), header.shape[-1]
    if not rows * width and math.prod(max(size, 1) for size in header.shape) > _MAX_ELEMENTS:
        raise ProtocolError(f"{header.name!r} of shape {header.shape} is no tensor that anybody needs")
    if header.codec in RAW_CODECS:
        need = rows * width * _RAW[header.codec].itemsize
    else:
        need = packed_bytes(rows, width, header.codec)
    if need != n_bytes:
        raise ProtocolError(
            f"{header.name!r} of shape {header.shape} takes {need} bytes as {header.codec}: got {n_bytes}"
        )


def _decode(header: TensorHeader, frame: Frame, dtype: torch.dtype) -> Tensor:
    raw = _RAW.get(header.codec)
    parts = _parts(frame, ((raw, header.shape),) if raw else part_layout(header.shape, header.codec))
    if raw is None:
        return unpack(Packed(parts, header.shape, header.codec), dtype)
    if raw is torch.bool and max(frame, default=0) > 1:
        raise ProtocolError(f"{header.name!r}: a bool is 0 or 1, {max(frame)} came")
    return parts[0]


def _parts(frame: Frame, layout: PartLayout) -> tuple[Tensor, ...]:
    """The frame's bytes as tensors; they share its memory where it is large, writable and aligned."""
    buffer = _readable(frame)
    parts, offset = [], 0
    for dtype, shape in layout:
        count = math.prod(shape)
        if count:
            parts.append(torch.frombuffer(buffer, dtype=dtype, count=count, offset=offset).view(shape))
        else:
            parts.append(torch.empty(shape, dtype=dtype))
        offset += count * dtype.itemsize
    return tuple(parts)


def _readable(frame: Frame) -> Frame:
    """The frame itself, or an aligned copy that may be written to."""
    view = memoryview(frame)
    if len(view) < _COPIED_BELOW or view.readonly:
        return bytearray(view)
    shared = torch.frombuffer(view, dtype=torch.uint8, count=1)
    return frame if shared.data_ptr() % _ALIGNMENT == 0 else bytearray(view)
