"""The process behind a ProxyLink: relays TCP connections with delay, jitter and a rate per direction.

Run as ``python -m workbench.links.relay``. Commands come as JSON lines on standard input and are answered on
standard output; at the end of its input the process ends. A trace is followed by this process's own clock.

A direction is a bottleneck with a clock: a chunk that comes at t leaves at ``max(t, free) + bits / rate``,
which becomes the new ``free``, and arrives a delay later. Reading stops while that clock is ahead by more
than a queue's length, so that the sender feels the rate. When the rate changes, what has not left yet leaves
at the new one; in an outage a direction stands still, and all of it is later by the outage's length.

What waits in the socket after a read has come by then: it counts from that moment, however late it is read,
so that a busy host costs no rate. One thread waits for sockets and for the next moment that matters; it never
spins.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import math
import os
import select
import socket
import sys
import termios
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple

from workbench.links.jitter import Jitter
from workbench.links.timetable import Timetable

__all__ = ["Bottleneck", "Chunk", "Relay"]

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
    jitter_distribution: str = "normal"
    jitter_correlation: float = 0.0
    free_s: float = 0.0  # when all that was admitted has left
    last_s: float = 0.0  # when the last of it arrives
    stopped_s: float | None = None  # since when there is an outage
    n_bytes: int = 0
    jitter: Jitter = field(default_factory=Jitter)
    _unit: float = 0.0  # this burst's jitter, in standard deviations

    @property
    def chunk_bytes(self) -> int:
        return min(_LARGEST, max(_SMALLEST, int(self.rate_bps * _CHUNK_S / 8)))

    def admit(self, came_s: float, n_bytes: int) -> float:
        """When a chunk that came then arrives at the other end, which it leaves for at ``free_s``.

        Never before an earlier one.
        """
        if self.free_s <= came_s and self.jitter_s > 0:  # jitter is drawn per burst: a queue keeps its order
            self._unit = self.jitter.draw(self.jitter_distribution, self.jitter_correlation)
        extra_s = max(-self.delay_s, self._unit * self.jitter_s)
        self.free_s = max(came_s, self.free_s) + n_bytes * 8 / self.rate_bps
        self.last_s = max(self.last_s, self.free_s + self.delay_s + extra_s)
        self.n_bytes += n_bytes
        return self.last_s

    def reads_from_s(self) -> float:
        """The moment from which more may be read; infinite in an outage."""
        return self.free_s - _QUEUE_S if self.stopped_s is None else math.inf

    def change(self, way: Mapping[str, Any] | None, now_s: float, queues: list[deque[Chunk]]) -> None:
        """Have the fields of a ``OneWay`` from now on, or an outage, and re-time what is under way."""
        if way is None:
            self.stopped_s = now_s if self.stopped_s is None else self.stopped_s
            return
        lost_s = 0.0 if self.stopped_s is None else now_s - self.stopped_s
        stretch, later_s = self.rate_bps / way["rate_bps"], way["delay_s"] - self.delay_s
        self.stopped_s = None
        self.free_s += lost_s
        self.free_s = now_s + max(0.0, self.free_s - now_s) * stretch
        for queue in queues:
            _retime(queue, now_s, lost_s, stretch, later_s)
        self.last_s = max((queue[-1].due_s for queue in queues if queue), default=0.0)
        for key in ("rate_bps", "delay_s", "jitter_s", "jitter_distribution", "jitter_correlation"):
            setattr(self, key, way[key])


class Chunk(NamedTuple):
    """Bytes on their way."""

    leaves_s: float  # the bottleneck
    due_s: float  # at the other end
    data: memoryview | None  # None ends the stream


def _retime(queue: deque[Chunk], now_s: float, lost_s: float, stretch: float, later_s: float) -> None:
    """All is later by an outage; what has not left yet takes ``stretch`` times as long, and the new delay."""
    last_s = 0.0
    for _ in range(len(queue)):
        leaves_s, due_s, data = queue.popleft()
        leaves_s, due_s = leaves_s + lost_s, due_s + lost_s
        if leaves_s > now_s:
            stretched_s = now_s + (leaves_s - now_s) * stretch
            leaves_s, due_s = stretched_s, due_s + stretched_s - leaves_s + later_s
        last_s = max(last_s, leaves_s, due_s)
        queue.append(Chunk(leaves_s, last_s, data))


@dataclass(eq=False)
class _Pipe:
    """One direction of one connection."""

    source: socket.socket
    sink: socket.socket
    path: Bottleneck
    queue: deque[Chunk] = field(default_factory=deque)
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
        due_s = self.path.admit(came_s, len(data))
        self.queue.append(Chunk(self.path.free_s, due_s, memoryview(data) if data else None))

    def write_due(self, now_s: float) -> None:
        self.blocked = False
        while self.queue and self.queue[0].due_s <= now_s and not self.blocked:
            chunk = self.queue.popleft()
            if chunk.data is None:
                self.done = True
                self.sink.shutdown(socket.SHUT_WR)
            else:
                self._write(chunk, chunk.data)

    def _write(self, chunk: Chunk, data: memoryview) -> None:
        try:
            sent = self.sink.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.blocked = True
            self.queue.appendleft(chunk._replace(data=data[sent:]))


class Relay:
    """Every connection, and the loop that serves them."""

    def __init__(self) -> None:
        self._paths = {"up": Bottleneck(), "down": Bottleneck()}
        self._listeners: dict[socket.socket, tuple[str, int]] = {}
        self._pairs: list[tuple[_Pipe, _Pipe]] = []
        self._timetable: Timetable | None = None
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
        if self._timetable is not None:
            self._shape(self._timetable.due(monotonic()))
        if 0 in ready and not self._obey():
            return False
        for listener in [s for s in ready if s in self._listeners]:
            self._accept(listener)
        self._serve(set(ready), set(writable))
        self._drop_finished()
        return True

    def _interests(self, now_s: float) -> tuple[list[Any], list[Any], float]:
        """What to wait for: sockets to read, sockets to write, and the next moment that matters."""
        readers: list[Any] = [0, *self._listeners]
        writers: list[Any] = []
        wake_s = now_s + _IDLE_S
        if self._timetable is not None:
            wake_s = min(wake_s, self._timetable.next_s())
        for pipe in self._pipes():
            if pipe.path.stopped_s is not None:
                continue
            if pipe.blocked:
                writers.append(pipe.sink)
            elif pipe.queue:
                wake_s = min(wake_s, pipe.queue[0].due_s)
            if not pipe.ended and not pipe.blocked:
                if pipe.path.reads_from_s() <= now_s:
                    readers.append(pipe.source)
                else:
                    wake_s = min(wake_s, pipe.path.reads_from_s())
        return readers, writers, wake_s

    def _pipes(self) -> Iterator[_Pipe]:
        for pair in self._pairs:
            yield from (pipe for pipe in pair if not pipe.done)

    def _serve(self, ready: set[Any], writable: set[Any]) -> None:
        """Every pipe's share of a turn. Whoever has read comes last next time: the bottleneck is for all."""
        waited: list[tuple[_Pipe, _Pipe]] = []
        served: list[tuple[_Pipe, _Pipe]] = []
        for pair in self._pairs:
            before = [pipe.path.n_bytes for pipe in pair]
            for pipe in pair:
                if not pipe.done:
                    self._guarded(pipe, pipe.source in ready, pipe.sink in writable)
            has_read = before != [pipe.path.n_bytes for pipe in pair]
            (served if has_read else waited).append(pair)
        self._pairs = waited + served

    def _guarded(self, pipe: _Pipe, readable: bool, writable: bool) -> None:
        """One pipe's share of a turn; a broken connection ends both of its directions."""
        now_s = monotonic()
        try:
            if readable and pipe.path.reads_from_s() <= now_s:
                pipe.read(now_s)
            if pipe.path.stopped_s is None and (writable or not pipe.blocked):
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

    def _on_shape(self, shape: dict[str, Any]) -> None:
        self._timetable = None
        self._shape(shape)

    def _on_follow(self, rows: list[Any], period_s: float | None, started_s: float) -> None:
        self._timetable = Timetable(rows, period_s, started_s)
        self._shape(self._timetable.due(monotonic()))

    def _shape(self, shape: Mapping[str, Any] | None) -> None:
        if shape is None:
            return
        now_s = monotonic()
        for way, path in self._paths.items():
            path.change(shape[way], now_s, [pipe.queue for pipe in self._pipes() if pipe.path is path])

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
