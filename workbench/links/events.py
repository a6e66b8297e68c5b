"""A TCP connection packet by packet: for where an average says too little. One possible outcome per seed.

The sender is Linux's, in short:

- a window of ten segments at first (RFC 6928), halved per timeout of idleness (RFC 2861); slow start, which
  ends when round trips grow or acknowledgements come for half a round trip on end (HyStart: Ha and Rhee,
  "Taming the elephants", 2011); then CUBIC (RFC 9438)
- a packet counts as lost when one sent after it was acknowledged (RFC 8985, on a path that keeps the order)
  and is sent again at once; the window shrinks once per round trip (RFC 6582)
- two round trips without an answer: the last packet is sent again as a probe (RFC 8985); a timeout after that
  begins from one segment, and doubles (RFC 6298)

The path is a first-in first-out queue before a line, which drops what does not fit, then losses, delay and
jitter that keeps the order. Acknowledgements are never lost, and there is one for each packet.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.errors import LinkError
from workbench.links.base import Direction, Flow
from workbench.links.course import Course, Leg
from workbench.links.jitter import Jitter, Loss
from workbench.links.tcp import FRAME_BYTES, INITIAL_WINDOW, MIN_RTO_S, MSS_BYTES
from workbench.profiles import LinkProfile

__all__ = ["PacketFlow"]

_HEADER_BYTES = FRAME_BYTES - MSS_BYTES
_MOST_BACKOFF = 2.0**9
_BETA, _C = 0.7, 0.4  # CUBIC's
_FRIENDLY = 3 * (1 - _BETA) / (1 + _BETA)  # segments per round trip: RFC 9438, section 4.3
_LEAST_GROWTH = 0.05  # segments per acknowledgement while no loss has told what the path holds: Linux's
_TRAIN_S = 2e-3  # acknowledgements closer than this belong together (HyStart)
_LEAST_RISE_S, _MOST_RISE_S = 4e-3, 16e-3  # of the round trip (HyStart)
_HYSTART_WINDOW, _HYSTART_SAMPLES = 16.0, 8


@dataclass
class _Packet:
    end: int  # bytes of the stream up to its end
    n_bytes: int
    sent_s: float = 0.0
    turn: int = 0  # how many packets had been sent before it, those sent again included
    again: bool = False
    lost: bool = False


@dataclass
class _Window:
    """CUBIC with HyStart. In segments."""

    least_rtt_s: float
    segments: float = INITIAL_WINDOW
    threshold: float = math.inf  # of slow start
    most: float = 0.0  # before the last loss
    epoch_s: float = math.nan  # when growth began anew
    origin: float = 0.0
    plateau_s: float = 0.0  # from the epoch on, until ``origin`` is reached again
    friendly: float = 0.0  # what Reno's window would be
    round_end: int = 0  # number of the packet whose acknowledgement begins the next round trip
    round_s: float = 0.0
    train_s: float = 0.0  # last acknowledgement of an unbroken train
    round_rtt_s: float = math.inf
    samples: int = 0

    def grow(
        self, now_s: float, number: int, next_number: int, rtt_s: float | None, *, is_limit: bool
    ) -> None:
        """One packet was acknowledged."""
        if number >= self.round_end:
            self.round_end, self.round_s, self.train_s = next_number, now_s, now_s
            self.round_rtt_s, self.samples = math.inf, 0
        if rtt_s is not None:
            self.least_rtt_s = min(self.least_rtt_s, rtt_s)
            self.round_rtt_s, self.samples = min(self.round_rtt_s, rtt_s), self.samples + 1
        if self.segments < self.threshold:
            self.segments += is_limit
            if self.segments >= _HYSTART_WINDOW and self._is_full(now_s):
                self.threshold = self.segments
        elif is_limit:
            self._avoid(now_s)

    def shrink(self) -> None:
        """A loss that later packets told of."""
        self.most = self.segments * (1 + _BETA) / 2 if self.segments < self.most else self.segments
        self.segments = self.threshold = max(2.0, self.segments * _BETA)
        self.epoch_s = math.nan

    def collapse(self) -> None:
        """A timeout."""
        self.shrink()
        self.segments = 1.0

    def rest(self, idle_s: float, timeout_s: float) -> None:
        """Nothing was sent for a while."""
        halvings = max(0, math.ceil(idle_s / timeout_s) - 1)
        rested = self.segments / 2.0 ** min(halvings, 60)
        if halvings and self.threshold < math.inf:
            self.threshold = max(self.threshold, 0.75 * self.segments)
        self.segments = max(min(self.segments, INITIAL_WINDOW), rested)
        self.epoch_s = math.nan if halvings else self.epoch_s

    def _is_full(self, now_s: float) -> bool:
        if now_s - self.train_s <= _TRAIN_S:
            self.train_s = now_s
            if now_s - self.round_s > self.least_rtt_s / 2:
                return True
        rise_s = min(max(self.least_rtt_s / 8, _LEAST_RISE_S), _MOST_RISE_S)
        return self.samples >= _HYSTART_SAMPLES and self.round_rtt_s >= self.least_rtt_s + rise_s

    def _avoid(self, now_s: float) -> None:
        if math.isnan(self.epoch_s):
            self.epoch_s, self.friendly = now_s, self.segments
            self.origin = max(self.segments, self.most)
            self.plateau_s = math.cbrt((self.origin - self.segments) / _C)
        self.friendly += _FRIENDLY / self.segments
        since_s = now_s - self.epoch_s + self.least_rtt_s
        target = max(self.origin + _C * (since_s - self.plateau_s) ** 3, self.friendly)
        least = _LEAST_GROWTH if self.most == 0 else 0.0
        self.segments += max(least, (min(target, 1.5 * self.segments) - self.segments) / self.segments)


class PacketFlow(Flow):
    """One direction of a connection over time, simulated event by event.

    Messages that are written before those before them have arrived count as written when those have.
    """

    models = (
        "delay",
        "bandwidth",
        "jitter without reordering",
        "random and burst loss, one by one",
        "queue overflow",
        "TCP slow start",
        "idle restart",
        "TCP recovery",
        "outages, in which packets are lost",
    )
    omits = ("reordering, duplication", "lost or delayed acknowledgements", "other traffic")

    def __init__(self, profile: LinkProfile, direction: Direction, *, seed: int = 0) -> None:
        self.course = Course(profile, direction)  # may be replaced as the path changes
        dice = random.Random(f"{seed} {direction}")
        self._jitter, self._loss = Jitter(dice), Loss(dice)
        self._now_s = 0.0
        self._events: list[tuple[float, int, bool, int]] = []  # when, turn, whether it is an answer, packet
        # the path
        self._free_s = 0.0  # when all that was sent has left the queue
        self._queue: deque[tuple[float, int]] = deque()  # when a frame leaves it, and its bytes
        self._queued_bytes = 0
        self._last_s = 0.0  # when the last packet arrives
        # the receiver
        self._expected = 0  # number
        self._early: dict[int, int] = {}  # packets that wait for one before them: number and end
        self._message_ends: deque[int] = deque()
        self._arrivals: list[float] = []
        # the sender
        self._written, self._sliced = 0, 0  # bytes
        self._packets: dict[int, _Packet] = {}  # not acknowledged, by number
        self._numbers, self._turns = 0, 0  # how many there have been
        self._flying: deque[tuple[int, int]] = deque()  # turns and numbers
        self._again: deque[int] = deque()  # numbers of lost packets
        self._in_flight = 0
        self._sent_s = 0.0
        self._was_full, self._most, self._use_ends_at = False, 0, 0
        self._recovers_at, self._grows_at = 0, 0  # numbers: of a loss that is news, of growth after one
        self._timer_s, self._may_probe, self._is_probe = math.inf, True, False
        rtt_s = self.course.at(0.0).rtt_s  # as the handshake has measured it
        self._window = _Window(rtt_s)
        self._smooth_rtt_s, self._rtt_deviation_s, self._backoff = rtt_s, rtt_s / 2, 1.0

    def transfer_s(self, n_bytes: int, at_s: float) -> float:
        return self.arrivals_s((n_bytes,), at_s)[0] - at_s

    def arrivals_s(self, sizes: Sequence[int], at_s: float) -> list[float]:
        """When each of several messages, written together at ``at_s``, has arrived whole.

        Raises:
            LinkError: an outage that does not end.
        """
        _check_that_it_ends(self.course.at(at_s))
        while min(self._next_s(), self._timer_s) <= at_s:
            self._step()
        self._now_s = max(self._now_s, at_s)
        if not self._packets:
            self._window.rest(self._now_s - self._sent_s, self._timeout_s())
        for n_bytes in sizes:
            self._written += n_bytes
            self._message_ends.append(self._written)
        self._arrivals = []
        self._send()
        while self._message_ends:
            self._step()
        return self._arrivals[len(self._arrivals) - len(sizes) :]

    def _next_s(self) -> float:
        return self._events[0][0] if self._events else math.inf

    def _step(self) -> None:
        """The next thing that happens."""
        if self._timer_s < self._next_s():
            self._now_s = self._timer_s
            self._time_out()
            return
        self._now_s, turn, is_answer, number = heapq.heappop(self._events)
        if is_answer:
            self._acknowledge(number, turn)
        else:
            self._arrive(number, turn)

    # ---- the path and the receiver

    def _transmit(self, number: int, packet: _Packet) -> None:
        self._turns += 1
        packet.sent_s, packet.turn, packet.lost = self._now_s, self._turns, False
        self._flying.append((self._turns, number))
        self._in_flight += 1
        self._sent_s = self._now_s
        leaves_s = self._leaves_s(packet.n_bytes + _HEADER_BYTES)
        if leaves_s is not None:
            way = self.course.at(leaves_s).way
            drawn = (
                self._jitter.draw(way.jitter_distribution, way.jitter_correlation) if way.jitter_s else 0.0
            )
            arrives_s = leaves_s + way.delay_s + max(-way.delay_s, drawn * way.jitter_s)
            self._last_s = max(self._last_s, arrives_s)
            heapq.heappush(self._events, (self._last_s, self._turns, False, number))

    def _leaves_s(self, frame_bytes: int) -> float | None:
        """When a frame that is sent now has left the queue before the line; None if it is lost."""
        leg = self.course.at(self._now_s)
        way = leg.way
        _check_that_it_ends(leg)
        while self._queue and self._queue[0][0] <= self._now_s:
            self._queued_bytes -= self._queue.popleft()[1]
        is_full = bool(self._queue) and self._queued_bytes + frame_bytes > way.queue_bytes
        if leg.is_outage or is_full or self._loss.draw(way):
            return None
        n_bits = frame_bytes * 8 * MSS_BYTES / FRAME_BYTES
        self._free_s = self.course.leaves_s(max(self._now_s, self._free_s), n_bits)
        self._queue.append((self._free_s, frame_bytes))
        self._queued_bytes += frame_bytes
        return self._free_s if self._free_s < math.inf else None

    def _arrive(self, number: int, turn: int) -> None:
        leg = self.course.at(self._now_s)
        heapq.heappush(self._events, (self._now_s + leg.rtt_s - leg.way.delay_s, turn, True, number))
        packet = self._packets.get(number)
        if packet is not None and number >= self._expected:
            self._early[number] = packet.end
        while self._expected in self._early:
            end = self._early.pop(self._expected)
            self._expected += 1
            while self._message_ends and self._message_ends[0] <= end:
                self._message_ends.popleft()
                self._arrivals.append(self._now_s)

    # ---- the sender

    def _send(self) -> None:
        while self._in_flight < int(self._window.segments):
            while self._again and self._again[0] not in self._packets:
                self._again.popleft()
            if self._again:
                number = self._again.popleft()
                self._packets[number].again = True
            elif self._sliced < self._written:
                number = self._slice()
            else:
                break
            self._transmit(number, self._packets[number])
        self._note_use()
        self._arm()

    def _note_use(self) -> None:
        """Whether the window was a limit in this round trip, and how much of it was used (RFC 7661)."""
        is_full = self._in_flight >= int(self._window.segments)
        oldest = next(iter(self._packets), self._numbers)
        if oldest >= self._use_ends_at or is_full or (not self._was_full and self._in_flight > self._most):
            self._was_full, self._most, self._use_ends_at = is_full, self._in_flight, self._numbers

    def _slice(self) -> int:
        """Make a packet of what was written; returns its number."""
        n_bytes = min(MSS_BYTES, self._written - self._sliced)
        self._sliced += n_bytes
        self._packets[self._numbers] = _Packet(self._sliced, n_bytes)
        self._numbers += 1
        return self._numbers - 1

    def _acknowledge(self, number: int, turn: int) -> None:
        packet = self._packets.pop(number, None)
        if packet is None:
            return
        is_limit = self._was_full or self._window.segments < min(2 * self._most, self._window.threshold)
        self._in_flight -= not packet.lost
        self._backoff, self._may_probe = 1.0, True
        rtt_s = None if packet.again else self._now_s - packet.sent_s
        if rtt_s is not None:
            self._sample(rtt_s)
        newly_lost = self._lost_before(turn)
        if any(lost >= self._recovers_at for lost in newly_lost):
            self._window.shrink()
            self._recovers_at = self._grows_at = self._numbers
        elif number >= self._grows_at:
            self._window.grow(self._now_s, number, self._numbers, rtt_s, is_limit=is_limit)
        self._again.extend(newly_lost)
        self._send()

    def _lost_before(self, turn: int) -> list[int]:
        """Packets sent before that turn and not acknowledged. A path that keeps the order has lost them."""
        found = []
        while self._flying and self._flying[0][0] < turn:
            sent_turn, number = self._flying.popleft()
            packet = self._packets.get(number)
            if packet is not None and packet.turn == sent_turn and not packet.lost:
                packet.lost = True
                self._in_flight -= 1
                found.append(number)
        return found

    def _sample(self, rtt_s: float) -> None:
        """RFC 6298, section 2."""
        self._rtt_deviation_s += (abs(self._smooth_rtt_s - rtt_s) - self._rtt_deviation_s) / 4
        self._smooth_rtt_s += (rtt_s - self._smooth_rtt_s) / 8

    def _timeout_s(self) -> float:
        return self._backoff * (self._smooth_rtt_s + max(MIN_RTO_S, 4 * self._rtt_deviation_s))

    def _arm(self) -> None:
        if not self._packets:
            self._timer_s = math.inf
            return
        probe_s = 2 * self._smooth_rtt_s + (MIN_RTO_S if len(self._packets) == 1 else 0.0)
        self._is_probe = self._may_probe and probe_s < self._timeout_s()
        self._timer_s = self._now_s + (probe_s if self._is_probe else self._timeout_s())

    def _time_out(self) -> None:
        if self._is_probe:
            self._may_probe = False
            last = max(self._packets)
            self._in_flight -= not self._packets[last].lost
            self._packets[last].again = True
            self._transmit(last, self._packets[last])
            self._arm()
            return
        for packet in self._packets.values():
            packet.lost = True
        self._again = deque(sorted(self._packets))
        self._flying.clear()
        self._in_flight, self._may_probe = 0, False
        self._window.collapse()
        self._backoff = min(2 * self._backoff, _MOST_BACKOFF)
        self._recovers_at, self._grows_at = self._numbers, 0
        self._send()


def _check_that_it_ends(leg: Leg) -> None:
    if leg.is_outage and leg.until_s == math.inf:
        raise LinkError("nothing arrives in an outage that does not end: resume() or change() the link first")
