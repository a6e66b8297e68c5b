"""Devices in a row, the user's first, and the links between neighbours: edge and cloud, or more of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from workbench.errors import PlanError
from workbench.links.base import Direction
from workbench.plan import CLOUD, EDGE
from workbench.profiles import DeviceProfile, LinkProfile

__all__ = ["Chain"]


@dataclass(frozen=True)
class Chain:
    """What a request may use. The user sits at the first place; messages pass each link between two places.

    A device that nothing runs on may be missing, so that edge-only needs no cloud.
    """

    places: tuple[str, ...]  # from the user outward
    devices: Mapping[str, DeviceProfile]
    links: tuple[LinkProfile, ...]  # links[i] joins places[i], the nearer to the user, and places[i + 1]

    def __post_init__(self) -> None:
        if len(set(self.places)) != len(self.places) or not self.places:
            raise PlanError(f"a chain names each of its places once: got {self.places}")
        if len(self.links) != len(self.places) - 1:
            raise PlanError(
                f"{len(self.places)} places {self.places} need {len(self.places) - 1} links between "
                f"neighbours: got {len(self.links)}"
            )

    @classmethod
    def of(cls, devices: Mapping[str, DeviceProfile], link: LinkProfile | Sequence[LinkProfile]) -> Chain:
        """Edge and cloud for one link; for several, the devices in the order of their mapping.

        Raises:
            PlanError: links and devices do not fit each other.
        """
        if not isinstance(link, LinkProfile):
            return cls(tuple(devices), devices, tuple(link))
        if strange := [place for place in devices if place not in (EDGE, CLOUD)]:
            raise PlanError(
                f"one link joins {EDGE!r} and {CLOUD!r}: for {strange} give one link per neighbour"
            )
        return cls((EDGE, CLOUD), devices, (link,))

    @property
    def user(self) -> str:
        """Where the user sits: prompts begin and tokens end there."""
        return self.places[0]

    def hops(self, sender: str, receiver: str) -> tuple[tuple[int, Direction], ...]:
        """The links that a message passes, in order, and which way."""
        start, stop = self.places.index(sender), self.places.index(receiver)
        if start <= stop:
            return tuple((i, "up") for i in range(start, stop))
        return tuple((i, "down") for i in range(start - 1, stop - 1, -1))

    def passed(self, sender: str, receiver: str) -> Iterator[tuple[str, str]]:
        """The neighbours between which a message passes, in order."""
        start, stop = self.places.index(sender), self.places.index(receiver)
        step = 1 if start <= stop else -1
        yield from pairwise(self.places[i] for i in range(start, stop + step, step))

    def link_name(self, index: int) -> str:
        """What a span calls a link: ``link``, or which one in a longer chain."""
        return "link" if len(self.links) == 1 else f"link {self.places[index]}-{self.places[index + 1]}"

    def message_overhead_s(self, place: str) -> float:
        """Fixed seconds of sending or receiving one message; 0 where the device is not known."""
        return self.devices[place].message_overhead_s if place in self.devices else 0.0
