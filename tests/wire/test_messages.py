"""Messages: written, read, refused."""

from __future__ import annotations

import contextlib
import math
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import errors
from workbench.errors import DoesNotFitError, PeerError, ProtocolError, UnknownNameError, WorkbenchError
from workbench.wire import (
    VERSION,
    Cancel,
    Close,
    Failure,
    Forward,
    Generate,
    Hello,
    Message,
    Open,
    Ping,
    Pong,
    Result,
    Rewind,
    Shutdown,
    Stats,
    StatsReport,
    TensorHeader,
    Timing,
    Token,
    Welcome,
    failure_of,
    ids_of,
    pack_ids,
)
from workbench.wire.messages import MAX_HEADER_BYTES, decode_message, encode_message

PREFIX = b"EC" + bytes([VERSION])
BOUNDARY = TensorHeader("hidden_states", (2, 16, 64), "int8", clipped=3)
MASK = TensorHeader("attention_mask", (2, 20), "uint8")
TIMING = Timing(12.5, 12.75, 0.125, sample_s=1e-4)
EVERY_KIND: list[Message] = [
    Hello({"tiny": "f" * 64}, {"model": "tiny", "features": {}}, ("default",), {"sorting": "0"}),
    Welcome({"default": ("cloud [3,8)+H @16b",)}, {"clock": "wall"}),
    Open(1, 2, "default", {"do_sample": True}),
    Forward(1, 7, 16, (BOUNDARY, MASK), sample=False),
    Result(1, 7, TIMING, True, pack_ids([0, 2**32 - 1])),
    Result(1, 7, TIMING, False, tensors=(BOUNDARY,)),
    Generate(1, 32, (TensorHeader("token_ids", (1, 16), "int32"),)),
    Token(1, 31, TIMING, True, pack_ids([5])),
    Rewind(1, 4),
    Cancel(1),
    Close(1),
    Failure("PlanError", "no such stage", 1),
    Ping(1.5),
    Pong(1.5, 2.5, 3.5),
    Stats(),
    StatsReport({"peak": 12}),
    Shutdown(),
]


@pytest.mark.parametrize("message", EVERY_KIND, ids=lambda m: type(m).__name__)
def test_every_message_comes_back(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


def test_every_kind_is_tried() -> None:
    assert {type(message) for message in EVERY_KIND} == set(Message.__args__)


def test_timing_holds_what_the_other_side_was_busy() -> None:
    assert TIMING.busy_s == 0.25


@given(st.lists(st.integers(0, 2**32 - 1), max_size=50))
def test_ids_take_four_bytes_each(ids: list[int]) -> None:
    assert len(pack_ids(ids)) == 4 * len(ids)
    assert ids_of(Result(1, 0, TIMING, False, pack_ids(ids))) == tuple(ids)


@pytest.mark.parametrize("ids", [[-1], [2**32], [1.5], ["a"]])
def test_what_is_no_token_id_is_refused(ids: list[Any]) -> None:
    with pytest.raises(ProtocolError, match="token ids"):
        pack_ids(ids)


def test_half_an_id_is_refused() -> None:
    with pytest.raises(ProtocolError, match="3 bytes"):
        ids_of(Token(1, 0, TIMING, False, b"abc"))


def _read(data: bytes) -> None:
    """Reading must end in a message or a ProtocolError, and in little memory."""
    tracemalloc.start()
    try:
        with contextlib.suppress(ProtocolError):
            decode_message(data)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 100_000 + 200 * len(data)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    _read(data)
    _read(PREFIX + data)


@given(st.sampled_from(EVERY_KIND), st.data())
def test_damaged_messages_are_refused_or_read(message: Message, data: st.DataObject) -> None:
    header = bytearray(encode_message(message))
    for _ in range(data.draw(st.integers(1, 4))):
        header[data.draw(st.integers(0, len(header) - 1))] = data.draw(st.integers(0, 255))
    _read(bytes(header[: data.draw(st.integers(0, len(header)))]))
    _read(bytes(header))


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(st.sampled_from(EVERY_KIND), st.data())
def test_fields_of_other_types_are_refused_or_read(message: Message, data: st.DataObject) -> None:
    fields = msgspec.to_builtins(message, builtin_types=(bytes,))
    name = data.draw(st.sampled_from([*fields, "surplus"]))
    _read(PREFIX + msgspec.msgpack.encode({**fields, name: data.draw(_json)}))


@pytest.mark.parametrize(
    "announced",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9",
    ],
)
def test_announced_gigabytes_are_not_set_aside(announced: bytes) -> None:
    _read(PREFIX + announced + b"abc")
    plan = b"\x83\xa4kind\xa5hello\xacfingerprints\x80\xa4plan"
    _read(PREFIX + plan + b"\x81\xa1a" + announced + b"abc")


