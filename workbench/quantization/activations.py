"""What a wire codec does to the numbers of a boundary activation.

B batch, T tokens, D elements per token; rows are the B·T tokens, groups are runs of elements of one token.

- ``fp32`` keeps every bit; ``bf16`` and ``fp16`` round. fp16 ends at 65504: what is finite and beyond
  saturates there and is counted in ``Packed.clipped``, so that a run can say so.
- ``int8``: one scale and minimum per token (asymmetric: 6 to 30 % less error than symmetric, most where a
  token has massive outliers of one sign).
- ``int4``: one scale per 32 elements, set by the element of largest magnitude so that all 16 levels are used.

NaN and infinity are never hidden: they stay, or make their token (int8) or group (int4) NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from workbench.errors import InputError, UnknownNameError
from workbench.plan import WIRE_CODECS
from workbench.quantization.layout import INT4_GROUP, INT8_ROW_BYTES, packed_bytes

__all__ = ["Packed", "pack", "round_trip", "unpack"]

_FLOATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_FP16_MAX = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class Packed:
    """A tensor as its codec's bytes."""

    data: Tensor  # uint8 [n_bytes], may share memory with what was packed
    shape: tuple[int, ...]
    codec: str
    clipped: int = 0  # finite elements that did not fit and were saturated


def pack(tensor: Tensor, codec: str) -> Packed:
    """Bytes of a floating-point tensor [..., D], on the tensor's own device.

    Raises:
        InputError: the tensor is a scalar, or of float64 or an integer type.
        UnknownNameError: no codec is called so.
    """
    _check(tensor, codec)
    shape = tuple(tensor.shape)
    if codec in _FLOATS:
        values, clipped = _narrowed(tensor.detach(), _FLOATS[codec])
        return Packed(_as_bytes(values), shape, codec, clipped)
    rows = tensor.detach().to(torch.float32).reshape(math.prod(shape[:-1]), shape[-1])
    data = _pack_int8(rows) if codec == "int8" else _pack_int4(rows)
    return Packed(data, shape, codec)


def unpack(packed: Packed, dtype: torch.dtype = torch.float32) -> Tensor:
    """The numbers again, in ``dtype``. Shares memory with ``packed.data`` where nothing has to be computed.

    Raises:
        InputError: the number of bytes does not fit shape and codec.
        UnknownNameError: no codec is called so.
    """
    width = packed.shape[-1] if packed.shape else 0
    rows = math.prod(packed.shape[:-1])
    n_bytes = packed_bytes(rows, width, packed.codec)
    given = packed.data.numel()
    if not packed.shape or given != n_bytes:
        raise InputError(f"{given} bytes for {packed.codec} of shape {packed.shape}: it takes {n_bytes}")
    if packed.codec in _FLOATS:
        values = packed.data.view(_FLOATS[packed.codec])
    else:
        values = (_unpack_int8 if packed.codec == "int8" else _unpack_int4)(packed.data, rows, width)
    return values.reshape(packed.shape).to(dtype)


def round_trip(tensor: Tensor, codec: str) -> Tensor:
    """What the other side gets: the tensor through ``codec`` and back, in its own dtype and on its device."""
    return unpack(pack(tensor, codec), tensor.dtype)


def _check(tensor: Tensor, codec: str) -> None:
    if codec not in WIRE_CODECS:
        raise UnknownNameError("wire codec", codec, WIRE_CODECS)
    if tensor.dtype not in _FLOATS.values() or tensor.dim() == 0:
        raise InputError(
            f"codec {codec} packs float32, bfloat16 or float16 tensors [..., D]: "
            f"got {tensor.dtype} of shape {tuple(tensor.shape)}"
        )


def _as_bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _narrowed(tensor: Tensor, dtype: torch.dtype) -> tuple[Tensor, int]:
    """The tensor in ``dtype``, and how many elements saturated."""
    values = tensor.to(dtype)
    if dtype is not torch.float16 or tensor.dtype is torch.float16 or not bool(values.isinf().any()):
        return values, 0
    lost = values.isinf() & tensor.isfinite()
    return torch.where(lost, values.sign() * _FP16_MAX, values), int(lost.sum())


def _pack_int8(rows: Tensor) -> Tensor:
    """float32 [R, D] -> scale and minimum [R, 2] in float32, then values [R, D] in uint8."""
    if rows.numel() == 0:  # no minimum of nothing
        return rows.new_zeros(len(rows) * INT8_ROW_BYTES, dtype=torch.uint8)
    low, high = rows.aminmax(dim=1, keepdim=True)
    scale = high / 255 - low / 255  # not (high - low) / 255, which may overflow
    step = torch.where(scale == 0, 1.0, scale)
    values = ((rows - low) / step).round_().clamp_(0, 255).to(torch.uint8)
    return torch.cat([_as_bytes(torch.cat([scale, low], dim=1)), values.reshape(-1)])


def _unpack_int8(data: Tensor, rows: int, width: int) -> Tensor:
    meta = data[: rows * INT8_ROW_BYTES].view(torch.float32).view(rows, 2)
    values = data[rows * INT8_ROW_BYTES :].view(rows, width)
    return torch.addcmul(meta[:, 1:], values.to(torch.float32), meta[:, :1])


def _pack_int4(rows: Tensor) -> Tensor:
    """float32 [R, D] -> scales [R, G] in bfloat16, then [R, G, 16]: element i low and i + 16 high."""
    short = -rows.shape[1] % INT4_GROUP
    grouped = (pad(rows, (0, short)) if short else rows).reshape(-1, INT4_GROUP)  # [R·G, 32]
    if grouped.numel() == 0:
        return grouped.new_zeros(0, dtype=torch.uint8)
    largest = grouped.gather(1, grouped.abs().argmax(dim=1, keepdim=True))
    scale = (largest / -8).to(torch.bfloat16)
    wide = scale.to(torch.float32)
    step = torch.where(wide == 0, 1.0, wide)
    levels = (grouped / step).round_().clamp_(-8, 7).add_(8).to(torch.uint8)
    low, high = levels.chunk(2, dim=1)
    return torch.cat([_as_bytes(scale), (low | (high << 4)).reshape(-1)])


def _unpack_int4(data: Tensor, rows: int, width: int) -> Tensor:
    groups = rows * -(-width // INT4_GROUP)
    scale = data[: groups * 2].view(torch.bfloat16).to(torch.float32).view(-1, 1)
    packed = data[groups * 2 :].view(groups, INT4_GROUP // 2)
    levels = torch.cat([packed & 15, packed >> 4], dim=1).to(torch.float32).sub_(8)
    return levels.mul_(scale).view(rows, groups * INT4_GROUP // max(rows, 1))[:, :width]
