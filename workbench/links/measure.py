"""What a path really does, measured over the two ends of a connection through it.

Both ends are sockets of this process, wherever the path runs: one clock times them.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from time import perf_counter

from workbench.errors import LinkError

__all__ = ["SILENCE_S", "flood", "rate_bps", "round_trips_s", "transfer_s"]

SILENCE_S = 30.0  # without a byte, a path is broken
_PIECE = bytes(1 << 16)


def transfer_s(source: socket.socket, sink: socket.socket, n_bytes: int) -> float:
    """Seconds from the first byte written to the last byte read.

    Raises:
        LinkError: the path broke.
    """
    began_s: list[float] = []
    sender = threading.Thread(target=_send, args=(source, n_bytes, began_s), daemon=True)
    sender.start()
    try:
        _receive(sink, n_bytes)
    except OSError as error:
        raise LinkError(f"the path broke: {error}") from error
    took_s = perf_counter() - began_s[0]
    sender.join()
    return took_s


def round_trips_s(edge: socket.socket, cloud: socket.socket, count: int) -> list[float]:
    """Seconds of single bytes sent there and back, one after the other.

    Raises:
        LinkError: the path broke.
    """
    trips = []
    for _ in range(count):
        began_s = perf_counter()
        try:
            edge.sendall(b"!")
            _receive(cloud, 1)
            cloud.sendall(b"!")
            _receive(edge, 1)
        except OSError as error:
            raise LinkError(f"the path broke: {error}") from error
        trips.append(perf_counter() - began_s)
    return trips


def rate_bps(source: socket.socket, sink: socket.socket, *, warm_s: float, for_s: float) -> float:
    """Bits per second that come out while the other end always has more to send; the start is left out.

    Args:
        warm_s: how long it runs before counting begins: TCP's slow start.
        for_s: how long it counts.

    Raises:
        LinkError: the path broke.
    """
    ending = threading.Event()
    sender = threading.Thread(target=flood, args=(source, ending), daemon=True)
    sender.start()
    try:
        return _count(sink, warm_s, for_s)
    finally:
        ending.set()
        sink.shutdown(socket.SHUT_RDWR)
        sender.join(SILENCE_S)


def _count(sink: socket.socket, warm_s: float, for_s: float) -> float:
    end_of_warm_s = perf_counter() + warm_s
    first_s = last_s = 0.0
    n_bytes = 0
    sink.settimeout(SILENCE_S)
    while not first_s or last_s < first_s + for_s:
        try:
            got = len(sink.recv(1 << 20))
        except OSError as error:
            raise LinkError(f"the path broke: {error}") from error
        if not got:
            raise LinkError("the path broke while its rate was measured")
        last_s = perf_counter()
        if first_s:
            n_bytes += got
        elif last_s >= end_of_warm_s:
            first_s = last_s
    return n_bytes * 8 / (last_s - first_s)


def _receive(sink: socket.socket, n_bytes: int) -> None:
    sink.settimeout(SILENCE_S)
    left = n_bytes
    while left > 0:
        got = len(sink.recv(min(left, 1 << 20)))
        if not got:
            raise LinkError(f"the path broke with {left} of {n_bytes} bytes to come")
        left -= got


def _send(source: socket.socket, n_bytes: int, began_s: list[float]) -> None:
    began_s.append(perf_counter())
    with contextlib.suppress(OSError):  # the reader finds out
        while n_bytes > 0:
            n_bytes -= source.send(_PIECE[:n_bytes])


def flood(source: socket.socket, ending: threading.Event) -> None:
    """Always have more to send, until told or the connection ends."""
    source.settimeout(0.1)
    while not ending.is_set():
        try:
            source.send(_PIECE)
        except TimeoutError:
            continue
        except OSError:
            return
