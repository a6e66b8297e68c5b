"""What edge and cloud say to each other: typed, versioned, checked when read. Never a pickle.

A message is one header frame, and after it the raw bytes of each tensor that its ``tensors`` names, a frame
each. The header frame is ``b"EC"``, the protocol version and the message as MessagePack with field names.

Moments (``sent_s``, ``received_s``) are seconds of the side's own ``time.perf_counter``; on one Linux host
both sides read the same clock. Durations hold on any clock: with t0 when the edge began to send and t3 when
it had the reply, ``t3 - t0 - (timing.sent_s - timing.received_s)`` is what the path took in both directions.

One request over a split plan::

    Hello ->          <- Welcome          once per connection
    Open ->                               a session: batch, sampling, what the caches will hold
    Forward ->        <- Result           prefill, then once per token
    Close ->                              frees the caches; no answer

Cloud-only: ``Open``, one ``Generate``, then ``Token`` messages until ``finished``. Wherever something goes
wrong the answer is a ``Failure``, which the receiving transport raises as the error that it describes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from workbench import errors
from workbench.errors import PeerError, ProtocolError, WorkbenchError
from workbench.plan import WIRE_CODECS

__all__ = [
    "MAX_HEADER_BYTES",
    "RAW_CODECS",
    "VERSION",
    "Cancel",
    "Close",
    "Failure",
    "Forward",
    "Generate",
    "Hello",
    "Message",
    "Open",
    "Ping",
    "Pong",
    "Result",
    "Rewind",
    "Shutdown",
    "Stats",
    "StatsReport",
    "TensorHeader",
    "Timing",
    "Token",
    "Welcome",
    "decode_message",
    "encode_message",
    "failure_of",
    "ids_of",
    "pack_ids",
]

VERSION = 2
"""Raised whenever a message changes its meaning or fields."""
MAX_HEADER_BYTES = 1 << 20
RAW_CODECS = ("int64", "int32", "uint8", "bool")
"""Integer tensors (token ids, masks) cross as they are."""

_PREFIX = b"EC" + bytes([VERSION])
_MAX_DIMENSIONS = 6

Count = Annotated[int, Meta(ge=0, le=2**40)]
Small = Annotated[int, Meta(ge=0, le=2**20)]
Name = Annotated[str, Meta(max_length=128)]
Text = Annotated[str, Meta(max_length=65536)]
Dimension = Annotated[int, Meta(ge=0, le=2**32)]
Shape = Annotated[tuple[Dimension, ...], Meta(min_length=1, max_length=_MAX_DIMENSIONS)]
Codec = Annotated[str, Meta(pattern=f"^({'|'.join((*WIRE_CODECS, *RAW_CODECS))})$")]
Ids = Annotated[bytes, Meta(max_length=MAX_HEADER_BYTES)]


class _Message(Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True, omit_defaults=True):
    """Fields without a default are always written, so that the size of a message follows from its shape."""


class TensorHeader(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the bytes of one frame are."""

    name: Name  # how the receiver puts it back, e.g. "hidden_states", "token_ids", "attention_mask"
    shape: Shape
    codec: Codec  # one of WIRE_CODECS for activations, of RAW_CODECS for integers
    clipped: Count = 0  # elements that fp16 saturated


Tensors = Annotated[tuple[TensorHeader, ...], Meta(max_length=16)]


class Timing(Struct, frozen=True, forbid_unknown_fields=True):
    """The answering side's share of a round trip."""

    received_s: float  # its clock when the request was there
    sent_s: float  # its clock when it began to send the answer
    compute_s: float  # what the stage's step counts for: see devices.Pace
    decode_s: float = 0.0  # bytes to tensors
    encode_s: float = 0.0  # tensors to bytes
    sample_s: float = 0.0

    @property
    def busy_s(self) -> float:
        """From the request's arrival to the answer's departure."""
        return self.sent_s - self.received_s


class Hello(_Message, frozen=True, tag="hello"):
    """The edge's first word: which plan, and with which files."""

    fingerprints: dict[str, Name]  # of each model that the plan names: both sides must hold the same files
    plan: dict[str, Any]  # Plan.to_dict()
    features: tuple[Name, ...] = ()  # of the plan, those that will be asked for; none means all
    adapters: dict[str, Name] = {}  # fingerprints of those that the plan names


class Welcome(_Message, frozen=True, tag="welcome"):
    """The cloud agrees."""

    stages: dict[str, tuple[Name, ...]]  # what it runs for each feature, as text
    facts: dict[str, Any] = {}  # clock, threads, memory: what a trace says of the cloud


class Open(_Message, frozen=True, tag="open"):
    """A session begins: its caches are empty."""

    session: Count
    batch: Small
    feature: Name = "default"  # one that Hello asked for
    sampling: dict[str, Any] = {}  # Sampling.to_dict(), where the receiver samples
    options: dict[str, Any] = {}


class Forward(_Message, frozen=True, tag="forward"):
    """Run your stage over these tokens.

    Tensors: the boundary activation's, by their names; ``attention_mask`` [B, past+T] where a batch is
    padded; ``token_ids`` [B, T] where the architecture needs them further on.
    """

    session: Count
    step: Count  # counts requests of a session; the answer repeats it
    position: Count  # tokens that the cache must hold before this call
    tensors: Tensors
    sample: bool = True  # answer with tokens; False where more of the prompt follows, or the edge samples


