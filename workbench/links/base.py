"""The one contract of all links. A link shapes a path between edge and cloud as its profile says."""

from __future__ import annotations

import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Protocol

from workbench.errors import LinkError
from workbench.links.measure import transfer_s
from workbench.links.traces import LinkTrace
from workbench.links.verify import Tolerance, Verification, verify
from workbench.profiles import Direction, LinkProfile

__all__ = ["HOST_SITE", "Direction", "Flow", "Link", "LinkStats", "Process", "Shape", "Site", "shape_of"]

Shape = dict[Direction, dict[str, Any]]
"""What a helper process is told to enact: the fields of ``OneWay``, by direction."""


@dataclass(frozen=True)
class LinkStats:
    """What a link has carried since it was made: an application's bytes, or all of a kernel's frames."""

    bytes_up: int
    bytes_down: int

    def carried(self, direction: Direction) -> int:
        """Bytes of one direction."""
        return self.bytes_up if direction == "up" else self.bytes_down


class Process(Protocol):
    """What ``subprocess.Popen`` and a process in a link's namespace have in common."""

    stdin: Any
    stdout: Any

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


@dataclass(frozen=True)
class Site:
    """Where a side's processes have to live to talk through a link."""

    address: str  # that a server listens on
    start: Callable[..., Process]  # called as subprocess.Popen is


HOST_SITE = Site("127.0.0.1", subprocess.Popen)


class Flow(ABC):
    """One direction of a connection as a link kind's own model has it: what a prediction uses."""

    @abstractmethod
    def transfer_s(self, n_bytes: int, at_s: float) -> float:
        """Seconds from the first byte written at ``at_s`` to the last byte read. Call in order of time."""


class Link(ABC):
    """A shaped path.

    Guarantees of every backend: the profile may change while traffic flows (``change``, ``follow``) and never
    leaves a moment of unlimited bandwidth; ``close`` is idempotent, ends all that the link started and is
    called by the context manager; methods may be called from any thread, one at a time. Connections share one
    bottleneck per direction.
    """

    kind: str  # "simulated", "proxy" or "netem"; never one standing in silently for another
    models: tuple[str, ...]  # what of a real path it reproduces
    omits: tuple[str, ...]  # what it does not; shown to the user

    @property
    @abstractmethod
    def profile(self) -> LinkProfile:
        """What the path is shaped to now: by the last ``change``, and as a trace that it follows goes."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the profile this link does not reproduce; empty where it does. For the notes of a trace."""
        return ()

    # ---- talking through it

    def site(self, place: str) -> Site:
        """Where the processes of a place (``edge``, ``cloud``) have to run to use this path."""
        return HOST_SITE

    def open(self, target: str) -> str:
        """Put this path before a cloud's address; returns the address that the edge dials instead.

        Raises:
            LinkError: this kind computes and carries nothing, the link is closed, or the path cannot be made.
        """
        raise LinkError(f"a {self.kind} link carries no bytes to {target}: use 'proxy' or 'netem'")

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """A fresh TCP connection through the path: its end at the edge and its end in the cloud.

        Raises:
            LinkError: as ``open``.
        """
        raise LinkError(f"a {self.kind} link carries no bytes: use 'proxy' or 'netem'")

    # ---- shaping it

    @abstractmethod
    def change(self, profile: LinkProfile) -> None:
        """Shape the path to another profile from now on; ends a trace that it follows, and an outage."""

    @abstractmethod
    def follow(self, trace: LinkTrace, *, loop: bool = False) -> None:
        """Change as a trace says, beginning now; what the trace does not say stays as the profile has it.

        Its last row holds when it is over, unless it loops.
        """

    @abstractmethod
    def pause(self) -> None:
        """An outage: nothing arrives until ``resume``; connections stand. Ends a trace that it follows."""

    @abstractmethod
    def resume(self) -> None:
        """End an outage."""

    # ---- what it does

    def transfer_s(self, n_bytes: int, direction: Direction) -> float:
        """Seconds from the first byte written at one end to the last byte read at the other.

        ``simulated`` computes it, the others send real bytes over a connection of its own.

        Raises:
            LinkError: the link is closed, or the path broke.
        """
        if n_bytes <= 0:
            raise LinkError(f"need at least one byte to measure a transfer, got {n_bytes}")
        edge, cloud = self.connect()
        with edge, cloud:
            return transfer_s(*((edge, cloud) if direction == "up" else (cloud, edge)), n_bytes)

    def verify(self, tolerance: Tolerance | None = None) -> Verification:
        """Measure round trip, rate each way and loss, and set them against the profile.

        Raises:
            LinkError: something is further from the profile than the tolerance allows; the message has both
                figures, and the error's ``verification`` all of them.
        """
        return verify(self, tolerance or Tolerance())

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


def shape_of(profile: LinkProfile) -> Shape:
    """Both directions, spelled out as plain JSON."""
    return {"up": asdict(profile.way("up")), "down": asdict(profile.way("down"))}
