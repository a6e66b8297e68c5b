"""Packed layers stand for the weights that they say, take the memory that they say, and repeat themselves."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from workbench.errors import InputError
from workbench.quantization import kernels
from workbench.quantization.codes import GROUP, from_nibbles, nibbles, quantize
from workbench.quantization.weights import (
    PackedLinear,
    is_packable,
    pack_linear,
    quantize_linears,
    resident_bytes,
)

TYPES = (torch.float32, torch.bfloat16, torch.float16)
SHAPES = ((64, 192), (576, 192), (48, 80), (16, 17), (192, 96), (32, 96), (1025, 1024), (1024, 1056))
"""[outputs, inputs]: tiny's own, odd ones, and some that are large enough for every kernel."""
ROUNDING = {torch.float32: 1e-4, torch.bfloat16: 1e-2, torch.float16: 2e-3}
"""Relative error of a product that arithmetic of that type may make."""

sizes = st.integers(1, 70)
weights = st.builds(
    lambda n, k, spread, seed: _matrix(n, k, seed) * 10.0**spread,
    sizes,
    sizes,
    st.integers(-6, 4),
    st.integers(0, 1 << 30),
)


def _matrix(n: int, k: int, seed: int = 0) -> Tensor:
    return torch.randn((n, k), generator=torch.Generator().manual_seed(seed))


def layer(
    n: int, k: int, dtype: torch.dtype = torch.float32, *, bias: bool = True, seed: int = 0
) -> nn.Linear:
    """A linear layer of k inputs and n outputs."""
    made = nn.Linear(k, n, bias=bias)
    with torch.no_grad():
        made.weight.copy_(_matrix(n, k, seed) / k**0.5)
        if bias:
            made.bias.copy_(_matrix(1, n, seed + 1)[0])
    return made.to(dtype)


def relative_error(got: Tensor, expected: Tensor) -> float:
    return ((got.double() - expected).norm() / expected.norm()).item()


# ---- integers


@given(weight=weights)
def test_8_bits_are_within_half_a_step(weight: Tensor) -> None:
    codes = quantize(weight, 8)
    # The scale is rounded to bfloat16, which may put the largest value up to 2^-8 of itself beyond 127 steps.
    step = codes.scale.float()
    allowed = torch.maximum(step / 2, weight.abs().amax(1, keepdim=True) / 256) * (1 + 1e-5)
    assert ((codes.dequantize() - weight).abs() <= allowed).all()


@given(weight=weights)
def test_4_bits_are_within_half_a_step(weight: Tensor) -> None:
    codes = quantize(weight, 4)
    k = weight.shape[1]
    step = codes.scale.float().repeat_interleave(GROUP, dim=1)[:, :k]
    # Zero and scale are rounded to bfloat16: the ends of a group may lie beyond the first or last step.
    largest = weight.abs().max()
    assert ((codes.dequantize() - weight).abs() <= step / 2 + largest / 64).all()


@given(values=st.lists(st.lists(st.integers(0, 15), min_size=8, max_size=8), min_size=1, max_size=9))
def test_nibbles_come_back(values: list[list[int]]) -> None:
    given_values = torch.tensor(values, dtype=torch.int8)
    assert torch.equal(from_nibbles(nibbles(given_values)), given_values.to(torch.uint8))


def test_zeros_stay_zero() -> None:
    for bits in (8, 4):
        assert not quantize(torch.zeros(3, 40), bits).dequantize().any()


@pytest.mark.parametrize("bits", [16, 2, 0, 32])
def test_other_widths_are_refused(bits: int) -> None:
    with pytest.raises(InputError, match=f"not {bits}"):
        pack_linear(layer(32, 32), bits)


# ---- layers


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_layer_multiplies_with_the_dequantized_weights(
    shape: tuple[int, int], dtype: torch.dtype, bits: int
) -> None:
    plain = layer(*shape, dtype)
    exact = quantize(plain.weight, bits).dequantize().double()
    bias = plain.bias.double()
    packed = pack_linear(plain, bits)
    for rows in (1, 3, 20, 130):
        x = _matrix(rows, shape[1], seed=rows).to(dtype)
        got = packed(x)
        assert got.dtype == dtype
        assert relative_error(got, x.double() @ exact.T + bias) < ROUNDING[dtype]


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_weight_can_be_looked_at(shape: tuple[int, int], bits: int) -> None:
    large = max(shape) > 1000  # whose kernel may take a minute for it, where a processor has no fast one
    for dtype in (torch.bfloat16,) if large else (torch.float32, torch.bfloat16):
        plain = layer(*shape, dtype)
        exact = quantize(plain.weight, bits).dequantize()
        weight = pack_linear(plain, bits).weight  # once: some kernels multiply by an identity for it
        assert weight.dtype == dtype
        assert weight.shape == exact.shape
        assert relative_error(weight, exact.double()) < ROUNDING[dtype]


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_again_is_the_same(shape: tuple[int, int], bits: int) -> None:
    x = _matrix(5, shape[1]).bfloat16()
    one, other = (pack_linear(layer(*shape, torch.bfloat16), bits)(x) for _ in range(2))
    assert torch.equal(one, other)


def test_large_8_bit_layers_do_not_care_about_the_batch() -> None:
    packed = pack_linear(layer(1024, 1024, torch.bfloat16), 8)
    if not isinstance(packed, kernels.Int8Split):
        pytest.skip("this host has no integer kernel that passes its trial")
    x = _matrix(300, 1024).bfloat16()
    assert torch.equal(packed(x)[7:9], packed(x[7:9]))


def test_split_activations_are_closer_than_bfloat16() -> None:
    packed = pack_linear(layer(1024, 1024, bias=False), 8)
    x = _matrix(4, 1024)
    x[:, 3] *= 100  # an outlier, as language models have
    expected = x.double() @ packed.weight.double().T
    assert relative_error(packed(x), expected) < 1e-3


