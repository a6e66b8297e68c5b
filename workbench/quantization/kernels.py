"""Linear layers whose weights stay packed in memory, and the kernels that multiply with them.

Which kernel is fastest depends on the host, the layer's size and the arithmetic's type, so each layer is
given one when it is made (``kernel_for``), and each special kernel is tried on a known product before it is
trusted: a host on which it fails or saturates falls back to the plain ones.

==============  ====================  =================================================================
kernel          where                 how
==============  ====================  =================================================================
``Int8Split``   CPU, large layers     activations as two int8 numbers (15 bits of each token's range),
                                      exact integer products: closer than bfloat16, and the same for
                                      every batch size
``Int8Plain``   anywhere              a fused kernel for a few bfloat16 rows on a CPU, else dequantized
                                      per call
``Int4Cpu``     CPU, bfloat16         torch's fused kernel
``Int4Cuda``    CUDA, bfloat16        torch's fused kernel
``Int4Plain``   anywhere              dequantized per call
==============  ====================  =================================================================

M rows (tokens), N outputs, K inputs, G groups of inputs.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from workbench.quantization.codes import GROUP, Codes, from_nibbles, grouped, quantize

__all__ = ["PackedLinear", "kernel_for"]

_LARGE = 1 << 20  # weights from which on splitting the activations costs less than it saves
_FEW_ROWS = 8  # up to which the fused int8 kernel beats dequantizing
_SOME_ROWS = 96  # up to which the fused int4 kernel beats dequantizing tiles
_FAINTEST = 1e-30  # largest magnitude that a row is scaled by, so that a row of zeros divides
_CPU_BLOCK = 64  # outputs that the CPU's int4 kernel packs together
_TILE = 1 << 20  # weights that are dequantized at once: small enough for a cache, large enough for the calls
_ROWS = 128  # that go through the integer kernel at once
_CUDA_TILES = 8  # inner K tiles of the CUDA kernel's layout
_TOLERANCE = 0.02  # of a kernel on trial: bfloat16 arithmetic over the probe's inputs stays far below


class PackedLinear(nn.Module):
    """A linear layer with integer weights: ``x @ weight.T + bias``. For inference."""

    bits: int

    def __init__(
        self, codes: Codes, bias: Tensor | None, dtype: torch.dtype, transposed: bool = False
    ) -> None:
        super().__init__()
        self.out_features, self.in_features = codes.values.shape[0], codes.n_inputs
        self.dtype = dtype  # of ``weight``
        self.transposed = transposed  # ``weight`` is [K, N], as in transformers' Conv1D
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        self._is_hf_initialized = True  # transformers leaves it alone

    def forward(self, x: Tensor) -> Tensor:
        """[..., K] in, [..., N] out, in the type of ``x``."""
        rows = x.reshape(-1, self.in_features)
        if not len(rows):
            return x.new_zeros((*x.shape[:-1], self.out_features))
        result = self.multiply(rows)
        if self.bias is not None:
            result = result + self.bias.to(result.dtype)
        return result.view(*x.shape[:-1], self.out_features)

    @abstractmethod
    def multiply(self, x: Tensor) -> Tensor:
        """[M, K] in, [M, N] out, without the bias; M > 0."""

    @abstractmethod
    def dequantize(self) -> Tensor:
        """float32 [N, K]."""

    @property
    def weight(self) -> Tensor:
        """The weights as a dense copy, for architectures that look at them; made anew each time."""
        dense = self.dequantize().to(self.dtype)
        return dense.t() if self.transposed else dense

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}, {self.bits} bits"


class Int8Plain(PackedLinear):
    """One byte per weight."""

    bits = 8
    codes: Tensor
    scale: Tensor

    def __init__(
        self, codes: Codes, bias: Tensor | None, dtype: torch.dtype, transposed: bool = False
    ) -> None:
        super().__init__(codes, bias, dtype, transposed)
        self.register_buffer("codes", codes.values)
        self.register_buffer("scale", codes.scale.view(-1))
        self._fused = codes.values.device.type == "cpu" and self._is_aligned()

    def _is_aligned(self) -> bool:
        """Vectors of the fused kernel fit: it reads past the end of other shapes."""
        return self.in_features % 32 == 0 and self.out_features % 16 == 0

    def multiply(self, x: Tensor) -> Tensor:
        if self._fused and len(x) <= _FEW_ROWS and x.dtype == torch.bfloat16:
            return torch.ops.aten._weight_int8pack_mm(x, self.codes, self.scale)
        return linear(x, self.codes.to(x.dtype)) * self.scale.to(x.dtype)

    def dequantize(self) -> Tensor:
        return self.codes * self.scale.float().unsqueeze(1)


class Int8Split(PackedLinear):
    """One byte per weight, activations as two bytes.

    A row x of largest magnitude a is ``x = a / 127 * (high + low / 254)`` with int8 high and low, to within
    a / 64516. Both go through the integer kernel as rows of one product, which costs little more than one
    while the weights' way from memory is what takes the time.
    """

    bits = 8
    packed: Tensor
    scale: Tensor
    zero: Tensor

    def __init__(
        self, codes: Codes, bias: Tensor | None, dtype: torch.dtype, transposed: bool = False
    ) -> None:
        super().__init__(codes, bias, dtype, transposed)
        self.register_buffer("packed", torch.ops.onednn.qlinear_prepack(codes.values, None))
        self.register_buffer("scale", codes.scale.float().view(-1))
        self.register_buffer("zero", torch.zeros(len(self.scale), dtype=torch.int32))

    def multiply(self, x: Tensor) -> Tensor:
        parts = [self._multiply(rows) for rows in x.split(_ROWS)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _multiply(self, x: Tensor) -> Tensor:
        step = x.abs().amax(1, keepdim=True).float().clamp_(min=_FAINTEST).div_(127)
        high_and_low = torch.empty((2 * len(x), x.shape[1]), dtype=torch.int8)
        scaled = x / step
        high = scaled.round()
        high_and_low[: len(x)] = high
        high_and_low[len(x) :] = scaled.sub_(high).mul_(254).round_()
        high_out, low_out = self._product(high_and_low).chunk(2)
        return torch.add(high_out, low_out, alpha=1 / 254).mul_(step).to(x.dtype)

    def _product(self, x: Tensor) -> Tensor:
        """int8 [M, K] in, float32 [M, N] out."""
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            x, 1.0, 0, self.packed, self.scale, self.zero, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return product

    def dequantize(self) -> Tensor:
        identity = torch.eye(self.in_features, dtype=torch.int8)
        return torch.cat([self._product(rows) for rows in identity.split(GROUP)]).t().contiguous()


class Int4Plain(PackedLinear):
    """Two weights per byte, the first of each pair in the low half."""

    bits = 4
    codes: Tensor
    scale: Tensor
    zero: Tensor

    def __init__(
        self, codes: Codes, bias: Tensor | None, dtype: torch.dtype, transposed: bool = False
    ) -> None:
        super().__init__(codes, bias, dtype, transposed)
        self.register_buffer("codes", codes.values)
        self.register_buffer("scale", codes.scale)
        self.register_buffer("zero", codes.zero)

    def multiply(self, x: Tensor) -> Tensor:
        return linear(x, self.dequantize().to(x.dtype))

    def dequantize(self) -> Tensor:
        return grouped(self.codes, self.scale, self.zero)[:, : self.in_features]


class _FusedInt4(PackedLinear):
    """Two weights per byte in a kernel's own order."""

    bits = 4
    packed: Tensor
    scale_and_zero: Tensor  # bfloat16 [G, N, 2]

    def __init__(
        self, codes: Codes, bias: Tensor | None, dtype: torch.dtype, transposed: bool = False
    ) -> None:
        super().__init__(codes, bias, dtype, transposed)
        assert codes.zero is not None
        self.register_buffer("packed", self._pack(codes.values))
        both = torch.stack((codes.scale, codes.zero), dim=-1)
        self.register_buffer("scale_and_zero", both.transpose(0, 1).contiguous())

    @abstractmethod
    def _pack(self, values: Tensor) -> Tensor:
        """Nibbles [N, K / 2] in the kernel's order."""

    def dequantize(self) -> Tensor:
        identity = torch.eye(self.in_features, dtype=torch.bfloat16, device=self.packed.device)
        return torch.cat([self.multiply(rows).float() for rows in identity.split(GROUP)]).t().contiguous()


