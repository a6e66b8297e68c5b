"""The process behind a ProxyLink: relays TCP connections with delay, jitter and a rate per direction.

Run as ``python -m workbench.links.relay``. Commands come as JSON lines on standard input and are answered on
standard output; at the end of its input the process ends.

A direction is a bottleneck with a clock: a chunk that comes at t leaves at ``max(t, free) + bits / rate``,
which becomes the new ``free``, and arrives a delay later. Reading stops while that clock is ahead by more
than a queue's length, so that the sender feels the rate. What waits in the socket after a read has come by
then: it counts from that moment, however late it is read, so that a busy host costs no rate. One thread
waits for sockets and for the next moment that matters; it never spins.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import random
import select
import socket
import sys
import termios
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

__all__ = ["Bottleneck", "Relay"]

_QUEUE_S = 0.02  # how far a bottleneck's clock may be ahead before reading stops
_SMALLEST, _LARGEST = 1448, 1 << 18  # bytes of a chunk: a segment, and what copies fast
_CHUNK_S = 0.001  # time that a chunk should take
_IDLE_S = 3600.0
_DIAL_S = 5.0
_PR_SET_TIMERSLACK = 29


@dataclass
class Bottleneck:
    """One direction of the path. Times are seconds of ``time.monotonic``."""

    rate_bps: float = 1e9
    delay_s: float = 0.0
    jitter_s: float = 0.0
    free_s: float = 0.0  # when all that was admitted has left
    last_s: float = 0.0  # when the last of it arrives
    n_bytes: int = 0
    dice: random.Random = field(default_factory=lambda: random.Random(0))
    _extra_s: float = 0.0  # this burst's jitter

    @property
    def chunk_bytes(self) -> int:
        return min(_LARGEST, max(_SMALLEST, int(self.rate_bps * _CHUNK_S / 8)))

    def admit(self, came_s: float, n_bytes: int) -> float:
        """When a chunk that came then arrives at the other end. Never before an earlier one."""
        if self.free_s <= came_s and self.jitter_s > 0:  # jitter is drawn per burst: a queue keeps its order
            self._extra_s = max(-self.delay_s, self.dice.gauss(0.0, self.jitter_s))
        self.free_s = max(came_s, self.free_s) + n_bytes * 8 / self.rate_bps
        self.last_s = max(self.last_s, self.free_s + self.delay_s + (self._extra_s if self.jitter_s else 0.0))
        self.n_bytes += n_bytes
        return self.last_s

    def reads_from_s(self) -> float:
        """The moment from which more may be read."""
        return self.free_s - _QUEUE_S

    def shift(self, seconds: float, now_s: float) -> None:
        """Everything under way is later by this much, and nothing leaves before now."""
        self.free_s = max(self.free_s + seconds, now_s)
        self.last_s += seconds


@dataclass(eq=False)
class _Pipe:
    """One direction of one connection."""

    source: socket.socket
    sink: socket.socket
    path: Bottleneck
    queue: deque[tuple[float, memoryview | None]] = field(default_factory=deque)  # None ends the stream
    ended: bool = False  # nothing more is read
    done: bool = False  # nothing more is written
    blocked: bool = False  # the sink takes no more for now
    waiting: int = 0  # bytes that had come by ``seen_s`` and are still to be read
    seen_s: float = 0.0

    def read(self, now_s: float) -> None:
        came_s = self.seen_s if self.waiting else now_s
        data = self.source.recv(min(self.path.chunk_bytes, self.waiting or _LARGEST))
        self.waiting -= len(data)
        if self.waiting <= 0:
            self.waiting, self.seen_s = _readable_bytes(self.source), now_s
        self.ended = not data
        self.queue.append((self.path.admit(came_s, len(data)), memoryview(data) if data else None))

    def write_due(self, now_s: float) -> None:
        self.blocked = False
        while self.queue and self.queue[0][0] <= now_s and not self.blocked:
            due_s, data = self.queue.popleft()
            if data is None:
                self.done = True
                self.sink.shutdown(socket.SHUT_WR)
            else:
                self._write(due_s, data)

    def _write(self, due_s: float, data: memoryview) -> None:
        try:
            sent = self.sink.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.blocked = True
            self.queue.appendleft((due_s, data[sent:]))

    def shift(self, seconds: float) -> None:
        self.queue = deque((due_s + seconds, data) for due_s, data in self.queue)


class Relay:
    """Every connection, and the loop that serves them."""

    def __init__(self) -> None:
        self._paths = {"up": Bottleneck(), "down": Bottleneck()}
        self._listeners: dict[socket.socket, tuple[str, int]] = {}
        self._pairs: list[tuple[_Pipe, _Pipe]] = []
        self._paused_s: float | None = None
        self._input = b""

    def run(self) -> None:
        """Serve until standard input ends."""
        while self._turn():
            pass

    def _turn(self) -> bool:
        """Wait for the next thing to do, and do it. False once the parent is gone."""
        now_s = monotonic()
        readers, writers, wake_s = self._interests(now_s)
        ready, writable, _ = select.select(readers, writers, [], max(0.0, wake_s - now_s))
        if 0 in ready and not self._obey():
            return False
        for listener in [s for s in ready if s in self._listeners]:
            self._accept(listener)
        for pipe in self._pipes():
            self._guarded(pipe, pipe.source in ready, pipe.sink in writable)
        self._drop_finished()
        return True

    def _interests(self, now_s: float) -> tuple[list[Any], list[Any], float]:
        """What to wait for: sockets to read, sockets to write, and the next moment that matters."""
        readers: list[Any] = [0, *self._listeners]
        writers: list[Any] = []
        wake_s = now_s + _IDLE_S
        if self._paused_s is not None:
            return readers, writers, wake_s
        for pipe in self._pipes():
            if pipe.blocked:
                writers.append(pipe.sink)
            elif pipe.queue:
                wake_s = min(wake_s, pipe.queue[0][0])
            if not pipe.ended and not pipe.blocked:
                if pipe.path.reads_from_s() <= now_s:
                    readers.append(pipe.source)
                else:
                    wake_s = min(wake_s, pipe.path.reads_from_s())
        return readers, writers, wake_s

    def _pipes(self) -> Iterator[_Pipe]:
        for pair in self._pairs:
            yield from (pipe for pipe in pair if not pipe.done)

    def _guarded(self, pipe: _Pipe, readable: bool, writable: bool) -> None:
        """One pipe's share of a turn; a broken connection ends both of its directions."""
        now_s = monotonic()
        try:
            if readable and self._paused_s is None and pipe.path.reads_from_s() <= now_s:
                pipe.read(now_s)
            if self._paused_s is None and (writable or not pipe.blocked):
                pipe.write_due(now_s)
        except OSError:
            self._break(pipe)

    def _break(self, pipe: _Pipe) -> None:
        for up, down in self._pairs:
            if pipe in (up, down):
                up.done = down.done = up.ended = down.ended = True

    def _drop_finished(self) -> None:
        for pair in [p for p in self._pairs if p[0].done and p[1].done]:
            self._pairs.remove(pair)
            pair[0].source.close()
            pair[0].sink.close()

    def _accept(self, listener: socket.socket) -> None:
        near, _ = listener.accept()
        try:
            far = socket.create_connection(self._listeners[listener], timeout=_DIAL_S)
        except OSError:
            near.close()  # nobody there: the one who dialled sees the end of its connection
            return
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setblocking(False)
        self._pairs.append((_Pipe(near, far, self._paths["up"]), _Pipe(far, near, self._paths["down"])))

    # Commands -----------------------------------------------------------------------------------------------

    def _obey(self) -> bool:
        data = os.read(0, 65536)
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            try:
                answer = getattr(self, f"_on_{command.pop('command')}")(**command)
            except OSError as error:
                answer = {"error": str(error)}
            sys.stdout.write(json.dumps(answer or {}) + "\n")
            sys.stdout.flush()
        return bool(data)

    def _on_shape(self, delay_s: float, jitter_s: float, up_bps: float, down_bps: float) -> None:
        for path, rate_bps in ((self._paths["up"], up_bps), (self._paths["down"], down_bps)):
            path.rate_bps, path.delay_s, path.jitter_s = rate_bps, delay_s, jitter_s

    def _on_open(self, host: str, port: int) -> dict[str, Any]:
        listener = socket.create_server(("127.0.0.1", 0))
        self._listeners[listener] = (host, port)
        return {"port": listener.getsockname()[1]}

    def _on_forget(self, port: int) -> None:
        for listener in [s for s in self._listeners if s.getsockname()[1] == port]:
            del self._listeners[listener]
            listener.close()

    def _on_stats(self) -> dict[str, Any]:
        return {way: path.n_bytes for way, path in self._paths.items()}

    def _on_pause(self) -> None:
        self._paused_s = self._paused_s or monotonic()

    def _on_resume(self) -> None:
        if self._paused_s is None:
            return
        lost_s = monotonic() - self._paused_s
        self._paused_s = None
        for path in self._paths.values():
            path.shift(lost_s, monotonic())
        for pipe in self._pipes():
            pipe.shift(lost_s)

    def _on_cut(self) -> None:
        for up, down in self._pairs:
            up.done = down.done = True
            for end in (up.source, up.sink):  # a reset, as from a path that broke
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._drop_finished()


def _readable_bytes(source: socket.socket) -> int:
    return int.from_bytes(fcntl.ioctl(source, termios.FIONREAD, b"\0\0\0\0"), sys.byteorder)


def _sharpen_sleep() -> None:
    """Wake up on time: Linux may be 50 µs late by default."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


if __name__ == "__main__":
    _sharpen_sleep()
    Relay().run()
