"""Exact bytes of messages on the wire, without torch: what a prediction counts and a run measures.

ZMTP 3.1 (rfc.zeromq.org/spec/37) writes 2 bytes before a frame of up to 255 bytes and 9 before a longer one.
CurveZMQ (rfc.zeromq.org/spec/26) first boxes a frame with 33 bytes: command name 8, nonce 8, authentication
16, flags 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.quantization.layout import packed_bytes
from workbench.wire.messages import (
    Forward,
    Generate,
    Message,
    Result,
    TensorHeader,
    Timing,
    Token,
    encode_message,
)

__all__ = [
    "BOUNDARY_NAME",
    "boundary_bytes",
    "forward_bytes",
    "generate_bytes",
    "message_bytes",
    "payload_bytes",
    "token_bytes",
    "tokens_bytes",
    "wire_bytes",
]

_CURVE_BYTES = 33
_NO_TIME = Timing(0.0, 0.0, 0.0)
BOUNDARY_NAME = "hidden_states"
"""What the one tensor of a boundary activation is called on the wire."""


def wire_bytes(frame_sizes: Sequence[int], *, secure: bool = False) -> int:
    """What TCP carries for one message of frames of these sizes."""
    total, extra = 0, _CURVE_BYTES if secure else 0
    for size in frame_sizes:
        total += size + extra + (2 if size + extra <= 255 else 9)
    return total


def message_bytes(message: Message, frame_sizes: Sequence[int] = (), *, secure: bool = False) -> int:
    """What TCP carries for a message and its frames."""
    return wire_bytes([len(encode_message(message)), *frame_sizes], secure=secure)


def payload_bytes(elements: int, tokens: int, codec: str) -> int:
    """A boundary activation without headers: ``tokens`` over the whole batch, ``elements`` of each."""
    return packed_bytes(tokens, elements, codec)


def forward_bytes(
    batch: int,
    tokens: int,
    elements: int,
    codec: str,
    *,
    position: int = 0,
    step: int = 0,
    session: int = 1,
    sample: bool = True,
    name: str = BOUNDARY_NAME,
    secure: bool = False,
) -> int:
    """A Forward that carries one boundary activation [batch, tokens, elements]."""
    header = TensorHeader(name, (batch, tokens, elements), codec)
    message = Forward(session, step, position, (header,), sample)
    return message_bytes(message, [payload_bytes(elements, batch * tokens, codec)], secure=secure)


def tokens_bytes(batch: int, *, step: int = 0, session: int = 1, secure: bool = False) -> int:
    """The Result of a side that samples: one token id per row."""
    return message_bytes(Result(session, step, _NO_TIME, False, bytes(4 * batch)), secure=secure)


def boundary_bytes(
    batch: int,
    tokens: int,
    elements: int,
    codec: str,
    *,
    step: int = 0,
    session: int = 1,
    name: str = BOUNDARY_NAME,
    secure: bool = False,
) -> int:
    """The Result of a side that hands a boundary activation back (a U-shaped plan)."""
    header = TensorHeader(name, (batch, tokens, elements), codec)
    message = Result(session, step, _NO_TIME, False, tensors=(header,))
    return message_bytes(message, [payload_bytes(elements, batch * tokens, codec)], secure=secure)


def generate_bytes(
    batch: int,
    tokens: int,
    max_new_tokens: int,
    *,
    session: int = 1,
    padded: bool = False,
    secure: bool = False,
) -> int:
    """A Generate: token ids as int32 and, where rows are padded, their mask as uint8."""
    headers = [TensorHeader("token_ids", (batch, tokens), "int32")]
    sizes = [4 * batch * tokens]
    if padded:
        headers.append(TensorHeader("attention_mask", (batch, tokens), "uint8"))
        sizes.append(batch * tokens)
    return message_bytes(Generate(session, max_new_tokens, tuple(headers)), sizes, secure=secure)


def token_bytes(batch: int, index: int = 0, *, session: int = 1, secure: bool = False) -> int:
    """One streamed Token of a Generate."""
    return message_bytes(Token(session, index, _NO_TIME, False, bytes(4 * batch)), secure=secure)
