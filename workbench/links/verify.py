"""Whether a path is what it says: measured round trip, rates and loss against the profile."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from workbench.errors import LinkMismatchError
from workbench.links import measure
from workbench.profiles import Direction, LinkProfile, OneWay
from workbench.trace import Label

if TYPE_CHECKING:
    from workbench.links.base import Link, LinkStats

__all__ = ["Check", "Datagrams", "Tolerance", "Verification", "examine", "verify"]

_ROUND_TRIPS = 7
_MOST_ROUND_TRIPS, _ROUND_TRIPS_S = 150, 6.0  # where jitter makes each another draw
_SMALL_FRAME_BITS = 67 * 8  # one byte over TCP on an Ethernet line
_PAYLOAD_BYTES = 1472  # of a datagram that fills a frame
_FRAME_BYTES, _SEGMENT_BYTES = 1514, 1448  # of it, and of an application in it over TCP: what profiles count
_FASTEST_SAMPLE_BPS = 20e6  # what this interpreter sends and receives one by one with time to spare
_SENDS_PER_S = 1500  # datagrams of a faster path go in batches, which the kernel takes apart
_MOST_IN_A_BATCH = 40
_UDP_SEGMENT = 103  # linux/udp.h
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_ROOM_BYTES = 1 << 22
_OVERLOAD = 1.25  # a bottleneck is full when a quarter more comes than leaves
_DATAGRAMS = 4000
_HALF_LOADED = 0.5
_CATCH_UP_S = 0.1
_QUIET_S = 0.05
_Ends = tuple[socket.socket, socket.socket]


@dataclass(frozen=True)
class Tolerance:
    """How far a measured figure may be from the profile's, and how long measuring may take."""

    rtt_share: float = 0.05
    rtt_s: float = 1e-3  # whatever the share: the host's own time
    rate_share: float = 0.05
    loss_deviations: float = 4.0  # standard deviations of a sample of that size
    seconds: float = 1.0  # for each rate and loss


@dataclass(frozen=True)
class Check:
    """One figure of a path."""

    name: str  # "round trip", "rate up", "loss down" …
    unit: str  # "s", "bit/s", "share"
    asked: float
    found: float
    allowed: float  # largest difference

    @property
    def error(self) -> float:
        """Difference as a share of what was asked; of a loss, the difference itself."""
        difference = self.found - self.asked
        return difference if self.unit == "share" or not self.asked else difference / self.asked

    @property
    def ok(self) -> bool:
        return abs(self.found - self.asked) <= self.allowed

    def __str__(self) -> str:
        error = f"{100 * self.error:+.1f} {'points' if self.unit == 'share' else '%'}"
        verdict = "" if self.ok else " (beyond the tolerance)"
        return f"{self.name}: asked {self.asked:.4g} {self.unit}, found {self.found:.4g} ({error}){verdict}"


@dataclass(frozen=True)
class Verification:
    """All figures of a path."""

    kind: str
    profile: LinkProfile
    checks: tuple[Check, ...]
    label: Label = "measured"  # "modelled" of a link that computes

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def check(self, name: str) -> Check:
        """A figure by its name, e.g. ``"rate up"``."""
        return next(check for check in self.checks if check.name == name)

    def __str__(self) -> str:
        lines = (f"  {check}" for check in self.checks)
        return "\n".join([f"{self.kind} link {self.profile.name!r}, {self.label}:", *lines])


def verify(link: Link, tolerance: Tolerance) -> Verification:
    """Measure a path that carries bytes.

    Raises:
        LinkMismatchError: a figure is further from the profile than allowed.
        LinkError: the path carries nothing, or broke.
    """
    found = examine(link, tolerance)
    if not found.ok:
        raise LinkMismatchError(_complaint(found), found)
    return found


def examine(link: Link, tolerance: Tolerance) -> Verification:
    """Measure a path that carries bytes, and only report.

    Raises:
        LinkError: the path carries nothing, or broke.
    """
    return Verification(link.kind, link.profile, tuple(_checks(link, tolerance)))


def _complaint(found: Verification) -> str:
    wrong = "; ".join(str(check) for check in found.checks if not check.ok)
    return (
        f"the {found.kind} link is not what {found.profile.name!r} says: {wrong}. Is this host busy? "
        "Close what competes for its cores, ask for a slower link, or allow more with Tolerance(...)"
    )


def _checks(link: Link, tolerance: Tolerance) -> Iterator[Check]:
    profile = link.profile
    yield _round_trip(link, profile, tolerance)
    for direction in ("up", "down"):
        yield _rate(link, profile.way(direction), direction, tolerance)
        if isinstance(link, Datagrams):
            yield _loss(link, profile.way(direction), direction, tolerance)


def _round_trip(link: Link, profile: LinkProfile, tolerance: Tolerance) -> Check:
    sending_s = sum(_SMALL_FRAME_BITS / profile.way(way).rate_bps for way in ("up", "down"))
    asked_s = profile.rtt_s + sending_s
    jitter_s = math.hypot(profile.way("up").jitter_s, profile.way("down").jitter_s)
    many = int(min(_MOST_ROUND_TRIPS, _ROUND_TRIPS_S / max(profile.rtt_s, 1e-3)))
    count = max(_ROUND_TRIPS, many) if jitter_s else _ROUND_TRIPS
    edge, cloud = link.connect()
    with edge, cloud:
        found_s = median(measure.round_trips_s(edge, cloud, count))
    sampling_s = 3 * 1.25 * jitter_s / math.sqrt(count)  # a median's standard error, three times
    allowed_s = max(tolerance.rtt_s, tolerance.rtt_share * asked_s) + sampling_s
    return Check("round trip", "s", asked_s, found_s, allowed_s)


