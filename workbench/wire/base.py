"""The one contract of all transports: how a message and its frames get from one side to the other.

A ``Transport`` is the client's end, a ``Server`` the other one. Guarantees of every backend: messages of one
pair arrive whole, once and in order; each object is used by one thread; ``close`` may be called again and is
called by the context manager. What arrives malformed never ends a server: its sender gets a ``Failure``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from workbench.errors import PeerLostError, ProtocolError
from workbench.wire.messages import Failure, Message, decode_message, encode_message, failure_of
from workbench.wire.sizes import wire_bytes

__all__ = ["MAX_FRAMES", "Frame", "Request", "Server", "Transport"]

Frame = bytes | bytearray | memoryview
"""A memoryview is one of bytes (format "B"), so that its length is its size."""
MAX_FRAMES = 16


class Request(NamedTuple):
    """What a server received."""

    peer: bytes  # whom to answer
    message: Message
    frames: list[Frame]


class _End(ABC):
    """What both ends have in common.

    ``bytes_sent`` and ``bytes_received`` count every byte of messages as TCP carries them: headers, tensors
    and framing, without what only a connection's beginning takes.
    """

    secure: bool = False
    bytes_sent: int = 0
    bytes_received: int = 0

    @abstractmethod
    def close(self) -> None:
        """Let go of everything. What was sent is still delivered, within a second. May be called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _written(self, message: Message, frames: Sequence[Frame]) -> tuple[bytes, int]:
        """The header frame, and the bytes that the whole takes."""
        header = encode_message(message)
        n_bytes = wire_bytes([len(header), *map(len, frames)], secure=self.secure)
        self.bytes_sent += n_bytes
        return header, n_bytes

    def _read(self, parts: Sequence[Frame]) -> tuple[Message, list[Frame]]:
        if not 1 <= len(parts) <= 1 + MAX_FRAMES:
            raise ProtocolError(f"a message has a header and up to {MAX_FRAMES} frames: {len(parts)} came")
        self.bytes_received += wire_bytes([len(part) for part in parts], secure=self.secure)
        return decode_message(bytes(parts[0])), list(parts[1:])


class Transport(_End):
    """The client's end of one connection."""

    def send(self, message: Message, frames: Sequence[Frame] = ()) -> int:
        """Hand a message over. Returns at once; the frames must stay as they are until the answer.

        Returns:
            The bytes that it takes on the wire.

        Raises:
            PeerLostError: the connection broke.
            ProtocolError: the message cannot be written.
        """
        header, n_bytes = self._written(message, frames)
        self._put([header, *frames])
        return n_bytes

    def receive(self, timeout_s: float) -> tuple[Message, list[Frame]]:
        """The next message and its frames, which may share the transport's memory.

        Raises:
            PeerLostError: nothing came in time, or the other side went away (noticed within 0.2 s).
            PeerError: the other side failed; an error of ``workbench.errors`` comes as its own class.
            ProtocolError: what came is malformed, oversized or of another version.
        """
        message, frames = self._read(self._take(timeout_s))
        if isinstance(message, Failure):
            raise message.exception()
        return message, frames

    @abstractmethod
    def _put(self, parts: Sequence[Frame]) -> None: ...

    @abstractmethod
    def _take(self, timeout_s: float) -> Sequence[Frame]: ...


class Server(_End):
    """The other end: takes messages of any number of clients."""

    address: str  # what a client connects to

    def receive(self, timeout_s: float) -> Request | None:
        """The next message of any client, or None where none came in time.

        A malformed message is answered with a Failure and passed over.
        """
        taken = self._take(timeout_s)
        if taken is None:
            return None
        peer, parts = taken
        try:
            return Request(peer, *self._read(parts))
        except ProtocolError as error:
            self.fail(peer, error)
            return None

    def send(self, peer: bytes, message: Message, frames: Sequence[Frame] = ()) -> int:
        """Answer a client. Returns at once; the frames must stay as they are until they have left.

        Returns:
            The bytes that it takes on the wire.

        Raises:
            PeerLostError: that client is gone.
            ProtocolError: the message cannot be written.
        """
        header, n_bytes = self._written(message, frames)
        self._put(peer, [header, *frames])
        return n_bytes

    def fail(self, peer: bytes, error: BaseException, session: int | None = None) -> None:
        """Tell a client what went wrong; a client that is gone is not told."""
        with suppress(PeerLostError):
            self.send(peer, failure_of(error, session))

    @abstractmethod
    def _put(self, peer: bytes, parts: Sequence[Frame]) -> None: ...

    @abstractmethod
    def _take(self, timeout_s: float) -> tuple[bytes, Sequence[Frame]] | None: ...
