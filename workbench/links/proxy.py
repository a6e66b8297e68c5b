"""A path through a relay of our own: real bytes, delayed and paced in user space. Runs anywhere.

The relay is another process, so that it never waits for this one's interpreter lock. It ends when its
standard input does: with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from workbench.errors import LinkError
from workbench.links.base import Direction, Flow, LinkStats, shape_of
from workbench.links.shaped import ShapedLink
from workbench.links.tcp import tcp_transfer_s
from workbench.profiles import LinkProfile

__all__ = ["PacedFlow", "ProxyLink"]

_ANSWER_S = 10.0  # how long the relay may take to answer
_GRACE_S = 2.0  # and to end by itself
_FASTEST_BPS = 2e9
_SHORTEST_RTT_S = 1e-3
_WAYS: tuple[Direction, Direction] = ("up", "down")
_NOT_REPRODUCED = (  # field of a direction, what it is called, and what the proxy does none of
    ("loss", "loss", "loses"),
    ("reorder", "reordering", "reorders"),
    ("duplicate", "duplication", "duplicates"),
    ("corrupt", "corruption", "corrupts"),
)


@dataclass
class PacedFlow(Flow):
    """What a proxied path takes: delay and rate, and the wait for what was sent before."""

    profile: LinkProfile
    direction: Direction
    free_at_s: float = 0.0

    def transfer_s(self, n_bytes: int, at_s: float) -> float:
        wait_s = max(0.0, self.free_at_s - at_s)
        took_s = wait_s + tcp_transfer_s(n_bytes, self.profile, self.direction, slow_start=False)
        self.free_at_s = at_s + took_s - self.profile.way(self.direction).delay_s
        return took_s


class ProxyLink(ShapedLink):
    """A relay on loopback that gives each direction its delay, jitter and rate.

    Every connection through it shares one bottleneck per direction, which keeps a clock of its own: a late
    wake-up delays one chunk and nothing after it. In an outage bytes wait, none is lost.
    """

    kind = "proxy"
    models = ("delay", "bandwidth, shared by all connections", "jitter without reordering", "outages")
    omits = (
        "TCP slow start",
        "TCP handshake",
        "loss",
        "reordering, duplication, corruption",
        "queue overflow",
    )

    def __init__(self, profile: LinkProfile) -> None:
        super().__init__(profile)
        self._lock = threading.Lock()
        self._stats = LinkStats(0, 0)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the relay
        self._relay = subprocess.Popen(
            [sys.executable, "-m", "workbench.links.relay"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the parent, which then closes us
        )
        try:
            self._shape(shape_of(profile))
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the relay's process."""
        return self._relay.pid

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(_notes(self.profiles()))

    # ---- talking through it

    def open(self, target: str) -> str:
        """Relay to a server, e.g. ``tcp://127.0.0.1:5555``; returns the address to dial in its place.

        Raises:
            LinkError: the target is no such address, or the link is closed.
        """
        host, _, port = target.removeprefix("tcp://").rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise LinkError(f"cannot relay to {target!r}: write tcp://HOST:PORT")
        answer = self._ask("open", host=host.strip("[]"), port=int(port))
        return f"tcp://127.0.0.1:{answer['port']}"

    def connect(self) -> tuple[socket.socket, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(_ANSWER_S)
            door = self._ask("open", host="127.0.0.1", port=server.getsockname()[1])["port"]
            try:
                edge = socket.create_connection(("127.0.0.1", door), timeout=_ANSWER_S)
                with contextlib.ExitStack() as undo:
                    undo.callback(edge.close)
                    cloud, _ = server.accept()
                    undo.pop_all()
            except OSError as error:
                raise LinkError(f"no connection through the relay: {error}{self._last_words()}") from error
            finally:
                with contextlib.suppress(LinkError):
                    self._ask("forget", port=door)
        for end in (edge, cloud):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return edge, cloud

    # ---- shaping it

    def _shape(self, shape: Mapping[Any, Any]) -> None:
        self._ask("shape", shape=shape)

    def _keep(self, rows: list[tuple[float, Any]], period_s: float | None, started_s: float) -> None:
        self._ask("follow", rows=rows, period_s=period_s, started_s=started_s)

    def _check_open(self) -> None:
        self._ask("stats")

    def cut(self) -> None:
        """Break every connection; new ones may be made."""
        self._ask("cut")

    # ---- what it does

    def stats(self) -> LinkStats:
        if self._relay.stdin is not None and not self._relay.stdin.closed:
            answer = self._ask("stats")
            self._stats = LinkStats(answer["up"], answer["down"])
        return self._stats

    def close(self) -> None:
        with self._lock:
            if self._stderr.closed:
                return
            assert self._relay.stdin is not None
            assert self._relay.stdout is not None
            with contextlib.suppress(OSError):
                self._relay.stdin.close()
            for end in (lambda: None, self._relay.terminate, self._relay.kill):
                end()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._relay.wait(_GRACE_S)
                    break
            self._relay.stdout.close()
            self._stderr.close()

    def _ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        with self._lock:
            if self._stderr.closed:
                raise LinkError("this link is closed: make a new one")
            assert self._relay.stdin is not None
            assert self._relay.stdout is not None
            try:
                _write(self._relay.stdin, json.dumps({"command": command, **arguments}).encode() + b"\n")
                line = _line(self._relay.stdout)
            except OSError as error:
                raise LinkError(f"the relay is gone: {error}{self._last_words()}") from error
        if not line:
            raise LinkError(f"the relay ended or said nothing for {_ANSWER_S:g} s{self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LinkError(answer["error"])
        return answer

    def _last_words(self) -> str:
        if self._stderr.closed:
            return ""
        self._stderr.seek(0)
        text = self._stderr.read().decode(errors="replace").strip()[-2000:]
        return f"; its last words:\n{text}" if text else ""


def _notes(profiles: Sequence[LinkProfile]) -> Iterator[str]:
    """What of a profile, or of all those of a trace, a relay does not reproduce."""
    name = repr(profiles[0].name)
    ways = [profile.way(direction) for profile in profiles for direction in _WAYS]
    for key, noun, verb in _NOT_REPRODUCED:
        share = max(getattr(way, key) for way in ways)
        if share:
            yield f"the proxy {verb} nothing: the {share:.2%} {noun} of {name} is not reproduced"
    if any(_says_a_queue(profile) for profile in profiles):
        yield f"the proxy's queue never overflows: queue_bytes of {name} is not reproduced"
    rtt_s = min(profile.rtt_s for profile in profiles)
    if rtt_s < _SHORTEST_RTT_S:
        yield f"the proxy itself takes some 0.2 ms a round trip, {name} {rtt_s * 1e3:g} ms"
    if max(way.rate_bps for way in ways) > _FASTEST_BPS:
        yield f"the proxy relays up to some {_FASTEST_BPS / 1e9:g} Gbit/s: {name} is faster"


def _says_a_queue(profile: LinkProfile) -> bool:
    return bool(
        profile.queue_bytes or profile.uplink.get("queue_bytes") or profile.downlink.get("queue_bytes")
    )


def _write(stream: IO[bytes], data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[stream.write(left) :]


def _line(stream: IO[bytes]) -> bytes:
    ready, _, _ = select.select([stream], [], [], _ANSWER_S)
    return stream.readline() if ready else b""
