"""Wire codecs: how many bytes, how much error, and what never happens."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from workbench.errors import InputError, UnknownNameError
from workbench.plan import WIRE_CODECS
from workbench.quantization.activations import Packed, pack, round_trip, unpack
from workbench.quantization.layout import INT4_GROUP, packed_bytes

B, T, D = 2, 32, 512
BITS_PER_ELEMENT = {"fp32": 32, "bf16": 16, "fp16": 16, "int8": 8 + 64 / D, "int4": 4.5}


def _gauss() -> Tensor:
    return torch.randn(B, T, D, generator=torch.Generator().manual_seed(0))


def _with_massive_outliers() -> Tensor:
    """What residual streams of trained models look like: a few channels hundreds of times the rest."""
    values = _gauss()
    values[..., 7] += 300
    values[..., 400] -= 120
    return values


def _heavy_tailed() -> Tensor:
    return _gauss() * torch.exp(torch.randn(D, generator=torch.Generator().manual_seed(1)))


def _error(values: Tensor, codec: str) -> float:
    return ((round_trip(values, codec) - values).norm() / values.norm()).item()


@pytest.mark.parametrize("codec", WIRE_CODECS)
def test_bytes_are_what_the_layout_says(codec: str) -> None:
    packed = pack(_gauss(), codec)
    assert packed.n_bytes == packed_bytes(B * T, D, codec) == B * T * D * BITS_PER_ELEMENT[codec] / 8
    assert sum(part.nbytes for part in packed.parts) == packed.n_bytes


@pytest.mark.parametrize(
    ("codec", "at_most"), [("fp32", 0.0), ("bf16", 2e-3), ("fp16", 3e-4), ("int8", 9e-3), ("int4", 9e-2)]
)
def test_relative_error_on_gaussian_activations(codec: str, at_most: float) -> None:
    assert _error(_gauss(), codec) <= at_most


def test_groups_keep_outliers_from_spoiling_the_rest() -> None:
    values = _with_massive_outliers()
    bulk = values.abs() < 10
    spoilt = {c: (round_trip(values, c) - values)[bulk].norm() / values[bulk].norm() for c in WIRE_CODECS}
    assert spoilt["fp16"] < spoilt["int4"] < spoilt["int8"] < 0.6


@pytest.mark.parametrize("values", [_gauss(), _with_massive_outliers(), _heavy_tailed()])
def test_int8_with_a_minimum_beats_int8_around_zero(values: Tensor) -> None:
    scale = values.abs().amax(-1, keepdim=True) / 127
    symmetric = (values / scale).round() * scale
    assert _error(values, "int8") < ((symmetric - values).norm() / values.norm()).item()


@pytest.mark.parametrize("values", [_gauss(), _with_massive_outliers(), _heavy_tailed()])
def test_int4_beats_twice_the_group_with_a_minimum(values: Tensor) -> None:
    """Both take 4.5 bits per element."""
    wide = values.view(B, T, -1, 2 * INT4_GROUP)
    low, high = wide.aminmax(dim=-1, keepdim=True)
    step = (high - low) / 15
    asymmetric = ((wide - low) / step).round() * step + low
    assert _error(values, "int4") < ((asymmetric - wide).norm() / wide.norm()).item()


@given(st.lists(st.floats(width=32), min_size=1, max_size=70))
def test_fp32_keeps_every_bit(numbers: list[float]) -> None:
    values = torch.tensor(numbers, dtype=torch.float32)
    assert torch.equal(round_trip(values, "fp32").view(torch.int32), values.view(torch.int32))


@pytest.mark.parametrize(("codec", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_half_precision_keeps_every_bit_of_its_own(codec: str, dtype: torch.dtype) -> None:
    values = (
        torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16).view(dtype)
    )  # every number there is
    assert torch.equal(round_trip(values, codec).view(torch.int16), values.view(torch.int16))


@given(
    st.sampled_from(WIRE_CODECS),
    st.lists(st.integers(0, 5), min_size=0, max_size=3),
    st.integers(0, 100),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
def test_any_shape_comes_back(codec: str, outer: list[int], width: int, dtype: torch.dtype) -> None:
    values = torch.randn(*outer, width).to(dtype)
    packed = pack(values, codec)
    assert packed.n_bytes == packed_bytes(math.prod(outer), width, codec)
    back = unpack(packed, dtype)
    assert back.shape == values.shape
    assert back.dtype is dtype


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=100))
def test_int8_is_off_by_half_a_step_at_most(numbers: list[float]) -> None:
    values = torch.tensor(numbers)
    span = values.max().double() - values.min().double()
    error = (round_trip(values, "int8").double() - values.double()).abs().max()
    subnormal = 2e-38  # a range below the normal numbers has no steps
    assert error <= span / 510 * 1.001 + values.abs().max().double() * 3e-7 + subnormal


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=32))
def test_int4_is_off_by_one_step_at_most(numbers: list[float]) -> None:
    """Half a step, but for the end of the range that the largest magnitude does not set."""
    values = torch.tensor(numbers)
    largest = values.abs().max().double()
    error = (round_trip(values, "int4").double() - values.double()).abs().max()
    assert error <= largest / 8 * 1.01 + 1e-37


def test_fp16_saturates_and_says_how_often() -> None:
    values = torch.tensor([[1e6, -1e6, 65504.0, 65519.0, 1.0, math.inf]])
    packed = pack(values, "fp16")
    assert packed.clipped == 2
    assert unpack(packed).tolist() == [[65504.0, -65504.0, 65504.0, 65504.0, 1.0, math.inf]]
    assert pack(_gauss(), "fp16").clipped == 0


@pytest.mark.parametrize("codec", WIRE_CODECS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_hidden(codec: str, bad: float) -> None:
    values = _gauss()
    values[1, 3, 5] = bad
    back = round_trip(values, codec)
    assert not back[1, 3, 5].isfinite()
    assert back[0].isfinite().all()


@pytest.mark.parametrize("codec", WIRE_CODECS)
@pytest.mark.parametrize("number", [0.0, 1.0, -3.5, 1e-40])
def test_a_constant_is_kept(codec: str, number: float) -> None:
    values = torch.full((2, 40), number)
    assert torch.allclose(round_trip(values, codec), values, rtol=0.01, atol=1e-39)


@pytest.mark.parametrize("codec", WIRE_CODECS)
def test_layouts_in_memory_do_not_matter(codec: str) -> None:
    values = torch.randn(D, T, requires_grad=True)
    turned = round_trip(values.T, codec)
    assert torch.equal(turned, round_trip(values.T.contiguous(), codec))
    assert not turned.requires_grad


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="fp16"):
        pack(_gauss(), "fp61")
    with pytest.raises(UnknownNameError, match="int4"):
        packed_bytes(1, 1, "int5")
    for values in (torch.tensor(1.0), torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.long)):
        with pytest.raises(InputError, match=r"float32, bfloat16 or float16"):
            pack(values, "fp16")


def test_bytes_that_do_not_fit_the_shape_are_refused() -> None:
    with pytest.raises(InputError, match="no fp32 tensor"):
        unpack(Packed((torch.zeros(2, 3),), (2, 2), "fp32"))
    with pytest.raises(InputError, match="no int8 tensor"):
        unpack(Packed((torch.zeros(2, 2),), (2, 2), "int8"))
