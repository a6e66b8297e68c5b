"""A TCP connection as arithmetic: what a transfer takes, without sending anything. Microseconds to compute.

What it follows:

- slow start from an initial window of ten segments (RFC 6928), doubling every round trip until the path is
  full; the window is not limited after that
- a window that shrinks on an idle connection (RFC 2861, as Linux does it: halved per retransmission timeout)
- random loss: the expected recovery within a short transfer (Cardwell, Savage, Anderson, "Modeling TCP
  latency", 2000), and for the rest of a long one the larger of the throughput equation of RFC 5348
  (Padhye et al., 1998) and CUBIC's response function (RFC 9438)

Rates are what an application gets: ``goodput_bps`` turns the rate of a line into that.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from workbench.errors import LinkError
from workbench.links.base import Direction, Flow, Link, LinkStats
from workbench.profiles import LinkProfile

__all__ = ["INITIAL_WINDOW", "MSS_BYTES", "SimulatedLink", "TcpFlow", "goodput_bps", "tcp_transfer_s"]

MSS_BYTES = 1448
"""Payload of a segment: an Ethernet frame less IP and TCP headers with timestamps."""
INITIAL_WINDOW = 10.0
"""Segments (RFC 6928)."""

_FRAME_BYTES = 1514  # what a segment of MSS_BYTES takes on an Ethernet line
_MIN_RTO_S = 0.2  # Linux adds at least this to the round trip
_TELLING = 3  # segments behind a lost one that reveal it without a timeout


def goodput_bps(line_bps: float) -> float:
    """What an application gets of a line's rate, after Ethernet, IP and TCP headers."""
    return line_bps * MSS_BYTES / _FRAME_BYTES


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
    rate_bps = profile.uplink_bps if direction == "up" else profile.downlink_bps
    delay_s = profile.rtt_s / 2
    if not slow_start:
        return delay_s + n_bytes * 8 / rate_bps
    if profile.loss == 0:
        return delay_s + _send_s(n_bytes, rate_bps, profile.rtt_s, window)
    return delay_s + _lossy_s(n_bytes, rate_bps, profile.rtt_s, window, profile.loss)


def _send_s(n_bytes: float, rate_bps: float, rtt_s: float, window: float) -> float:
    """Until the last byte has left, without loss: rounds that wait for their answer, then the line rate."""
    left = n_bytes / MSS_BYTES
    segment_s = MSS_BYTES * 8 / rate_bps
    round_s = rtt_s + segment_s  # until the first segment of a round is acknowledged
    waited_s = 0.0
    while left > window and window * segment_s < round_s:
        waited_s += round_s
        left -= window
        window *= 2
    return waited_s + left * segment_s


def _lossy_s(n_bytes: int, rate_bps: float, rtt_s: float, window: float, loss: float) -> float:
    segments = -(-n_bytes // MSS_BYTES)
    spared = (1 - loss) ** segments
    # 1. Without a loss yet: expected segments up to and with the first lost one (Cardwell et al., eq. 5).
    before = min(float(segments), (1 - spared) * (1 - loss) / loss + 1)
    sent_s = _send_s(min(n_bytes, before * MSS_BYTES), rate_bps, rtt_s, window)
    # 2. Noticing it: three segments behind a lost one tell in a round trip, the last ones take a timeout.
    timeout_s = rtt_s + _MIN_RTO_S
    tail = min(segments, _TELLING)
    noticed_s = (1 - (1 - loss) ** (segments - tail)) * rtt_s + (1 - (1 - loss) ** tail) * timeout_s
    # 3. The rest at the rate that loss leaves.
    rest_s = (segments - before) * MSS_BYTES * 8 / min(rate_bps, _lossy_bps(rtt_s, timeout_s, loss))
    return max(sent_s + noticed_s + rest_s, _send_s(n_bytes, rate_bps, rtt_s, window))


def _lossy_bps(rtt_s: float, timeout_s: float, loss: float) -> float:
    """Steady rate under random loss: RFC 5348 section 3.1 with b = 1, or RFC 9438 figure 5 where larger."""
    rtt_s = max(rtt_s, 1e-6)
    timeouts = min(1.0, 3 * (3 * loss / 8) ** 0.5) * loss * (1 + 32 * loss**2)
    reno = 1 / (rtt_s * (2 * loss / 3) ** 0.5 + timeout_s * timeouts)
    cubic = 1.054 * rtt_s**-0.25 / loss**0.75
    return max(reno, cubic) * MSS_BYTES * 8


@dataclass
class TcpFlow(Flow):
    """One direction of a connection over time: its window grows with use and shrinks when idle."""

    profile: LinkProfile
    direction: Direction
    window: float = INITIAL_WINDOW
    last_sent_s: float = 0.0

    def transfer_s(self, n_bytes: int, at_s: float) -> float:
        window = self._window_at(at_s)
        took_s = tcp_transfer_s(n_bytes, self.profile, self.direction, window=window)
        segments = -(-n_bytes // MSS_BYTES)
        # The window grows by what is acknowledged, and only as far as it was needed (RFC 7661).
        self.window = max(window, min(window + segments, 2.0 * segments))
        if self.profile.loss > 0:
            self.window = min(self.window, max(INITIAL_WINDOW, 1 / self.profile.loss))
        self.last_sent_s = max(self.last_sent_s, at_s + took_s - self.profile.rtt_s / 2)
        return took_s

    def _window_at(self, at_s: float) -> float:
        rate_bps = self.profile.uplink_bps if self.direction == "up" else self.profile.downlink_bps
        timeout_s = self.profile.rtt_s + MSS_BYTES * 8 / rate_bps + _MIN_RTO_S
        halvings = max(0, ceil((at_s - self.last_sent_s) / timeout_s) - 1)
        return max(min(self.window, INITIAL_WINDOW), self.window / 2.0 ** min(halvings, 60))


class SimulatedLink(Link):
    """A path that is computed, on a clock of its own: transfers follow one another, ``wait`` lets time pass.

    One connection, one transfer at a time. Every number it gives is modelled.
    """

    kind = "simulated"
    models = ("delay", "bandwidth", "TCP slow start", "idle restart", "loss on average")
    omits = ("jitter (its mean is zero)", "losses one by one", "queue overflow", "other traffic")

    def __init__(self, profile: LinkProfile) -> None:
        self._profile, self._now_s, self._closed = profile, 0.0, False
        self._flows = {way: TcpFlow(profile, way) for way in _WAYS}
        self._bytes = dict.fromkeys(_WAYS, 0)

    @property
    def profile(self) -> LinkProfile:
        return self._profile

    @property
    def now_s(self) -> float:
        """The link's clock."""
        return self._now_s

    def change(self, profile: LinkProfile) -> None:
        self._check_open()
        self._profile = profile
        for flow in self._flows.values():
            flow.profile = profile

    def wait(self, seconds: float) -> None:
        """Let time pass with nothing sent."""
        self._now_s += seconds

    def transfer_s(self, n_bytes: int, direction: Direction) -> float:
        self._check_open()
        took_s = self._flows[direction].transfer_s(n_bytes, self._now_s)
        self._now_s += took_s
        self._bytes[direction] += n_bytes
        return took_s

    def stats(self) -> LinkStats:
        return LinkStats(self._bytes["up"], self._bytes["down"])

    def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise LinkError("this link is closed: make a new one")


_WAYS: tuple[Direction, Direction] = ("up", "down")
