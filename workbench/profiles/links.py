"""A network path, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from workbench.errors import ProfileError, UnknownNameError
from workbench.profiles.reading import Source, check, read, sources_of

__all__ = ["JITTER_DISTRIBUTIONS", "Direction", "LinkProfile", "OneWay"]

Direction = Literal["up", "down"]
"""``up`` is edge to cloud, ``down`` cloud to edge."""

JITTER_DISTRIBUTIONS = ("normal", "uniform", "pareto")
_FRAME_BYTES = 1514  # on an Ethernet line
_SMALLEST_QUEUE_BYTES = 64 * _FRAME_BYTES
_LARGEST_QUEUE_BYTES = 64 * 2**20
_SHARED = (
    "jitter_s",
    "jitter_distribution",
    "jitter_correlation",
    "loss",
    "loss_burst",
    "reorder",
    "duplicate",
    "corrupt",
    "queue_bytes",
)


@dataclass(frozen=True)
class OneWay:
    """One direction of a path, everything spelled out: what a link enacts."""

    rate_bps: float  # bits per second, as an application sees it
    delay_s: float
    jitter_s: float = 0.0  # standard deviation of the delay
    jitter_distribution: str = "normal"  # one of JITTER_DISTRIBUTIONS
    jitter_correlation: float = 0.0  # of a packet's delay with that of the one before, 0 to 1
    loss: float = 0.0  # share of packets lost, 0 to 1
    loss_burst: float = (
        1.0  # packets lost in a row, on average (Gilbert–Elliott); 1: independent of each other
    )
    reorder: float = 0.0  # share of packets that overtake those before them, by skipping the delay
    duplicate: float = 0.0  # share of packets that arrive twice
    corrupt: float = 0.0  # share of packets with a bit flipped, which a checksum then drops
    queue_bytes: int = 0  # what may wait at the bottleneck; LinkProfile.way fills in a default

    @property
    def gilbert_elliott(self) -> tuple[float, float]:
        """``(p, r)``: chances per packet of going from good to bad and back; in the bad state all are lost.

        ``r = 1 / burst`` and ``p = loss * r / (1 - loss)``, so that the share of time in the bad state is the
        loss. Gilbert, "Capacity of a burst-noise channel", 1960; Elliott 1963.
        """
        back = 1 / self.loss_burst
        return self.loss * back / (1 - self.loss), back


@dataclass(frozen=True)
class LinkProfile:
    """A network path between edge and cloud, as an application sees it.

    ``uplink`` and ``downlink`` say what one direction has of its own, by the field names of ``OneWay``, e.g.
    ``LinkProfile(0.05, 5e6, 20e6, uplink={"loss": 0.02, "loss_burst": 4})``.
    """

    rtt_s: float
    uplink_bps: float  # bits per second, edge to cloud
    downlink_bps: float  # bits per second, cloud to edge
    jitter_s: float = 0.0  # standard deviation of the one-way delay
    loss: float = 0.0  # share of packets lost, 0 to 1
    name: str = "custom"
    title: str = "custom"
    sources: Mapping[str, Source] = field(default_factory=dict)
    jitter_distribution: str = "normal"  # and the rest as in OneWay, for both directions
    jitter_correlation: float = 0.0
    loss_burst: float = 1.0
    reorder: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    queue_bytes: int = 0  # 0: one bandwidth-delay product of that direction, at least 64 frames
    uplink: Mapping[str, Any] = field(default_factory=dict)
    downlink: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(
            self.name,
            {"uplink_bps": self.uplink_bps, "downlink_bps": self.downlink_bps},
            {"rtt_s": self.rtt_s, "jitter_s": self.jitter_s},
        )
        for own, ways in ((self.uplink, "uplink"), (self.downlink, "downlink")):
            unknown = set(own) - {f.name for f in fields(OneWay)} | set(own) & {"rate_bps"}
            if unknown:
                known = sorted(f.name for f in fields(OneWay) if f.name != "rate_bps")
                raise ProfileError(f"{self.name!r}: {ways} cannot say {sorted(unknown)}: choose of {known}")
        if "delay_s" in self.uplink and "delay_s" in self.downlink:
            raise ProfileError(f"{self.name!r}: give delay_s for one direction, the other gets the rest")
        for direction in ("up", "down"):
            _check_way(self.name, self.way(direction))

    def way(self, direction: Direction) -> OneWay:
        """One direction, with what it has of its own."""
        rate_bps = self.uplink_bps if direction == "up" else self.downlink_bps
        own, other = (self.uplink, self.downlink) if direction == "up" else (self.downlink, self.uplink)
        shared = {key: getattr(self, key) for key in _SHARED}
        delay_s = self.rtt_s - other["delay_s"] if "delay_s" in other else self.rtt_s / 2
        way = OneWay(rate_bps=rate_bps, **{"delay_s": delay_s, **shared, **own})
        if way.queue_bytes:
            return way
        bdp_bytes = min(_LARGEST_QUEUE_BYTES, rate_bps * self.rtt_s / 8)
        return replace(way, queue_bytes=max(_SMALLEST_QUEUE_BYTES, math.ceil(bdp_bytes)))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LinkProfile:
        """Read what ``to_dict`` gave, or a file of ``data/links``.

        Raises:
            ProfileError: a field is missing, unknown or out of range.
        """
        return read(cls, data, {"sources": sources_of})


def _check_way(name: str, way: OneWay) -> None:
    check(name, {}, {"delay_s": way.delay_s, "jitter_s": way.jitter_s, "queue_bytes": way.queue_bytes})
    for key in ("jitter_correlation", "loss", "reorder", "duplicate", "corrupt"):
        if not 0 <= getattr(way, key) < 1:
            raise ProfileError(f"link {name!r}: {key} is a share from 0 to below 1, got {getattr(way, key)}")
    if not 1 <= way.loss_burst < math.inf:
        raise ProfileError(f"link {name!r}: loss_burst counts packets, 1 or more, got {way.loss_burst}")
    if way.loss_burst > 1 and way.gilbert_elliott[0] > 1:
        raise ProfileError(
            f"link {name!r}: a loss of {way.loss:g} in bursts of {way.loss_burst:g} packets cannot be: "
            "bursts have to be longer for so much loss"
        )
    if way.jitter_distribution not in JITTER_DISTRIBUTIONS:
        raise UnknownNameError("jitter distribution", way.jitter_distribution, JITTER_DISTRIBUTIONS)
    if way.reorder and not way.delay_s:
        raise ProfileError(f"link {name!r}: packets overtake others by skipping the delay, got delay_s=0")
