"""A TCP connection as arithmetic: what a transfer takes, without sending anything. Microseconds to compute.

What it follows:

- slow start from an initial window of ten segments (RFC 6928), doubling every round trip until the path is
  full; the window is not limited after that, and grows only as far as it is used (RFC 7661)
- a window that shrinks on an idle connection (RFC 2861, as Linux does it: halved per retransmission timeout)
- random loss: when the first one is to be expected, and noticing it (Cardwell, Savage, Anderson, "Modeling
  TCP latency", 2000); from then on a window that each further loss shrinks to 0.7 (RFC 9438), down to what
  goes on for ever: the larger of the throughput equation of RFC 5348 (Padhye et al., 1998) and CUBIC's
  response function (RFC 9438). A burst counts as one loss (RFC 5348, section 5.2)
- jitter that keeps the order: a packet that is late holds up those behind it, so that the last of several is
  late by the largest of their delays (``jitter.lateness_s``), and so are acknowledgements
- an outage, in which all is lost: the connection goes on with the first retransmission after it, whose
  timeout has doubled each time (RFC 6298, section 5.5), from a window of one segment (RFC 5681)

Rates are what an application gets: ``goodput_bps`` turns the rate of a line into that.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from workbench.errors import LinkError
from workbench.links.base import Direction, Flow
from workbench.links.course import Course, Leg
from workbench.links.jitter import lateness_s
from workbench.profiles import LinkProfile

__all__ = [
    "FRAME_BYTES",
    "INITIAL_WINDOW",
    "MIN_RTO_S",
    "MSS_BYTES",
    "TcpFlow",
    "goodput_bps",
    "next_retransmission_s",
    "tcp_transfer_s",
]

MSS_BYTES = 1448
"""Payload of a segment: an Ethernet frame less IP and TCP headers with timestamps."""
FRAME_BYTES = 1514
"""What a segment of ``MSS_BYTES`` takes on an Ethernet line."""
INITIAL_WINDOW = 10.0
"""Segments (RFC 6928)."""
MIN_RTO_S = 0.2
"""Linux adds at least this to the round trip."""

_MAX_RTO_S = 120.0  # Linux's
_BETA = 0.7  # what a loss leaves of the window: CUBIC's
_SOME = 1e-6  # bytes that are none: rounding


def goodput_bps(line_bps: float) -> float:
    """What an application gets of a line's rate, after Ethernet, IP and TCP headers."""
    return line_bps * MSS_BYTES / FRAME_BYTES


def tcp_transfer_s(
    n_bytes: int,
    profile: LinkProfile,
    direction: Direction,
    *,
    window: float = INITIAL_WINDOW,
    slow_start: bool = True,
) -> float:
    """Seconds from the first byte written to the last byte read, on an established connection.

    Args:
        window: congestion window in segments when it begins; ``float("inf")`` for a warm connection.
        slow_start: False for a path whose TCP never leaves the host (a proxy): delay and rate only, no loss.

    Raises:
        LinkError: a negative number of bytes, or a window below one segment.
    """
    if n_bytes < 0 or not window >= 1:
        raise LinkError(f"cannot transfer {n_bytes} bytes with a window of {window} segments")
    if not slow_start:
        way = profile.way(direction)
        return way.delay_s + n_bytes * 8 / way.rate_bps
    return TcpFlow(profile, direction, window).transfer_s(n_bytes, 0.0)


def next_retransmission_s(sent_s: float, timeout_s: float, from_s: float) -> float:
    """When a segment that is lost again and again until ``from_s`` is sent for the first time after it."""
    while sent_s < from_s:
        sent_s += timeout_s
        timeout_s = min(2 * timeout_s, _MAX_RTO_S)
    return sent_s


class _Piece(NamedTuple):
    """Bytes of a stream that leave one after the other."""

    first: float  # bytes before them
    end: float
    at_s: float
    byte_s: float  # seconds per byte
    delay_s: float