@pytest.mark.parametrize("nesting", [b"\x91", b"\x81\xa1a"])
def test_depth_is_refused(nesting: bytes) -> None:
    _read(PREFIX + nesting * 100_000)
    plan = b"\x83\xa4kind\xa5hello\xacfingerprints\x80\xa4plan\x81\xa1a"
    with pytest.raises(ProtocolError):
        decode_message(PREFIX + plan + nesting * 100_000)


def test_another_version_is_named() -> None:
    with pytest.raises(ProtocolError, match=rf"protocol 9, this one {VERSION}: install the same release"):
        decode_message(b"EC\x09" + encode_message(Stats())[3:])
    with pytest.raises(ProtocolError, match="protocol no"):
        decode_message(b"EC")


@pytest.mark.parametrize("data", [b"", b"E", b"GET / HTTP/1.1"])
def test_what_is_not_ours_is_named(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="no message of the workbench"):
        decode_message(data)


def test_long_headers_are_refused_both_ways() -> None:
    with pytest.raises(ProtocolError, match="over"):
        decode_message(PREFIX + bytes(MAX_HEADER_BYTES))
    with pytest.raises(ProtocolError, match="over"):
        encode_message(StatsReport({"long": "x" * MAX_HEADER_BYTES}))


@pytest.mark.parametrize("value", [object(), {1, 2, object()}, 2**70])
def test_what_has_no_form_is_refused(value: object) -> None:
    with pytest.raises(ProtocolError, match="StatsReport"):
        encode_message(StatsReport({"value": value}))


@pytest.mark.parametrize("shape", [(), (-1, 2), (1,) * 7, (2**33,)])
def test_shapes_have_bounds(shape: tuple[int, ...]) -> None:
    message = Forward(1, 0, 0, (TensorHeader("x", shape, "fp16"),))
    with pytest.raises(ProtocolError, match="shape"):
        decode_message(encode_message(message))


def test_failures_come_back_as_our_errors() -> None:
    error = failure_of(DoesNotFitError("needs 3 GB"), 4).exception()
    assert type(error) is DoesNotFitError
    assert str(error) == "needs 3 GB"
    named = failure_of(UnknownNameError("link", "tle", ["lte"])).exception()
    assert type(named) is UnknownNameError
    assert "did you mean 'lte'" in str(named)


@pytest.mark.parametrize("name", ["ValueError", "SystemExit", "__all__", "annotations", "difflib", ""])
def test_failures_of_others_are_peer_errors(name: str) -> None:
    error = Failure(name, "why").exception()
    assert type(error) is PeerError
    assert str(error) == f"the other side failed: {name}: why"


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_of_ours_crosses(name: str) -> None:
    error = Failure(name, "why").exception()
    assert isinstance(error, WorkbenchError)
    assert (type(error).__name__, str(error)) == (name, "why")


def test_a_long_failure_is_cut_and_still_crosses() -> None:
    message = failure_of(ValueError("x" * 10**6))
    assert decode_message(encode_message(message)) == message
    assert math.isclose(len(message.message), 65536)
