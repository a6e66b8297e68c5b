"""Puts the pieces of a request's time in order, on the wall clock or in virtual time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

from workbench.links import Direction, Flow
from workbench.trace import Clock, Label, Span

__all__ = ["Exchange", "Flows", "RemoteWork", "Timeline", "VirtualTimeline", "WallTimeline"]

Flows = Mapping[Direction, Flow]
"""A link's model of each direction."""


@dataclass(frozen=True)
class RemoteWork:
    """What the other side did between receiving a message and sending its answer, in order."""

    received_at_s: float  # on this side's clock
    sent_at_s: float
    spans: Sequence[tuple[str, float]]  # kind, seconds


@dataclass(frozen=True)
class Exchange:
    """One message out and its answer back."""

    token: int
    sent_at_s: float
    received_at_s: float
    bytes_up: int
    bytes_down: int
    remote: RemoteWork


class Timeline(ABC):
    """Collects spans. Times given are of ``time.perf_counter``; spans count from the request's beginning."""

    clock: Clock
    label: Label

    def __init__(self) -> None:
        self._origin_s = perf_counter()
        self.spans: list[Span] = []
        self.token_times_s: list[float] = []

    @abstractmethod
    def local(self, kind: str, token: int, started_s: float, seconds: float) -> None:
        """Something the edge did."""

    @abstractmethod
    def exchange(self, exchange: Exchange) -> None:
        """A round trip, with what the cloud did in between; a token sent unasked has nothing going up."""

    @abstractmethod
    def token_here(self) -> None:
        """A token is there, on the edge."""

    def _add(
        self, kind: str, place: str, token: int, start_s: float, seconds: float, n_bytes: int = 0
    ) -> None:
        self.spans.append(Span(kind, place, token, start_s, max(0.0, seconds), self.label, n_bytes))


class WallTimeline(Timeline):
    """Time that really passed."""

    clock: Clock = "wall"
    label: Label = "measured"

    def local(self, kind: str, token: int, started_s: float, seconds: float) -> None:
        self._add(kind, "edge", token, started_s - self._origin_s, seconds)

    def exchange(self, exchange: Exchange) -> None:
        if exchange.bytes_up:
            self._uplink(exchange)
        self._downlink(exchange)

    def token_here(self) -> None:
        self.token_times_s.append(perf_counter() - self._origin_s)

    def _uplink(self, it: Exchange) -> None:
        start_s = it.sent_at_s - self._origin_s
        self._add("uplink", "link", it.token, start_s, it.remote.received_at_s - it.sent_at_s, it.bytes_up)

    def _downlink(self, it: Exchange) -> None:
        sent_s = it.remote.sent_at_s - self._origin_s
        at_s = sent_s - sum(seconds for _, seconds in it.remote.spans)
        for kind, seconds in it.remote.spans:
            self._add(kind, "cloud", it.token, at_s, seconds)
            at_s += seconds
        self._add("downlink", "link", it.token, sent_s, it.received_at_s - it.remote.sent_at_s, it.bytes_down)


class VirtualTimeline(Timeline):
    """Modelled time: only what a model gives counts, host times of anything else are left out."""

    clock: Clock = "virtual"
    label: Label = "modelled"
    _MODELLED = ("compute",)

    def __init__(self, flows: Flows) -> None:
        super().__init__()
        self._flows = flows
        self._edge_s = 0.0  # when the edge is free
        self._cloud_s = 0.0  # when the cloud is free

    def local(self, kind: str, token: int, started_s: float, seconds: float) -> None:
        if kind in self._MODELLED:
            self._add(kind, "edge", token, self._edge_s, seconds)
            self._edge_s += seconds

    def exchange(self, exchange: Exchange) -> None:
        if exchange.bytes_up:
            self._up(exchange)
        self._down(exchange)

    def token_here(self) -> None:
        self.token_times_s.append(self._edge_s)

    def _up(self, it: Exchange) -> None:
        seconds = self._flows["up"].transfer_s(it.bytes_up, self._edge_s)
        self._add("uplink", "link", it.token, self._edge_s, seconds, it.bytes_up)
        self._cloud_s = self._edge_s + seconds

    def _down(self, it: Exchange) -> None:
        for kind, seconds in it.remote.spans:
            if kind in self._MODELLED:
                self._add(kind, "cloud", it.token, self._cloud_s, seconds)
                self._cloud_s += seconds
        seconds = self._flows["down"].transfer_s(it.bytes_down, self._cloud_s)
        self._add("downlink", "link", it.token, self._cloud_s, seconds, it.bytes_down)
        self._edge_s = max(self._edge_s, self._cloud_s + seconds)