class TcpFlow(Flow):
    """One direction of a connection over time: a stream of messages that queue behind each other.

    Bytes wait until those before them have left, and until the window has room. The window grows with what is
    acknowledged and shrinks when idle.
    """

    def __init__(self, profile: LinkProfile, direction: Direction, window: float = INITIAL_WINDOW) -> None:
        self.course = Course(profile, direction)  # may be replaced as the path changes
        self.window = window  # segments
        self.last_sent_s = 0.0
        self._clear_s = -math.inf  # when the last byte would have left if no packet were ever lost
        self._arrived_s = -math.inf
        self._stream_bytes = 0.0  # written since there last was nothing to send
        self._first_window = window  # then, in segments
        self._acks: deque[tuple[float, float]] = deque()  # (when, bytes) of what is in flight
        self._in_flight = 0.0
        self._peak = 0.0  # most in flight since nothing was

    def transfer_s(self, n_bytes: int, at_s: float) -> float:
        # As ``arrivals_s`` of one message, without the lists: a plan asks for it a hundred times.
        is_fresh = at_s > self.last_sent_s or self._clear_s < 0
        end = n_bytes + (self._begin(at_s, n_bytes) if is_fresh else 0.0)
        last = self._send(end)[-1]
        there_s = last.at_s + (end - last.first) * last.byte_s + last.delay_s
        there_s = max(self._with_losses([there_s], (end,), at_s)[0], self._arrived_s)
        self._arrived_s = there_s
        self._stream_bytes += end
        return there_s - at_s

    def arrivals_s(self, sizes: Sequence[int], at_s: float) -> list[float]:
        """When each of several messages, written together at ``at_s``, has arrived whole.

        Raises:
            LinkError: an outage that does not end.
        """
        if not sizes:
            return []
        is_fresh = at_s > self.last_sent_s or self._clear_s < 0
        padding = self._begin(at_s, sizes[0]) if is_fresh else 0.0
        ends = list(accumulate(sizes, initial=padding))[1:]
        found = self._with_losses(_when(ends, self._send(ends[-1])), ends, at_s)
        found[0] = max(found[0], self._arrived_s)  # a shorter delay does not let a stream overtake itself
        found = list(accumulate(found, max)) if len(found) > 1 else found
        self._arrived_s = found[-1]
        self._stream_bytes += ends[-1]
        return found

    def _with_losses(self, found: list[float], ends: Sequence[float], at_s: float) -> list[float]:
        """Arrivals as losses delay them, under the conditions in which the last message leaves."""
        leg = self.course.at(self._clear_s)
        way = leg.way
        self.last_sent_s = self._clear_s
        if not (way.loss or way.corrupt):
            return found
        late_s = _recovery_s(ends, self._stream_bytes, leg, self._first_window)
        self.last_sent_s = max(at_s, self._clear_s + late_s[-1])
        soonest_s, byte_s = at_s + way.delay_s, 8 / way.rate_bps
        sent = zip(found, late_s, ends, strict=True)
        return [max(there_s + more_s, soonest_s + end * byte_s) for there_s, more_s, end in sent]

    def _begin(self, at_s: float, n_bytes: int) -> float:
        """A stream after a pause. Returns bytes: what its first header takes more than a full frame's."""
        self._acknowledge(at_s)
        leg = self.course.at(at_s)
        if self._arrived_s >= 0 and (leg.way.loss or leg.way.corrupt):  # losses have kept it small
            self.window = min(self.window, max(INITIAL_WINDOW, 1 / _event_rate(leg)))
        halvings = max(0, math.ceil((at_s - self.last_sent_s) / _timeout_s(leg)) - 1)
        self.window = max(min(self.window, INITIAL_WINDOW), self.window / 2.0 ** min(halvings, 60))
        self._clear_s, self._stream_bytes, self._first_window = at_s, 0.0, self.window
        empty = math.ceil(n_bytes / MSS_BYTES) - n_bytes / MSS_BYTES
        return empty * (FRAME_BYTES - MSS_BYTES) * MSS_BYTES / FRAME_BYTES

    def _send(self, n_bytes: float) -> list[_Piece]:
        """Let so many bytes leave behind what was sent before, as window, rate and outages allow."""
        pieces: list[_Piece] = []
        at_s, done = self._clear_s, 0.0
        while n_bytes - done > _SOME or not pieces:
            leg = self.course.at(at_s)
            if leg.is_outage:
                at_s = self._outage(leg, at_s)
                continue
            self._acknowledge(at_s)
            byte_s = 8 / leg.way.rate_bps
            room = self._room(leg, byte_s)
            if room <= _SOME and n_bytes > 0:
                at_s = self._acks[0][0]
                continue
            free = (leg.until_s - at_s) / byte_s
            n = min(n_bytes - done, room, free)
            late_s = lateness_s(leg.way, math.ceil(n / MSS_BYTES)) if leg.way.jitter_s else 0.0
            pieces.append(_Piece(done, done + n, at_s, byte_s, leg.way.delay_s + late_s))
            self._acks.append((at_s + leg.rtt_s + MSS_BYTES * byte_s + 2 * late_s, n))
            self._in_flight += n
            self._peak = max(self._peak, self._in_flight)
            at_s, done = leg.until_s if n == free else at_s + n * byte_s, done + n
        self._clear_s = at_s
        return pieces

    def _room(self, leg: Leg, byte_s: float) -> float:
        """Bytes that the window lets go now; no limit once it fills the path."""
        window = self.window * MSS_BYTES
        return math.inf if window * byte_s >= leg.rtt_s + MSS_BYTES * byte_s else window - self._in_flight

    def _acknowledge(self, now_s: float) -> None:
        while self._acks and self._acks[0][0] <= now_s:
            n_bytes = self._acks.popleft()[1]
            grown = min(self.window + n_bytes / MSS_BYTES, 2 * self._peak / MSS_BYTES)
            self.window = max(self.window, grown)
            self._in_flight -= n_bytes
        if not self._acks:
            self._in_flight = self._peak = 0.0

    def _outage(self, leg: Leg, at_s: float) -> float:
        """When it goes on."""
        if leg.until_s == math.inf:
            raise LinkError(
                "nothing arrives in an outage that does not end: resume() or change() the link first"
            )
        self.window = 1.0
        self._acks.clear()
        self._in_flight = self._peak = 0.0
        return next_retransmission_s(at_s, _timeout_s(leg), leg.until_s)


