"""The one contract of all links. A link shapes a path between edge and cloud as its profile says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from workbench.errors import LinkError
from workbench.profiles import LinkProfile

__all__ = ["Direction", "Flow", "Link", "LinkStats"]

Direction = Literal["up", "down"]
"""``up`` is edge to cloud, ``down`` cloud to edge."""


@dataclass(frozen=True)
class LinkStats:
    """What a link has carried since it was made."""

    bytes_up: int
    bytes_down: int


class Flow(ABC):
    """One direction of a connection as a link kind's own model has it: what a prediction uses."""

    @abstractmethod
    def transfer_s(self, n_bytes: int, at_s: float) -> float:
        """Seconds from the first byte written at ``at_s`` to the last byte read. Call in order of time."""


class Link(ABC):
    """A shaped path.

    Guarantees of every backend: the profile may change while traffic flows (``change``) and never leaves
    a moment of unlimited bandwidth; ``close`` is idempotent, ends all that the link started and is called
    by the context manager; methods may be called from any thread, one at a time. Connections share one
    bottleneck per direction.
    """

    kind: str  # "simulated", "proxy" or "netem"; never one standing in silently for another
    models: tuple[str, ...]  # what of a real path it reproduces
    omits: tuple[str, ...]  # what it does not; shown to the user

    @property
    @abstractmethod
    def profile(self) -> LinkProfile:
        """What the path is shaped to now."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the profile this link does not reproduce; empty where it does. For the notes of a trace."""
        return ()

    def open(self, target: str) -> str:
        """Put this path before an address; returns the address to dial instead.

        Raises:
            LinkError: this kind computes and carries nothing, the link is closed, or the path cannot be made.
        """
        raise LinkError(f"a {self.kind} link carries no bytes to {target}: use 'proxy' for a real run")

    @abstractmethod
    def change(self, profile: LinkProfile) -> None:
        """Shape the path to another profile from now on."""

    @abstractmethod
    def transfer_s(self, n_bytes: int, direction: Direction) -> float:
        """Seconds from the first byte written at one end to the last byte read at the other.

        ``simulated`` computes it, the others send real bytes through the path.

        Raises:
            LinkError: the link is closed, or the path broke.
        """

    @abstractmethod
    def stats(self) -> LinkStats:
        """What has been carried so far."""

    @abstractmethod
    def close(self) -> None:
        """End everything that this link started. May be called again."""

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