class Result(_Message, frozen=True, tag="result"):
    """What a Forward gave: tokens where its receiver sampled, else a boundary activation."""

    session: Count
    step: Count
    timing: Timing
    finished: bool  # every row has ended
    ids: Ids = b""  # pack_ids: one id per row of the batch
    tensors: Tensors = ()


class Generate(_Message, frozen=True, tag="generate"):
    """Cloud-only: the whole request at once. Tensors: ``token_ids`` [B, T], ``attention_mask`` [B, T]."""

    session: Count
    max_new_tokens: Small
    tensors: Tensors


class Token(_Message, frozen=True, tag="token"):
    """One step of a Generate, streamed."""

    session: Count
    index: Count
    timing: Timing
    finished: bool  # every row has ended
    ids: Ids  # pack_ids: one id per row of the batch


class Rewind(_Message, frozen=True, tag="rewind"):
    """Forget the last tokens of a session's cache. No answer."""

    session: Count
    n_tokens: Count


class Cancel(_Message, frozen=True, tag="cancel"):
    """Stop a Generate. Its last Token says finished."""

    session: Count


class Close(_Message, frozen=True, tag="close"):
    """The session is over: free its caches. No answer."""

    session: Count


class Failure(_Message, frozen=True, tag="failure"):
    """What went wrong on the other side; ``error`` makes the exception that a receiver raises."""

    error: Name  # class name, of workbench.errors where it is one of ours
    message: Text
    session: Count | None = None

    def exception(self) -> WorkbenchError:
        """The error of the same class where it is one of ours, else a PeerError that names it."""
        cls = getattr(errors, self.error, None) if self.error in errors.__all__ else None
        if cls is None:
            return PeerError(f"the other side failed: {self.error}: {self.message}")
        found: WorkbenchError = cls.__new__(cls)  # not its __init__, whose arguments stayed on the other side
        Exception.__init__(found, self.message)
        return found


class Ping(_Message, frozen=True, tag="ping"):
    """Asks for a Pong at once: liveness, and what an empty round trip takes."""

    sent_s: float


class Pong(_Message, frozen=True, tag="pong"):
    """Answers a Ping."""

    ping_sent_s: float  # the Ping's own
    received_s: float
    sent_s: float


class Stats(_Message, frozen=True, tag="stats"):
    """Asks for a StatsReport."""


class StatsReport(_Message, frozen=True, tag="stats_report"):
    """What the side has used: peak memory in bytes per place, host overruns and so on, by name."""

    values: dict[str, Any]


class Shutdown(_Message, frozen=True, tag="shutdown"):
    """End the process after this. Honoured from whoever started it only."""


Message = (
    Hello
    | Welcome
    | Open
    | Forward
    | Result
    | Generate
    | Token
    | Rewind
    | Cancel
    | Close
    | Failure
    | Ping
    | Pong
    | Stats
    | StatsReport
    | Shutdown
)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def encode_message(message: Message) -> bytes:
    """The header frame.

    Raises:
        ProtocolError: the message is larger than a header may be, or a value has no MessagePack form.
    """
    try:
        data = _PREFIX + _encoder.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"a {type(message).__name__} message cannot be written: {error}") from error
    if len(data) > MAX_HEADER_BYTES:
        raise ProtocolError(
            f"a {type(message).__name__} header of {len(data)} bytes is over {MAX_HEADER_BYTES}"
        )
    return data


def decode_message(data: bytes) -> Message:
    """Read a header frame.

    Raises:
        ProtocolError: it is too long, of another version, or no message.
    """
    if len(data) > MAX_HEADER_BYTES:
        raise ProtocolError(f"a header of {len(data)} bytes is over {MAX_HEADER_BYTES}")
    if data[:2] != _PREFIX[:2]:
        raise ProtocolError(f"this is no message of the workbench: it begins with {bytes(data[:3])!r}")
    if data[:3] != _PREFIX:
        theirs = data[2] if len(data) > 2 else "no"
        raise ProtocolError(
            f"the other side speaks protocol {theirs}, this one {VERSION}: install the same release on both"
        )
    try:
        message: Message = _decoder.decode(memoryview(data)[3:])
        return message
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ProtocolError(f"a malformed message: {error}") from error


def failure_of(error: BaseException, session: int | None = None) -> Failure:
    """The message that describes an error to the other side."""
    return Failure(type(error).__name__[:128], str(error)[:65536], session)


def pack_ids(ids: Sequence[int]) -> bytes:
    """Token ids as four little-endian bytes each, so that their number alone gives their size.

    Raises:
        ProtocolError: an id is not within 0 and 2**32 - 1.
    """
    try:
        return struct.pack(f"<{len(ids)}I", *ids)
    except struct.error as error:
        raise ProtocolError(f"token ids must lie within 0 and {2**32 - 1}: {list(ids)[:8]}") from error


def ids_of(message: Result | Token) -> tuple[int, ...]:
    """The token ids of a message, one per row of the batch.

    Raises:
        ProtocolError: the bytes are no whole number of ids.
    """
    if len(message.ids) % 4:
        raise ProtocolError(f"{len(message.ids)} bytes of token ids are no multiple of 4")
    return struct.unpack(f"<{len(message.ids) // 4}I", message.ids)