def test_rows_of_zeros_infinities_and_nans_do_not_hide() -> None:
    packed = pack_linear(layer(1024, 1024, bias=False), 8)
    x = torch.zeros(3, 1024)
    x[1, 5], x[2, 5] = float("inf"), float("nan")
    got = packed(x)
    assert not got[0].any()
    assert not got[1].isfinite().all()
    assert got[2].isnan().any()


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("shape", [(), (2,), (2, 3), (0,), (2, 0)])
def test_any_number_of_dimensions(shape: tuple[int, ...], bits: int) -> None:
    packed = pack_linear(layer(64, 96), bits)
    assert packed(torch.ones(*shape, 96)).shape == (*shape, 64)


@pytest.mark.parametrize("bits", [8, 4])
def test_gpt2s_transposed_layer(bits: int) -> None:
    plain = Conv1D(nf=64, nx=96)
    with torch.no_grad():
        plain.weight.copy_(_matrix(96, 64))
        plain.bias.fill_(0.5)
    dense, x = plain.weight.detach().clone(), _matrix(4, 96)
    exact = x.double() @ quantize(dense.T, bits).dequantize().double().T + 0.5
    packed = pack_linear(plain, bits)
    assert packed.weight.shape == dense.shape
    assert relative_error(packed(x), exact) < ROUNDING[torch.float32]


def test_every_kernel_of_this_host_agrees() -> None:
    """Whatever is chosen elsewhere stands for the same weights."""
    eight, four = (kernels.Int8Plain, kernels.Int8Split), (kernels.Int4Plain, kernels.Int4Cpu)
    for bits, candidates in ((8, eight), (4, four)):
        codes = quantize(_matrix(128, 256), bits)
        x = _matrix(6, 256).bfloat16()
        expected = x.double() @ codes.dequantize().double().T
        for kernel in candidates:
            if kernels._works(kernel, "cpu"):
                got = kernel(codes, None, torch.bfloat16)(x)
                assert relative_error(got, expected) < ROUNDING[torch.bfloat16], kernel


def test_a_kernel_that_fails_its_trial_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def saturates(self: PackedLinear, x: Tensor) -> Tensor:
        return torch.zeros(len(x), self.out_features)

    monkeypatch.setattr(kernels.Int8Split, "multiply", saturates)
    monkeypatch.setattr(kernels, "_works", kernels._works.__wrapped__)
    chosen = kernels.kernel_for(8, 1024, 1024, torch.bfloat16, torch.device("cpu"))
    assert chosen is kernels.Int8Plain


@settings(max_examples=30)
@given(
    n=st.integers(16, 90), k=st.integers(16, 90), bits=st.sampled_from([8, 4]), dtype=st.sampled_from(TYPES)
)
def test_any_shape_packs(n: int, k: int, bits: int, dtype: torch.dtype) -> None:
    plain = layer(n, k, dtype)
    exact = quantize(plain.weight, bits).dequantize().double()
    bias = plain.bias.double()
    x = _matrix(2, k, seed=1).to(dtype)
    assert relative_error(pack_linear(plain, bits)(x), x.double() @ exact.T + bias) < ROUNDING[dtype]


# ---- models


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.gate, self.norm = layer(256, 128), layer(4, 128), nn.LayerNorm(128)
        self.experts = nn.Parameter(torch.zeros(4, 128, 64))


def test_blocks_are_packed_and_gates_norms_and_fused_experts_are_not() -> None:
    block = _Block()
    before = resident_bytes(block)
    quantize_linears(block, 4)
    assert isinstance(block.up, PackedLinear)
    assert type(block.gate) is nn.Linear
    weights = 256 * 128
    assert resident_bytes(block) == before - 4 * weights + weights // 2 + 4 * weights // GROUP


def test_what_is_packable() -> None:
    assert is_packable(layer(16, 16))
    assert not is_packable(layer(15, 999))
    assert not is_packable(nn.Embedding(64, 64))
    assert not is_packable(pack_linear(layer(64, 64), 8))

    class Router(nn.Linear):
        """Whose forward may do anything."""

    assert not is_packable(Router(64, 64))


@pytest.mark.parametrize("shape", [(576, 192), (1024, 1024)])
def test_resident_bytes_are_real(shape: tuple[int, int]) -> None:
    plain = layer(*shape, torch.bfloat16, bias=False)
    n_weights = plain.weight.numel()
    assert resident_bytes(plain) == 2 * n_weights
    assert resident_bytes(pack_linear(plain, 8)) == pytest.approx(n_weights, rel=0.02)
    plain = layer(*shape, torch.bfloat16, bias=False)
    assert resident_bytes(pack_linear(plain, 4)) == n_weights // 2 + n_weights // GROUP * 4


def test_shared_memory_counts_once_and_meta_not_at_all() -> None:
    one = layer(32, 32, bias=False)
    other = layer(32, 32, bias=False)
    other.weight = one.weight
    assert resident_bytes(nn.ModuleList([one, other])) == 32 * 32 * 4
    assert resident_bytes(nn.Linear(32, 32, device="meta")) == 0


@pytest.mark.gpu
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(64, 192), (1024, 1024), (4096, 2048)])
def test_layers_on_a_gpu(shape: tuple[int, int], dtype: torch.dtype, bits: int) -> None:
    plain = layer(*shape, dtype).cuda()
    exact, bias = quantize(plain.weight, bits).dequantize().double(), plain.bias.double()
    packed = pack_linear(plain, bits)
    x = _matrix(5, shape[1]).to("cuda", dtype)
    assert relative_error(packed(x), x.double() @ exact.T + bias) < ROUNDING[dtype]
