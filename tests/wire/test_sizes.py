"""Predicted bytes against those that really cross: a relay counts them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack

import pytest
import torch

from workbench.links import ProxyLink
from workbench.plan import WIRE_CODECS
from workbench.profiles import LinkProfile
from workbench.wire import (
    Forward,
    Frame,
    Generate,
    Message,
    Ping,
    Result,
    Stats,
    Timing,
    Token,
    connect,
    encode_tensors,
    listen,
    new_keys,
    pack_ids,
)
from workbench.wire.sizes import (
    BOUNDARY_NAME,
    boundary_bytes,
    forward_bytes,
    generate_bytes,
    message_bytes,
    payload_bytes,
    token_bytes,
    tokens_bytes,
    wire_bytes,
)

TIMING = Timing(123.456, 1e9, 1e-9, 0.1, 0.2, 0.3)
SOON_S = 20.0


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "curve"])
def test_a_relay_counts_what_sizes_say(secure: bool) -> None:
    keys = new_keys() if secure else None
    with ExitStack() as stack:
        link = stack.enter_context(ProxyLink(LinkProfile(0.0, 1e9, 1e9)))
        server = stack.enter_context(listen(keys=keys))
        with connect(link.open(server.address), server_key=keys.public if keys else None) as client:
            client.send(Ping(0.0))
            first = server.receive(SOON_S)
            assert first is not None
            server.send(first.peer, Stats())
            client.receive(SOON_S)  # from here on nothing but messages
            for n_bytes in (0, 1, 200, 221, 222, 223, 254, 255, 256, 5000, 70_000):
                before = link.stats()
                up = client.send(Ping(0.0), [bytes(n_bytes)])
                assert server.receive(SOON_S) is not None
                down = server.send(first.peer, Stats(), [bytes(n_bytes), b""])
                client.receive(SOON_S)
                after = link.stats()
                assert up == message_bytes(Ping(0.0), [n_bytes], secure=secure)
                assert (after.bytes_up - before.bytes_up, after.bytes_down - before.bytes_down) == (up, down)


@pytest.mark.parametrize("codec", WIRE_CODECS)
@pytest.mark.parametrize("shape", [(1, 1, 192), (1, 300, 2048), (4, 17, 33)])
def test_predicted_bytes_are_those_of_real_messages(codec: str, shape: tuple[int, int, int]) -> None:
    batch, tokens, width = shape
    headers, frames = encode_tensors({BOUNDARY_NAME: torch.randn(*shape)}, codec)
    assert payload_bytes(width, batch * tokens, codec) == len(frames[0])
    sent = _bytes(Forward(1, 200, 70_000, headers), frames)
    assert sent == forward_bytes(batch, tokens, width, codec, step=200, position=70_000)
    back = _bytes(Result(1, 200, TIMING, False, tensors=headers), frames)
    assert back == boundary_bytes(batch, tokens, width, codec, step=200)


@pytest.mark.parametrize("batch", [1, 4, 100])
@pytest.mark.parametrize("secure", [False, True])
def test_predicted_bytes_of_tokens(batch: int, secure: bool) -> None:
    ids = pack_ids(range(batch))
    for finished in (False, True):
        sent = _bytes(Result(1, 9, TIMING, finished, ids), [], secure)
        assert sent == tokens_bytes(batch, step=9, secure=secure)
        streamed = _bytes(Token(1, 9, TIMING, finished, ids), [], secure)
        assert streamed == token_bytes(batch, 9, secure=secure)


@pytest.mark.parametrize("padded", [False, True])
def test_predicted_bytes_of_a_whole_request(padded: bool) -> None:
    tensors = {"token_ids": torch.ones(2, 40, dtype=torch.int32)}
    if padded:
        tensors["attention_mask"] = torch.ones(2, 40, dtype=torch.uint8)
    headers, frames = encode_tensors(tensors, "fp16")
    assert _bytes(Generate(1, 32, headers), frames) == generate_bytes(2, 40, 32, padded=padded)


def _bytes(message: Message, frames: list[Frame], secure: bool = False) -> int:
    return message_bytes(message, [len(frame) for frame in frames], secure=secure)


@pytest.mark.parametrize(
    ("size", "plain", "secure"),
    [(0, 2, 35), (222, 224, 257), (223, 225, 265), (255, 257, 297), (256, 265, 298)],
)
def test_framing(size: int, plain: int, secure: int) -> None:
    assert (wire_bytes([size]), wire_bytes([size], secure=True)) == (plain, secure)
    assert wire_bytes([size, size]) == 2 * plain


def test_sizes_need_neither_torch_nor_zmq() -> None:
    code = "import sys, workbench.wire.sizes; print(sorted({'torch', 'zmq', 'numpy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


SIZES: list[Callable[[], int]] = [
    lambda: forward_bytes(1, 1, 8, "zip"),
    lambda: boundary_bytes(1, 1, 8, "zip"),
    lambda: payload_bytes(8, 1, "zip"),
]


@pytest.mark.parametrize("size", SIZES)
def test_unknown_codecs_are_named(size: Callable[[], int]) -> None:
    with pytest.raises(ValueError, match="no wire codec is called 'zip'"):
        size()