def _rate(link: Link, way: OneWay, direction: Direction, tolerance: Tolerance) -> Check:
    warm_s = max(0.5, 4 * way.delay_s)
    for_s = max(tolerance.seconds, 40 * _SEGMENT_BYTES * 8 / way.rate_bps)
    asked_bps = way.rate_bps
    if isinstance(link, Datagrams):
        found_bps = _datagram_rate_bps(link, direction, way, warm_s, for_s)
        asked_bps *= min(1.0, _OVERLOAD * (1 - way.loss) * (1 + way.duplicate))
    else:
        source, sink = _ends(link.connect(), direction)
        with source, sink:
            found_bps = measure.rate_bps(source, sink, warm_s=warm_s, for_s=for_s)
    return Check(f"rate {direction}", "bit/s", asked_bps, found_bps, tolerance.rate_share * asked_bps)


def _loss(link: Datagrams, way: OneWay, direction: Direction, tolerance: Tolerance) -> Check:
    rate_bps = min(way.rate_bps, _FASTEST_SAMPLE_BPS) * _HALF_LOADED
    count = int(min(_DATAGRAMS, max(50, rate_bps * tolerance.seconds / 8 / _PAYLOAD_BYTES)))
    source, sink = _ends(link.datagrams(), direction)
    with source, sink:
        arrived = _sample(source, sink, count, rate_bps, way.delay_s + 6 * way.jitter_s + 0.2)
    lost = way.loss + way.corrupt * (1 - way.loss)
    spread = math.sqrt(lost * (1 - lost) * (2 * way.loss_burst - 1) / count)
    allowed = tolerance.loss_deviations * spread + (1 / count if lost else 0.0)
    return Check(f"loss {direction}", "share", lost, 1 - arrived / count, allowed)


def _ends(ends: _Ends, direction: Direction) -> _Ends:
    """Source and sink of a direction."""
    return ends if direction == "up" else (ends[1], ends[0])


@runtime_checkable
class Datagrams(Protocol):
    """A link over which single packets can be sent, and whose kernel counts them."""

    def datagrams(self) -> _Ends:
        """Two UDP sockets that send to each other over the path: the edge's and the cloud's."""
        ...

    def stats(self) -> LinkStats:
        """Bytes of all frames that have left the bottleneck."""
        ...


def _datagram_rate_bps(
    link: Datagrams, direction: Direction, way: OneWay, warm_s: float, for_s: float
) -> float:
    """By the kernel's count of frames: nobody has to receive them, and TCP has no say in it."""
    source, sink = _ends(link.datagrams(), direction)
    ending = threading.Event()
    pace_bps = way.rate_bps * _OVERLOAD * _PAYLOAD_BYTES / _SEGMENT_BYTES
    with source, sink:
        sender = threading.Thread(target=_paced, args=(source, pace_bps, ending), daemon=True)
        sender.start()
        try:
            time.sleep(warm_s)
            began_s, before = time.perf_counter(), link.stats().carried(direction)
            time.sleep(for_s)
            took_s, after = time.perf_counter() - began_s, link.stats().carried(direction)
            n_bytes = after - before
        finally:
            ending.set()
            sender.join()
    while after != (after_that := link.stats().carried(direction)):  # what was queued would be in the way
        after = after_that
        time.sleep(_QUIET_S + 2 * _FRAME_BYTES * 8 / way.rate_bps)
    return n_bytes * 8 / took_s * _SEGMENT_BYTES / _FRAME_BYTES


def _paced(source: socket.socket, pace_bps: float, ending: threading.Event) -> None:
    """Send full frames at a pace; of what the host's scheduler delays, a little is caught up."""
    batch = max(1, min(_MOST_IN_A_BATCH, round(pace_bps / 8 / _PAYLOAD_BYTES / _SENDS_PER_S)))
    if batch > 1:
        source.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, _PAYLOAD_BYTES)
    payload, due_s = bytes(batch * _PAYLOAD_BYTES), time.perf_counter()
    while not ending.is_set():
        now_s = time.perf_counter()
        due_s = max(due_s, now_s - _CATCH_UP_S) + len(payload) * 8 / pace_bps
        source.send(payload)
        if due_s > now_s:
            time.sleep(due_s - now_s)


def _sample(source: socket.socket, sink: socket.socket, count: int, pace_bps: float, last_s: float) -> int:
    """How many different ones of so many datagrams arrive."""
    _widen(sink)
    arrived: set[bytes] = set()
    ending = threading.Event()
    reader = threading.Thread(target=_collect, args=(sink, arrived, ending), daemon=True)
    reader.start()
    for number in range(count):  # what a busy host delays is not caught up: a burst would overflow the queue
        source.send(number.to_bytes(4, "big") + bytes(_PAYLOAD_BYTES - 4))
        time.sleep(_PAYLOAD_BYTES * 8 / pace_bps)
    time.sleep(last_s)
    ending.set()
    reader.join()
    return len(arrived)


def _widen(sink: socket.socket) -> None:
    """Room for what comes while a busy host does not read: what is dropped there would count as lost."""
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM_BYTES)
    with contextlib.suppress(OSError):  # beyond the system's limit, as root
        sink.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM_BYTES)


def _collect(sink: socket.socket, arrived: set[bytes], ending: threading.Event) -> None:
    sink.settimeout(0.05)
    while not ending.is_set():
        try:
            arrived.add(sink.recv(2048)[:4])
        except TimeoutError:
            continue
