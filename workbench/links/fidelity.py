"""How close a link comes to what it is asked for: the same transfers over every kind, to set side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

from workbench.links.base import Direction, Link
from workbench.links.measure import transfer_s
from workbench.links.simulated import SimulatedLink
from workbench.profiles import LinkProfile
from workbench.trace import Label

__all__ = ["SIZES", "Transfer", "asked_s", "transfers"]

SIZES = (1, 4096, 100_000, 1_000_000)
"""Bytes: a token, a boundary activation of one token, of a short prompt, and of a long one."""

_WARM_AFTER = 2  # messages of that size on one connection
_LONG_S, _VERY_LONG_S = 0.5, 3.0  # what takes longer is repeated less often, and then not at all


Connection = Literal["cold", "warm"]
_CONNECTIONS: tuple[tuple[Connection, int], ...] = (("cold", 0), ("warm", -1))  # with the message that counts


@dataclass(frozen=True)
class Transfer:
    """What messages of one size take over one kind of link."""

    profile: str
    kind: str
    direction: Direction
    n_bytes: int
    connection: Connection  # the first message, or the one after two others of its size
    seconds: float  # median
    asked_s: float  # half a round trip and the bits at the profile's rate
    repeats: int
    label: Label  # "modelled" where nothing was sent

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def asked_s(profile: LinkProfile, direction: Direction, n_bytes: int) -> float:
    """What delay and rate alone make of a message: no connection is faster."""
    way = profile.way(direction)
    return way.delay_s + n_bytes * 8 / way.rate_bps


def transfers(link: Link, sizes: Sequence[int] = SIZES, *, repeats: int = 5) -> Iterator[Transfer]:
    """Send messages of each size each way, each time over a connection of its own.

    Args:
        repeats: of each case, fewer where one takes seconds.

    Raises:
        LinkError: the path broke.
    """
    for direction in ("up", "down"):
        for n_bytes in sizes:
            ideal_s = asked_s(link.profile, direction, n_bytes)
            times = _times(ideal_s, repeats)
            runs = [_messages(link, direction, n_bytes, turn) for turn in range(times)]
            for connection, index in _CONNECTIONS:
                yield Transfer(
                    link.profile.name,
                    link.kind,
                    direction,
                    n_bytes,
                    connection,
                    median(run[index] for run in runs),
                    ideal_s,
                    len(runs),
                    "modelled" if isinstance(link, SimulatedLink) else "measured",
                )


def _times(ideal_s: float, repeats: int) -> int:
    if ideal_s > _VERY_LONG_S:
        return 1
    return max(1, repeats // 3) if ideal_s > _LONG_S else repeats


def _messages(link: Link, direction: Direction, n_bytes: int, turn: int) -> list[float]:
    """Seconds of messages that follow each other on a fresh connection.

    A simulated one goes packet by packet where each connection is another draw: with jitter or loss.
    """
    count = _WARM_AFTER + 1
    if isinstance(link, SimulatedLink):
        way = link.profile.way(direction)
        is_random = bool(way.jitter_s or way.loss or way.corrupt)
        with SimulatedLink(link.profile, packets=is_random, seed=turn) as fresh:
            return [fresh.transfer_s(n_bytes, direction) for _ in range(count)]
    with ExitStack() as stack:
        edge, cloud = (stack.enter_context(end) for end in link.connect())
        ends = (edge, cloud) if direction == "up" else (cloud, edge)
        return [transfer_s(*ends, n_bytes) for _ in range(count)]
