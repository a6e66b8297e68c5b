"""What watches a path: round trips on a connection of their own, and bytes that fill it each way."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
from collections import deque
from time import monotonic, sleep

__all__ = ["Flow", "Meter", "Ping"]

_PAUSE_S = 0.25  # between two round trips: as often as anybody looks, or less
_SILENCE_S = 1.0  # after which what arrives next begins anew, and nothing means nothing
_KEPT = 8
_PIECE = bytes(1 << 16)
_POLL_S = 0.1


class Meter:
    """Bits per second between arrivals themselves, so that bytes that come in lumps make no waves.

    Any thread may call it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = 0  # since the last look
        self._since_s = -math.inf  # the arrival that they are counted from
        self._newest_s = -math.inf

    def add(self, n_bytes: int, now_s: float) -> None:
        """Bytes came."""
        with self._lock:
            if now_s - self._newest_s > _SILENCE_S:
                self._since_s, self._bytes = now_s, 0
            else:
                self._bytes += n_bytes
            self._newest_s = now_s

    def take(self, now_s: float) -> float | None:
        """The rate since the last look: None where too little came to tell, 0 after a second of silence."""
        with self._lock:
            if now_s - self._newest_s > _SILENCE_S:
                return 0.0
            took_s = self._newest_s - self._since_s
            if not self._bytes or took_s <= 0:
                return None
            rate_bps = self._bytes * 8 / took_s
            self._bytes, self._since_s = 0, self._newest_s
            return rate_bps


class Flow:
    """One direction: a connection that is kept full while it is asked to. Ends with its process.

    Args:
        queue_bytes: what may wait to be sent; None leaves it to the kernel, whose TCP sizes it to the path.
    """

    def __init__(self, source: socket.socket, sink: socket.socket, queue_bytes: int | None = None) -> None:
        self.on = threading.Event()
        self.meter = Meter()
        self.broken = False
        if queue_bytes is not None:
            source.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, queue_bytes)
        source.settimeout(_POLL_S)
        sink.settimeout(None)
        for work, end in ((self._send, source), (self._receive, sink)):
            threading.Thread(target=work, args=(end,), daemon=True).start()

    def _send(self, source: socket.socket) -> None:
        while True:
            self.on.wait()
            try:
                source.send(_PIECE)
            except TimeoutError:
                continue
            except OSError:
                self.broken = True
                return

    def _receive(self, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while got := len(sink.recv(1 << 20)):
                self.meter.add(got, monotonic())
        self.broken = True


class Ping:
    """Round trips of a byte, one after the other. Ends with its process."""

    def __init__(self, edge: socket.socket, cloud: socket.socket) -> None:
        self._found_s: deque[float] = deque(maxlen=_KEPT)
        self.broken = False
        for end in (edge, cloud):
            end.settimeout(None)
        threading.Thread(target=self._run, args=(edge, cloud), daemon=True).start()

    def take(self) -> float | None:
        """Seconds of the next round trip that came back; None where none has since the last look."""
        return self._found_s.popleft() if self._found_s else None

    def _run(self, edge: socket.socket, cloud: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (took_s := _round_trip_s(edge, cloud)) is not None:
                self._found_s.append(took_s)
                sleep(_PAUSE_S)
        self.broken = True


def _round_trip_s(edge: socket.socket, cloud: socket.socket) -> float | None:
    """Of one byte; None where the connection has ended."""
    began_s = monotonic()
    for source, sink in ((edge, cloud), (cloud, edge)):
        source.sendall(b"!")
        if not sink.recv(1):
            return None
    return monotonic() - began_s
