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
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from workbench.errors import InputError, UnknownNameError
from workbench.plan import WIRE_CODECS
from workbench.quantization.layout import INT4_GROUP

__all__ = ["Packed", "PartLayout", "pack", "part_layout", "round_trip", "unpack"]

_FLOATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_FLOAT_TYPES = frozenset(_FLOATS.values())
_FP16_MAX = torch.finfo(torch.float16).max
_TINY = torch.finfo(torch.float32).tiny

PartLayout = tuple[tuple[torch.dtype, tuple[int, ...]], ...]
"""Type and shape of each part."""


class Packed(NamedTuple):
    """A tensor as its codec's parts; their bytes, one after another, are what crosses."""

    parts: tuple[Tensor, ...]  # as part_layout says; may share memory with what was packed
    shape: tuple[int, ...]
    codec: str
    clipped: int = 0  # finite elements that did not fit and were saturated

    @property
    def n_bytes(self) -> int:
        return sum(part.nbytes for part in self.parts)


def part_layout(shape: tuple[int, ...], codec: str) -> PartLayout:
    """Type and shape of each part of a tensor of ``shape``. R rows, G groups.

    - a float codec: the values
    - int8: scale [R, 1] and minimum [R, 1] in float32, values [R, D] in uint8
    - int4: scale [G, 1] in bfloat16, then [G, 16] in uint8: element i of a group low and i + 16 high

    Raises:
        UnknownNameError: no codec is called so.
    """
    if codec in _FLOATS:
        return ((_FLOATS[codec], shape),)
    rows, width = math.prod(shape[:-1]), shape[-1]
    if codec == "int8":
        return ((torch.float32, (rows, 1)), (torch.float32, (rows, 1)), (torch.uint8, (rows, width)))
    if codec == "int4":
        groups = rows * -(-width // INT4_GROUP)
        return ((torch.bfloat16, (groups, 1)), (torch.uint8, (groups, INT4_GROUP // 2)))
    raise UnknownNameError("wire codec", codec, WIRE_CODECS)


def pack(tensor: Tensor, codec: str) -> Packed:
    """A floating-point tensor [..., D] by a codec, on the tensor's own device.

    Raises:
        InputError: the tensor is a scalar, or of float64 or an integer type.
        UnknownNameError: no codec is called so.
    """
    _check(tensor, codec)
    shape = tuple(tensor.shape)
    if tensor.requires_grad:
        tensor = tensor.detach()
    if codec in _FLOATS:
        values, clipped = _narrowed(tensor, _FLOATS[codec])
        return Packed((values,), shape, codec, clipped)
    rows = tensor.to(torch.float32).reshape(math.prod(shape[:-1]), shape[-1])
    return Packed((_pack_int8 if codec == "int8" else _pack_int4)(rows), shape, codec)


def unpack(packed: Packed, dtype: torch.dtype = torch.float32) -> Tensor:
    """The numbers again, in ``dtype``. Shares memory with the parts where nothing has to be computed.

    Raises:
        InputError: the parts do not fit shape and codec.
        UnknownNameError: no codec is called so.
    """
    wanted = part_layout(packed.shape, packed.codec)
    found = tuple((part.dtype, tuple(part.shape)) for part in packed.parts)
    if found != wanted:
        raise InputError(f"parts {found} are no {packed.codec} tensor of shape {packed.shape}: need {wanted}")
    if packed.codec in _FLOATS:
        return packed.parts[0].to(dtype)
    values = (_unpack_int8 if packed.codec == "int8" else _unpack_int4)(packed)
    return values.reshape(packed.shape).to(dtype)


def round_trip(tensor: Tensor, codec: str) -> Tensor:
    """What the other side gets: the tensor through ``codec`` and back, in its own dtype and on its device."""
    return unpack(pack(tensor, codec), tensor.dtype)


def _check(tensor: Tensor, codec: str) -> None:
    if codec not in WIRE_CODECS:
        raise UnknownNameError("wire codec", codec, WIRE_CODECS)
    if tensor.dtype not in _FLOAT_TYPES or tensor.dim() == 0:
        raise InputError(
            f"codec {codec} packs float32, bfloat16 or float16 tensors [..., D]: "
            f"got {tensor.dtype} of shape {tuple(tensor.shape)}"
        )


def _narrowed(tensor: Tensor, dtype: torch.dtype) -> tuple[Tensor, int]:
    """The tensor in ``dtype``, and how many elements saturated."""
    values = tensor.to(dtype)
    if dtype is not torch.float16 or tensor.dtype is torch.float16:
        return values, 0
    if math.isfinite(values.sum(dtype=torch.float32).item()):  # cheaper than to look at each
        return values, 0
    lost = values.isinf() & tensor.isfinite()
    return torch.where(lost, values.sign() * _FP16_MAX, values), int(lost.sum())


def _pack_int8(rows: Tensor) -> tuple[Tensor, ...]:
    """float32 [R, D] -> scale, minimum, values."""
    if rows.numel() == 0:  # no minimum of nothing
        nothing = rows.new_zeros(len(rows), 1)
        return nothing, nothing, rows.to(torch.uint8)
    low, high = rows.aminmax(dim=1, keepdim=True)
    scale = high / 255 - low / 255  # not (high - low) / 255, which may overflow
    values = (rows - low).div_(scale.clamp_min(_TINY)).round_()
    return scale, low, values.to(torch.uint8)


def _unpack_int8(packed: Packed) -> Tensor:
    scale, low, values = packed.parts
    return torch.addcmul(low, values.to(torch.float32), scale)


def _pack_int4(rows: Tensor) -> tuple[Tensor, ...]:
    """float32 [R, D] -> scales, nibbles."""
    short = -rows.shape[1] % INT4_GROUP
    grouped = (pad(rows, (0, short)) if short else rows).reshape(-1, INT4_GROUP)
    if grouped.numel() == 0:
        return grouped.new_zeros(0, 1, dtype=torch.bfloat16), grouped.new_zeros(0, 16, dtype=torch.uint8)
    largest = grouped.gather(1, grouped.abs().argmax(dim=1, keepdim=True))
    scale = (largest / -8).to(torch.bfloat16)
    wide = scale.to(torch.float32)
    step = torch.where(wide == 0, 1.0, wide)
    levels = (grouped / step).round_().clamp_(-8, 7).add_(8).to(torch.uint8)
    low, high = levels.chunk(2, dim=1)
    return scale, (high << 4).bitwise_or_(low)


def _unpack_int4(packed: Packed) -> Tensor:
    scale, nibbles = packed.parts
    rows, width = math.prod(packed.shape[:-1]), packed.shape[-1]
    levels = torch.cat([nibbles & 15, nibbles >> 4], dim=1).to(torch.float32).sub_(8)
    return levels.mul_(scale).view(rows, -(-width // INT4_GROUP) * INT4_GROUP)[:, :width]
