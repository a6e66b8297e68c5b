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
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import IO, Any

from workbench.errors import LinkError
from workbench.links.base import Direction, Flow, Link, LinkStats
from workbench.links.simulated import tcp_transfer_s
from workbench.profiles import LinkProfile

__all__ = ["PacedFlow", "ProxyLink"]

_ANSWER_S = 10.0  # how long the relay may take to answer
_GRACE_S = 2.0  # and to end by itself
_SILENCE_S = 30.0  # without a byte, a transfer has failed
_FASTEST_BPS = 2e9
_SHORTEST_RTT_S = 1e-3


@dataclass
class PacedFlow(Flow):
    """What a proxied path takes: delay and rate, and the wait for what was sent before."""

    profile: LinkProfile
    direction: Direction
    free_at_s: float = 0.0

    def transfer_s(self, n_bytes: int, at_s: float) -> float:
        wait_s = max(0.0, self.free_at_s - at_s)
        took_s = wait_s + tcp_transfer_s(n_bytes, self.profile, self.direction, slow_start=False)
        self.free_at_s = at_s + took_s - self.profile.rtt_s / 2
        return took_s


class ProxyLink(Link):
    """A relay on loopback that gives each direction its delay and rate.

    Every connection through it shares one bottleneck per direction, which keeps a clock of its own: a late
    wake-up delays one chunk and nothing after it.
    """

    kind = "proxy"
    models = ("delay", "bandwidth, shared by all connections", "jitter without reordering", "outages")
    omits = ("TCP slow start", "loss", "queue overflow")

    def __init__(self, profile: LinkProfile) -> None:
        self._profile = profile
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
            self._ask("shape", **_shape(profile))
        except BaseException:
            self.close()
            raise

    @property
    def profile(self) -> LinkProfile:
        return self._profile

    @property
    def pid(self) -> int:
        """Of the relay's process."""
        return self._relay.pid

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(_notes(self._profile))

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

    def change(self, profile: LinkProfile) -> None:
        self._ask("shape", **_shape(profile))
        self._profile = profile

    def pause(self) -> None:
        """An outage: nothing arrives until ``resume``; connections stand and nothing is lost."""
        self._ask("pause")

    def resume(self) -> None:
        """End an outage."""
        self._ask("resume")

    def cut(self) -> None:
        """Break every connection; new ones may be made."""
        self._ask("cut")

    def transfer_s(self, n_bytes: int, direction: Direction) -> float:
        if n_bytes <= 0:
            raise LinkError(f"need at least one byte to measure a transfer, got {n_bytes}")
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(_SILENCE_S)
            address = self.open(f"tcp://127.0.0.1:{server.getsockname()[1]}")
            try:
                with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as client:
                    far, _ = server.accept()
                    with far:
                        ends = (client, far) if direction == "up" else (far, client)
                        return _measure(*ends, n_bytes)
            except OSError as error:
                raise LinkError(f"the relayed path broke: {error}") from error
            finally:
                self._ask("forget", port=int(address.rpartition(":")[2]))

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
                self._relay.stdin.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
                self._relay.stdin.flush()
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


def _shape(profile: LinkProfile) -> dict[str, float]:
    return {
        "delay_s": profile.rtt_s / 2,
        "jitter_s": profile.jitter_s,
        "up_bps": profile.uplink_bps,
        "down_bps": profile.downlink_bps,
    }


def _notes(profile: LinkProfile) -> Iterator[str]:
    if profile.loss > 0:
        yield f"the proxy loses nothing: the {profile.loss:.2%} loss of {profile.name!r} is not reproduced"
    if profile.rtt_s < _SHORTEST_RTT_S:
        yield f"the proxy itself takes some 0.2 ms a round trip, {profile.name!r} {profile.rtt_s * 1e3:g} ms"
    if max(profile.uplink_bps, profile.downlink_bps) > _FASTEST_BPS:
        yield f"the proxy relays up to some {_FASTEST_BPS / 1e9:g} Gbit/s: {profile.name!r} is faster"


def _line(stream: IO[bytes]) -> bytes:
    ready, _, _ = select.select([stream], [], [], _ANSWER_S)
    return stream.readline() if ready else b""


def _measure(source: socket.socket, sink: socket.socket, n_bytes: int) -> float:
    """Seconds from the first byte written to the last byte read."""
    sink.settimeout(_SILENCE_S)
    began_s: list[float] = []
    sender = threading.Thread(target=_send, args=(source, n_bytes, began_s), daemon=True)
    sender.start()
    left = n_bytes
    while left > 0:
        got = len(sink.recv(min(left, 1 << 20)))
        if not got:
            raise LinkError(f"the relayed path broke with {left} of {n_bytes} bytes to come")
        left -= got
    took_s = perf_counter() - began_s[0]
    sender.join()
    return took_s


def _send(source: socket.socket, n_bytes: int, began_s: list[float]) -> None:
    piece = bytes(1 << 16)
    began_s.append(perf_counter())
    with contextlib.suppress(OSError):  # the reader finds out
        while n_bytes > 0:
            n_bytes -= source.send(piece[:n_bytes])