class Int4Cpu(_FusedInt4):
    """Two weights per byte in the order of torch's CPU kernel.

    That kernel is made for a few rows. For more, tiles of outputs are dequantized and multiplied one after
    the other, where the order is as expected.
    """

    def __init__(
        self, codes: Codes, bias: Tensor | None, dtype: torch.dtype, transposed: bool = False
    ) -> None:
        super().__init__(codes, bias, dtype, transposed)
        block = _cpu_block()
        self._block = block if block and self.out_features % block == 0 else None

    def _pack(self, values: Tensor) -> Tensor:
        # Not all at once: the kernel wants four bytes per weight while it packs.
        step = max(1, _TILE // self.in_features // _CPU_BLOCK) * _CPU_BLOCK
        packed = torch.empty_like(values)
        for rows in (slice(start, start + step) for start in range(0, len(values), step)):
            numbers = from_nibbles(values[rows]).int()
            packed[rows] = torch.ops.aten._convert_weight_to_int4pack_for_cpu(numbers, 1)
        return packed

    def multiply(self, x: Tensor) -> Tensor:
        rows = x.to(torch.bfloat16).contiguous()
        if len(rows) <= _SOME_ROWS or self._block is None:
            return self._fused(rows).to(x.dtype)
        return self._tiled(rows, self._block).to(x.dtype)

    def _fused(self, x: Tensor) -> Tensor:
        return torch.ops.aten._weight_int4pack_mm_for_cpu(x, self.packed, GROUP, self.scale_and_zero)

    def _tiled(self, x: Tensor, block: int) -> Tensor:
        """[M, K] in, [M, N] out: dequantize some outputs, multiply with them, go on."""
        n = max(block, _TILE // self.in_features // block * block)
        result = torch.empty((len(x), self.out_features), dtype=x.dtype)
        space = _Space(n // block, self.in_features, block)
        parts = (self.packed.split(n), self.scale_and_zero.split(n, dim=1), result.split(n, dim=1))
        for packed, scale_and_zero, out in zip(*parts, strict=True):
            tiles = space.dequantize(packed, scale_and_zero)  # [n / B, K, B]
            out.unflatten(1, (-1, block)).copy_(torch.matmul(x, tiles).transpose(0, 1))
        return result


class _Space:
    """Memory for dequantizing ``tiles`` tiles of B outputs, used again and again: new pages cost more."""

    def __init__(self, tiles: int, n_inputs: int, block: int) -> None:
        self.small = torch.empty((tiles, n_inputs, block), dtype=torch.uint8)
        self.large = torch.empty((tiles, n_inputs, block), dtype=torch.bfloat16)

    def dequantize(self, packed: Tensor, scale_and_zero: Tensor) -> Tensor:
        """bfloat16 [tiles, K, B] of the kernel's bytes and [G, tiles * B, 2]; valid until the next call."""
        block = self.large.shape[2]
        small = self.small[: packed.shape[0] // block]
        large = self.large[: len(small)]
        large.copy_(_unpack(packed, small))
        scale, zero = scale_and_zero.unflatten(1, (-1, block)).permute(3, 1, 0, 2).contiguous().unsqueeze(3)
        groups = large.unflatten(1, (-1, GROUP))  # [tiles, G, 32, B]
        return torch.addcmul(zero, groups, scale, out=groups).flatten(1, 2)


def _unpack(packed: Tensor, out: Tensor) -> Tensor:
    """int8 [tiles, K, B], -8 to 7, of the kernel's bytes: low halves are a tile's first B/2 outputs."""
    half = out.shape[2] // 2
    rows = packed.view(len(out), -1, half)
    torch.bitwise_and(rows, 15, out=out[:, :, :half])
    torch.bitwise_right_shift(rows, 4, out=out[:, :, half:])
    return out.view(torch.int8).sub_(8)


@cache
def _cpu_block() -> int | None:
    """Outputs in one tile of the kernel, by the host's vectors; None where its order is not as expected."""
    values = torch.randint(0, 16, (2 * _CPU_BLOCK, GROUP), generator=torch.Generator().manual_seed(0))
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values.int(), 1)
    for block in (64, 32):
        tiles = values.view(-1, block, GROUP).transpose(1, 2)
        if torch.equal(_unpack(packed, torch.empty(tiles.shape, dtype=torch.uint8)) + 8, tiles):
            return block
    return None


class Int4Cuda(_FusedInt4):
    def _pack(self, values: Tensor) -> Tensor:
        swapped = values << 4 | values >> 4  # its low half is the second of a pair
        return torch.ops.aten._convert_weight_to_int4pack(swapped, _CUDA_TILES)

    def multiply(self, x: Tensor) -> Tensor:
        rows = x.to(torch.bfloat16).contiguous()
        return torch.ops.aten._weight_int4pack_mm(rows, self.packed, GROUP, self.scale_and_zero).to(x.dtype)


def kernel_for(bits: int, n: int, k: int, dtype: torch.dtype, device: torch.device) -> type[PackedLinear]:
    """The kernel that suits a layer of ``n`` outputs and ``k`` inputs on this host."""
    on_cpu, bf16 = device.type == "cpu", dtype == torch.bfloat16
    if bits == 8:
        return Int8Split if on_cpu and n * k >= _LARGE and _works(Int8Split, "cpu") else Int8Plain
    if on_cpu and bf16 and k % GROUP == 0 and n % 16 == 0 and _works(Int4Cpu, "cpu"):
        return Int4Cpu
    if device.type == "cuda" and bf16 and k % 256 == 0 and n % 8 == 0 and _works(Int4Cuda, str(device)):
        return Int4Cuda
    return Int4Plain


@cache
def _works(kernel: type[PackedLinear], device: str) -> bool:
    """Try a kernel on a product whose sums are as large as they get, and on a random one."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn((_CPU_BLOCK, 256), generator=generator)
    weight[0] = 1.0
    x = torch.cat((torch.ones(1, 256), torch.randn((3, 256), generator=generator))).to(device, torch.bfloat16)
    codes = quantize(weight.to(device), kernel.bits)
    expected = linear(x.float(), codes.dequantize())
    try:
        got = kernel(codes, None, torch.bfloat16).multiply(x).float()
    except (RuntimeError, NotImplementedError, AttributeError):
        return False
    return bool((got - expected).norm() <= _TOLERANCE * expected.norm())
