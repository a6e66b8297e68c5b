"""The twin: both ends in one process, the same bytes, no sockets."""

from __future__ import annotations

import queue
from collections.abc import Sequence

from workbench.errors import PeerLostError
from workbench.wire.base import Frame, Server, Transport

__all__ = ["in_process_pair"]

_PEER = b"in-process"
_Pipe = queue.SimpleQueue[list[Frame] | None]


class _Client(Transport):
    def __init__(self, up: _Pipe, down: _Pipe) -> None:
        self._up, self._down, self._lost = up, down, False

    def _put(self, parts: Sequence[Frame]) -> None:
        if self._lost:
            raise PeerLostError("this connection is closed: make a new one")
        self._up.put([bytes(part) for part in parts])

    def _take(self, timeout_s: float) -> Sequence[Frame]:
        try:
            parts = None if self._lost else self._down.get(timeout=timeout_s)
        except queue.Empty:
            raise PeerLostError(f"the other side did not answer within {timeout_s:g} s") from None
        if parts is None:
            self._lost = True
            raise PeerLostError("the other side went away: its end is closed")
        return parts

    def close(self) -> None:
        if not self._lost:
            self._lost = True
            self._up.put(None)


class _InProcessServer(Server):
    address = "in-process"

    def __init__(self, up: _Pipe, down: _Pipe) -> None:
        self._up, self._down = up, down
        self._gone = self._closed = False

    def _put(self, peer: bytes, parts: Sequence[Frame]) -> None:
        if self._gone or peer != _PEER:
            raise PeerLostError(f"client {peer!r} is gone")
        self._down.put([bytes(part) for part in parts])

    def _take(self, timeout_s: float) -> tuple[bytes, Sequence[Frame]] | None:
        try:
            parts = self._up.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self._gone = self._gone or parts is None
        return None if parts is None else (_PEER, parts)

    def close(self) -> None:
        if not self._closed:
            self._closed = self._gone = True
            self._down.put(None)


def in_process_pair() -> tuple[Transport, Server]:
    """A client and its server in this process. Bytes are counted as over ZeroMQ without encryption."""
    up: _Pipe = queue.SimpleQueue()
    down: _Pipe = queue.SimpleQueue()
    return _Client(up, down), _InProcessServer(up, down)