def _when(ends: Sequence[float], pieces: Sequence[_Piece]) -> list[float]:
    """When what ends at these bytes has arrived."""
    found: list[float] = []
    for piece in pieces:
        stop = bisect_right(ends, piece.end + 2 * _SOME, len(found))
        base_s, byte_s = piece.at_s - piece.first * piece.byte_s + piece.delay_s, piece.byte_s
        found += [base_s + end * byte_s for end in ends[len(found) : stop]]
    return found


def _recovery_s(ends: Sequence[float], before_bytes: float, leg: Leg, first_window: float) -> list[float]:
    """What losses add, on average, until these bytes of a stream have left."""
    loss, rtt_s = _event_rate(leg), leg.rtt_s
    log_kept, exp, late_s = math.log1p(-loss), math.exp, []
    last_s = loss * (rtt_s + MIN_RTO_S)
    epochs = _epochs(leg, loss, first_window)
    end_of_epoch, begin, begin_s, slower_s = next(epochs)
    for end in ends:
        segments = -(-(before_bytes + end) // MSS_BYTES)
        # 1. Without a loss yet: expected segments up to and with the first lost one (Cardwell et al., eq. 5).
        rest = segments - min(segments, (1 - exp(segments * log_kept)) * (1 - loss) / loss + 1)
        # 2. Noticing it: a segment behind it tells in a round trip (RFC 8985), the last one takes a timeout.
        noticed_s = (1 - exp((segments - 1) * log_kept)) * rtt_s + last_s
        # 3. The rest at the rates that one loss after another leaves.
        while rest > end_of_epoch:
            end_of_epoch, begin, begin_s, slower_s = next(epochs)
        late_s.append(noticed_s + begin_s + (rest - begin) * slower_s)
    return late_s


def _epochs(leg: Leg, loss: float, first_window: float) -> Iterator[tuple[float, float, float, float]]:
    """From loss to loss, after the first: the segments where it ends and begins, what the ones before it have
    taken more than the line takes, and what each of its own does, in seconds."""
    line_s = MSS_BYTES * 8 / leg.way.rate_bps
    rtt_s = max(leg.rtt_s, 1e-6)
    steady_s = MSS_BYTES * 8 / _lossy_bps(rtt_s, rtt_s + MIN_RTO_S, loss)
    window = _BETA * max(1.0, min(first_window + 1 / loss, 1 + rtt_s / line_s))
    begin = begin_s = 0.0
    while rtt_s / window < steady_s:
        slower_s = max(0.0, rtt_s / window - line_s)
        yield begin + 1 / loss, begin, begin_s, slower_s
        begin, begin_s, window = begin + 1 / loss, begin_s + slower_s / loss, window * _BETA
    yield math.inf, begin, begin_s, max(0.0, steady_s - line_s)


def _event_rate(leg: Leg) -> float:
    """Loss events per packet: a burst is one, and a packet that fails its checksum is lost."""
    return leg.way.loss / leg.way.loss_burst + (1 - leg.way.loss) * leg.way.corrupt


def _timeout_s(leg: Leg) -> float:
    return leg.rtt_s + MSS_BYTES * 8 / leg.way.rate_bps + MIN_RTO_S


def _lossy_bps(rtt_s: float, timeout_s: float, loss: float) -> float:
    """Steady rate under random loss: RFC 5348 section 3.1 with b = 1, or RFC 9438 figure 5 where larger."""
    timeouts = min(1.0, 3 * (3 * loss / 8) ** 0.5) * loss * (1 + 32 * loss**2)
    reno = 1 / (rtt_s * (2 * loss / 3) ** 0.5 + timeout_s * timeouts)
    cubic = 1.054 * rtt_s**-0.25 / loss**0.75
    return max(reno, cubic) * MSS_BYTES * 8
