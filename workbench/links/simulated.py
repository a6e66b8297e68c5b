"""A path that is computed: nothing is sent, and time is its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from workbench.errors import LinkError
from workbench.links.base import Direction, Link, LinkStats
from workbench.links.course import Course
from workbench.links.events import PacketFlow
from workbench.links.tcp import TcpFlow, tcp_transfer_s
from workbench.links.traces import LinkTrace
from workbench.links.verify import Check, Tolerance, Verification
from workbench.profiles import LinkProfile

__all__ = ["SimulatedLink"]

_WAYS: tuple[Direction, Direction] = ("up", "down")
_NOT_REPRODUCED = (("reorder", "reordering", "reorders"), ("duplicate", "duplication", "duplicates"))
_SMALL_FRAME_BITS = 67 * 8  # one byte over TCP on an Ethernet line
_LONG_S = 100.0  # of a transfer that shows a path's rate: slow start does not count in it


class SimulatedLink(Link):
    """A path that is computed, on a clock of its own: transfers follow one another, ``wait`` lets time pass.

    One connection. Every number it gives is modelled: on average, or with ``packets`` packet by packet, which
    takes some ten microseconds for each and gives one of the possible outcomes, chosen by ``seed``.
    """

    kind = "simulated"
    models: tuple[str, ...] = (
        "delay",
        "bandwidth",
        "TCP slow start",
        "idle restart",
        "loss on average",
        "outages, in which packets are lost",
    )
    omits: tuple[str, ...] = (
        "jitter (its mean is zero)",
        "losses one by one",
        "reordering, duplication",
        "queue overflow",
        "other traffic",
    )

    def __init__(self, profile: LinkProfile, *, packets: bool = False, seed: int = 0) -> None:
        self._profile, self._now_s, self._closed = profile, 0.0, False
        self._flows: dict[Direction, TcpFlow | PacketFlow] = {
            way: PacketFlow(profile, way, seed=seed) if packets else TcpFlow(profile, way) for way in _WAYS
        }
        if packets:
            self.models = PacketFlow.models
            self.omits = PacketFlow.omits
        self._bytes = dict.fromkeys(_WAYS, 0)
        self._followed: tuple[LinkTrace, bool, float] | None = None  # with whether it loops and when it began
        self._paused = False

    @property
    def profile(self) -> LinkProfile:
        if self._followed is None:
            return self._profile
        trace, loop, started_s = self._followed
        return trace.profile_at(self._profile, self._now_s - started_s, loop=loop)

    @property
    def notes(self) -> tuple[str, ...]:
        name = repr(self._profile.name)
        return tuple(
            f"a simulated link {verb} nothing: the {share:.2%} {noun} of {name} is not reproduced"
            for key, noun, verb in _NOT_REPRODUCED
            if (share := max(getattr(self._profile.way(way), key) for way in _WAYS))
        )

    @property
    def now_s(self) -> float:
        """The link's clock."""
        return self._now_s

    # ---- shaping it

    def change(self, profile: LinkProfile) -> None:
        self._check_open()
        self._profile, self._followed, self._paused = profile, None, False
        self._set({way: Course(profile, way) for way in _WAYS})

    def follow(self, trace: LinkTrace, *, loop: bool = False) -> None:
        self._check_open()
        started_s = self._now_s
        courses = {way: Course(self._profile, way, trace, loop=loop, started_s=started_s) for way in _WAYS}
        self._followed, self._paused = (trace, loop, started_s), False
        self._set(courses)

    def pause(self) -> None:
        """An outage until ``resume``: time passes with ``wait``, and a transfer would never end."""
        self._check_open()
        self._profile, self._followed, self._paused = self.profile, None, True
        self._set({way: Course(self._profile, way, is_outage=True) for way in _WAYS})

    def resume(self) -> None:
        """End an outage that ``pause`` began; one of a trace ends as the trace says."""
        self._check_open()
        if self._paused:
            self.change(self._profile)

    def _set(self, courses: dict[Direction, Course]) -> None:
        for way, course in courses.items():
            self._flows[way].course = course

    # ---- what it does

    def wait(self, seconds: float) -> None:
        """Let time pass with nothing sent."""
        self._now_s += seconds

    def transfer_s(self, n_bytes: int, direction: Direction) -> float:
        began_s = self._now_s
        return self.transfer_many([n_bytes], direction)[0] - began_s

    def transfer_many(
        self, sizes: Sequence[int], direction: Direction, at_s: float | None = None
    ) -> list[float]:
        """When each of several messages arrives, by the link's clock: written together, one behind the other.

        The clock goes on to the last arrival, unless it is later already.

        Args:
            at_s: when they are written; now, if not given. In each direction, in order of time.

        Raises:
            LinkError: the link is closed, a message has no bytes, or an outage does not end.
        """
        self._check_open()
        if sizes and min(sizes) <= 0:
            raise LinkError(f"need at least one byte to measure a transfer, got {min(sizes)}")
        arrivals = self._flows[direction].arrivals_s(sizes, self._now_s if at_s is None else at_s)
        self._now_s = max([self._now_s, *arrivals[-1:]])
        self._bytes[direction] += sum(sizes)
        return arrivals

    def verify(self, tolerance: Tolerance | None = None) -> Verification:
        """What its arithmetic gives for the profile: round trip and rates of a lossless path, as modelled."""
        self._check_open()
        profile = self.profile
        allowed = tolerance or Tolerance()
        plain = LinkProfile(
            profile.rtt_s,
            profile.uplink_bps,
            profile.downlink_bps,
            uplink=_delay_only(profile, "up"),
            downlink=_delay_only(profile, "down"),
        )
        asked_s = profile.rtt_s + sum(_SMALL_FRAME_BITS / profile.way(way).rate_bps for way in _WAYS)
        rtt_s = sum(tcp_transfer_s(1, plain, way) for way in _WAYS)
        checks = [_check("round trip", "s", asked_s, rtt_s, allowed.rtt_share, allowed.rtt_s)]
        for way in _WAYS:
            asked_bps = profile.way(way).rate_bps
            n_bytes = math.ceil(asked_bps * _LONG_S / 8)
            took_s = tcp_transfer_s(n_bytes, plain, way, window=math.inf) - profile.way(way).delay_s
            checks.append(
                _check(f"rate {way}", "bit/s", asked_bps, n_bytes * 8 / took_s, allowed.rate_share, 0.0)
            )
        return Verification(self.kind, profile, tuple(checks), "modelled")

    def stats(self) -> LinkStats:
        return LinkStats(self._bytes["up"], self._bytes["down"])

    def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise LinkError("this link is closed: make a new one")


def _check(name: str, unit: str, asked: float, found: float, share: float, least: float) -> Check:
    return Check(name, unit, asked, found, max(share * asked, least))


def _delay_only(profile: LinkProfile, direction: Direction) -> dict[str, float]:
    own = profile.uplink if direction == "up" else profile.downlink
    return {key: value for key, value in own.items() if key == "delay_s"}
