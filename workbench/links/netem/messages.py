"""JSON lines over a Unix socket, with file descriptors beside them."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from typing import Any

__all__ = ["Messages"]

_MOST_DESCRIPTORS = 8


class Messages:
    """One end of a socket pair: one question at a time, each answered."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, message: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Copies of the descriptors go along; closing them here stays the caller's.

        Raises:
            OSError: the other end is gone.
        """
        data = json.dumps(message).encode() + b"\n"
        sent = socket.send_fds(self._end, [data], list(descriptors)) if descriptors else 0
        self._end.sendall(data[sent:])

    def receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """The next message and what came along; None once the other end is gone.

        Raises:
            TimeoutError: none came in the socket's time.
        """
        data, descriptors = b"", []
        while not data.endswith(b"\n"):
            piece, more, _, _ = socket.recv_fds(self._end, 65536, _MOST_DESCRIPTORS)
            if not piece:
                return None
            data += piece
            for descriptor in more:
                os.set_inheritable(descriptor, False)
            descriptors += more
        return json.loads(data), descriptors

    def close(self) -> None:
        self._end.close()
