"""Weights as small integers: what 8 and 4 bits keep of a matrix, whichever kernel multiplies with it.

8 bits: one scale per output row, symmetric, ``w = scale * q`` with q in [-127, 127].
4 bits: one scale and one zero per ``GROUP`` inputs, ``w = scale * (q - 8) + zero`` with q in [0, 15], two of
them to a byte.

Scales and zeros are rounded to bfloat16 first and the integers chosen for the rounded ones, so that every
kernel on every host stands for exactly the same weights.

N outputs, K inputs, G groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from workbench.errors import InputError

__all__ = ["GROUP", "Codes", "from_nibbles", "grouped", "nibbles", "quantize"]

GROUP = 32
"""Inputs that share a scale and a zero at 4 bits: 5 bits per weight in all (64: 4.5, with more error)."""
_PIECE = 1 << 18  # elements that are worked on at once, so that a large matrix never has a float32 twin
_SMALLEST = 1e-8  # a scale above zero, for rows and groups that are all zero; bfloat16 can hold it


@dataclass(frozen=True)
class Codes:
    """A quantized matrix."""

    bits: int  # 8 or 4
    values: Tensor  # int8 [N, K]; at 4 bits nibbles [N, K / 2], K rounded up to whole groups
    scale: Tensor  # bfloat16 [N, 1] or [N, G]
    zero: Tensor | None  # bfloat16 [N, G] at 4 bits
    n_inputs: int  # K

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The matrix [N, K] that the integers stand for."""
        if self.zero is None:
            return (self.values * self.scale.float()).to(dtype)
        return grouped(self.values, self.scale, self.zero)[:, : self.n_inputs].to(dtype)


def nibbles(values: Tensor) -> Tensor:
    """Integers 0 to 15, [N, K] with K even, as uint8 [N, K / 2]: the first of each pair in the low half."""
    unsigned = values.to(torch.uint8)
    return unsigned[:, ::2] | unsigned[:, 1::2] << 4


def from_nibbles(packed: Tensor) -> Tensor:
    """What ``nibbles`` packed, as uint8 [N, K]."""
    return torch.stack((packed & 15, packed >> 4), dim=-1).view(len(packed), -1)


def grouped(packed: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """float32 [N, K] of nibbles [N, K / 2] with scales and zeros [N, G]."""
    n, groups = scale.shape
    centred = from_nibbles(packed).view(n, groups, GROUP).float() - 8
    return torch.addcmul(zero.float().unsqueeze(-1), centred, scale.float().unsqueeze(-1)).view(n, -1)


@torch.no_grad()
def quantize(weight: Tensor, bits: int) -> Codes:
    """Round a matrix [N, K] to 8 or 4 bits.

    Raises:
        InputError: another number of bits.
    """
    if bits not in (8, 4):
        raise InputError(f"weights can be packed in 8 or 4 bits, not {bits}: 16 and 32 stay as they are")
    n, k = weight.shape
    groups = -(-k // GROUP)
    shape, dtype = ((n, k), torch.int8) if bits == 8 else ((n, groups * GROUP // 2), torch.uint8)
    values = torch.empty(shape, dtype=dtype, device=weight.device)
    scale, zero = (
        torch.empty((n, 1 if bits == 8 else groups), dtype=torch.bfloat16, device=weight.device) for _ in "sz"
    )
    step = max(1, _PIECE // k)
    for rows in (slice(start, start + step) for start in range(0, n, step)):
        found = (_rows8 if bits == 8 else _rows4)(weight[rows].float())
        values[rows], scale[rows], zero[rows] = found
    return Codes(bits, values, scale, zero if bits == 4 else None, k)


def _rows8(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    scale = _rounded(rows.abs().amax(1, keepdim=True) / 127)
    return (rows / scale).round_().clamp_(-127, 127), scale, scale


def _rows4(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    n, k = rows.shape
    groups = pad(rows, (0, -k % GROUP), mode="constant").view(n, -1, GROUP)
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    scale = _rounded((high - low) / 15)
    zero = (low + 8 * scale).bfloat16().float()
    values = ((groups - zero) / scale).round_().add_(8).clamp_(0, 15)
    return nibbles(values.view(n, -1)), scale.squeeze(-1), zero.squeeze(-1)


def _rounded(scale: Tensor) -> Tensor:
    return scale.clamp(min=_SMALLEST).bfloat16().float()
