"""Tensors to frames and back, and frames that lie."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InputError, ProtocolError, UnknownNameError
from workbench.plan import WIRE_CODECS
from workbench.quantization.activations import round_trip
from workbench.wire import TensorHeader, decode_tensors, encode_tensors
from workbench.wire.messages import RAW_CODECS

CODECS = (*WIRE_CODECS, *RAW_CODECS)


@pytest.mark.parametrize("codec", WIRE_CODECS)
@pytest.mark.parametrize("shape", [(1, 1, 192), (2, 5, 33), (1, 64, 2048), (0, 3, 4), (7,)])
def test_the_wire_does_what_the_codec_does(codec: str, shape: tuple[int, ...]) -> None:
    values = torch.randn(*shape)
    headers, frames = encode_tensors({"hidden_states": values}, codec)
    back = decode_tensors(headers, frames)
    assert torch.equal(back["hidden_states"], round_trip(values, codec))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
@pytest.mark.parametrize("codec", ["fp32", "int4"])
def test_integers_cross_as_they_are(dtype: torch.dtype, codec: str) -> None:
    values = torch.tensor([[1, 0, 1], [0, 0, 1]]).to(dtype)
    headers, frames = encode_tensors({"mask": values}, codec)
    back = decode_tensors(headers, frames, dtype=torch.bfloat16)["mask"]
    assert back.dtype is dtype
    assert torch.equal(back, values)


def test_names_and_order_are_kept() -> None:
    tensors = {
        "hidden_states": torch.randn(1, 2, 8),
        "token_ids": torch.tensor([[1, 2]]),
        "b": torch.zeros(3),
    }
    headers, frames = encode_tensors(tensors, "fp16")
    assert [header.name for header in headers] == list(tensors) == list(decode_tensors(headers, frames))


def test_the_receiver_chooses_the_type() -> None:
    headers, frames = encode_tensors({"x": torch.randn(1, 2, 8)}, "int8")
    assert decode_tensors(headers, frames, dtype=torch.float16)["x"].dtype is torch.float16


def test_fp32_sends_the_memory_of_the_tensor() -> None:
    values = torch.zeros(64, 1024)
    _, frames = encode_tensors({"x": values}, "fp32")
    values[3, 3] = 1
    assert bytes(frames[0]) == values.numpy().tobytes()


def test_a_large_writable_frame_is_computed_with_where_it_lies() -> None:
    headers, frames = encode_tensors({"x": torch.zeros(64, 1024)}, "fp32")
    received = bytearray(frames[0])
    back = decode_tensors(headers, [received])["x"]
    back[0, 0] = 1.0
    assert received[:4] == b"\0\0\x80?"


@pytest.mark.parametrize("rows", [1, 64])
def test_frames_that_lie_anywhere_in_memory_are_read(rows: int) -> None:
    values = torch.randn(rows, 1024)
    headers, frames = encode_tensors({"x": values}, "fp32")
    for offset in range(1, 9):
        buffer = bytearray(offset) + bytearray(frames[0])
        assert torch.equal(decode_tensors(headers, [memoryview(buffer)[offset:]])["x"], values)
    assert torch.equal(decode_tensors(headers, [bytes(frames[0])])["x"], values)


def test_saturated_elements_are_told() -> None:
    headers, _ = encode_tensors({"x": torch.tensor([[1e6, 1.0]])}, "fp16")
    assert headers[0].clipped == 1


def test_what_cannot_cross_is_refused() -> None:
    with pytest.raises(InputError, match="float64"):
        encode_tensors({"x": torch.zeros(2, dtype=torch.float64)}, "fp16")
    with pytest.raises(InputError, match="shape"):
        encode_tensors({"x": torch.tensor(1)}, "fp16")
    with pytest.raises(UnknownNameError):
        encode_tensors({"x": torch.zeros(2)}, "zip")


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("n_bytes", [0, 1, 191, 10**6])
def test_frames_of_another_size_are_refused(codec: str, n_bytes: int) -> None:
    with pytest.raises(ProtocolError, match=rf"'x' of shape \(1, 3, 64\).*got {n_bytes}"):
        decode_tensors([TensorHeader("x", (1, 3, 64), codec)], [bytes(n_bytes)])


@pytest.mark.parametrize("codec", CODECS)
def test_announced_terabytes_are_not_set_aside(codec: str) -> None:
    with pytest.raises(ProtocolError, match="got 8"):
        decode_tensors([TensorHeader("x", (2**30, 2**30, 4), codec)], [bytes(8)])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("shape", [(0, 2**32, 2**32), (2**32, 0, 2**32), (2**32, 2**32, 0)])
def test_empty_tensors_with_endless_dimensions_are_refused(codec: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ProtocolError, match="shape"):
        decode_tensors([TensorHeader("x", shape, codec)], [b""])


def test_frames_and_headers_must_pair() -> None:
    header = TensorHeader("x", (1, 4), "uint8")
    with pytest.raises(ProtocolError, match="1 tensors announced, 2 frames"):
        decode_tensors([header], [bytes(4), bytes(4)])
    with pytest.raises(ProtocolError, match="one name"):
        decode_tensors([header, header], [bytes(4), bytes(4)])


def test_a_bool_is_zero_or_one() -> None:
    with pytest.raises(ProtocolError, match="bool"):
        decode_tensors([TensorHeader("x", (4,), "bool")], [b"\0\1\2\0"])


@given(
    st.lists(st.integers(0, 4) | st.integers(0, 2**32), min_size=1, max_size=6),
    st.sampled_from(CODECS),
    st.binary(max_size=200),
)
def test_any_frame_is_read_or_refused(shape: list[int], codec: str, frame: bytes) -> None:
    try:
        back = decode_tensors([TensorHeader("x", tuple(shape), codec)], [frame])["x"]
    except ProtocolError:
        return
    assert back.shape == tuple(shape)


@given(st.integers(1, 3), st.integers(1, 40), st.sampled_from(CODECS), st.data())
def test_any_bytes_of_the_right_size_are_numbers(
    rows: int, width: int, codec: str, data: st.DataObject
) -> None:
    values = torch.ones(rows, width)
    raw = {"int64": torch.int64, "int32": torch.int32, "uint8": torch.uint8, "bool": torch.bool}
    wanted = values.to(raw[codec]) if codec in raw else values
    headers, frames = encode_tensors({"x": wanted}, codec if codec in WIRE_CODECS else "fp32")
    size = len(bytes(frames[0]))
    noise = data.draw(st.binary(min_size=size, max_size=size))
    try:
        assert decode_tensors(headers, [noise])["x"].shape == (rows, width)
    except ProtocolError:
        assert codec == "bool"
