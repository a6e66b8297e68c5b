"""A link that is watched, as a process of its own: ``python -m workbench.runtime.link_worker``.

First line in: the kind, the profile and the load. Then commands ``change``, ``follow``, ``outage``,
``resume`` and ``load``; events out are ``ready`` and ``notes`` with what of the profile the link does not
reproduce, ``sample`` four times a second, and ``error``. It ends with its input, and the link with it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from time import monotonic
from typing import Any, Protocol

from workbench.errors import LinkError, UnknownNameError
from workbench.links import Direction, Link, SimulatedLink, make_link, tcp_transfer_s
from workbench.links.samples import LinkSample
from workbench.profiles import LinkProfile
from workbench.runtime.link_order import LinkOrder, read_trace
from workbench.runtime.link_probes import Flow, Ping
from workbench.runtime.process import ParentChannel, run_child
from workbench.trace import Label

__all__ = ["LOADS", "SAMPLE_S"]

LOADS = ("steady", "bursts", "none")
"""Whether the path is kept full: always, for a moment now and then, or never."""
SAMPLE_S = 0.25
_BURST_S, _BURST_EVERY_S = 1.0, 5.0
_WAYS: tuple[Direction, Direction] = ("up", "down")
_LONG_S = 5.0  # of a transfer whose average rate is the modelled one
_SEND_BYTES = 1 << 17  # may wait before a relay; more would go on coming for long after the load is off
_Found = tuple[float | None, float | None, float | None]
"""Rate up and down in bit/s, round trip in s."""


class _Probes(Protocol):
    label: Label

    def look(self, now_s: float, order: LinkOrder, *, full: bool) -> _Found:
        """What the path does, and whether it is to be kept full from now on."""


class _Sent:
    """Bytes that are really sent: each way on a connection, and round trips on another."""

    label: Label = "measured"

    def __init__(self, link: Link) -> None:
        self._ping = Ping(*link.connect())
        queue_bytes = None if link.kind == "netem" else _SEND_BYTES
        edge, cloud = link.connect()
        self._up = Flow(edge, cloud, queue_bytes)
        edge, cloud = link.connect()
        self._down = Flow(cloud, edge, queue_bytes)
        self._was_full = False

    def look(self, now_s: float, order: LinkOrder, *, full: bool) -> _Found:
        if self._up.broken or self._down.broken or self._ping.broken:
            raise LinkError("the path broke while it was watched: begin again")
        rates = [flow.meter.take(now_s) for flow in (self._up, self._down)]
        if not (full and self._was_full):  # silence means nothing where nothing is sent
            rates = [rate or None for rate in rates]
        self._was_full = full
        for flow in (self._up, self._down):
            if full:
                flow.on.set()
            else:
                flow.on.clear()
        return rates[0], rates[1], self._ping.take()


class _Computed:
    """What the simulated link's arithmetic gives: nothing is sent."""

    label: Label = "modelled"

    def look(self, now_s: float, order: LinkOrder, *, full: bool) -> _Found:
        profile, out = order.at(now_s)
        up, down = (None if not full else 0.0 if way in out else _rate_bps(profile, way) for way in _WAYS)
        return up, down, None if out else sum(tcp_transfer_s(1, profile, way) for way in _WAYS)


def _rate_bps(profile: LinkProfile, way: Direction) -> float:
    n_bytes = max(1, round(profile.way(way).rate_bps * _LONG_S / 8))
    took_s = tcp_transfer_s(n_bytes, profile, way, window=float("inf")) - profile.way(way).delay_s
    return n_bytes * 8 / took_s


class _Watch:
    """Obeys in one thread, looks in another; the link is told by one at a time."""

    def __init__(self, channel: ParentChannel, link: Link, order: LinkOrder, load: str) -> None:
        self._channel, self._link, self._order = channel, link, order
        self._probes: _Probes = _Computed() if isinstance(link, SimulatedLink) else _Sent(link)
        self._load = _known(load)
        self._lock = threading.Lock()
        self._began_s = monotonic()
        self._changed = threading.Event()  # an outage may have come, whose end is to be kept

    def obey(self) -> None:
        """Commands, until the parent is gone."""
        while (command := self._channel.receive()) is not None:
            try:
                with self._lock:
                    self._do(command)
            except Exception as error:  # noqa: BLE001  (whatever it is, the parent has to hear of it)
                self._channel.fail(error)
        self._changed.set()

    def _do(self, command: Mapping[str, Any]) -> None:
        now_s = monotonic()
        match command["command"]:
            case "change":
                self._order.change(LinkProfile.from_dict(command["profile"]))
            case "follow":
                trace = command["trace"] and read_trace(command["trace"])
                self._order.follow(trace, now_s, loop=command["loop"])
            case "outage":
                self._order.outage(command["for_s"], now_s)
            case "resume":
                self._order.resume()
            case "load":
                self._load = _known(command["load"])
                return
        self._order.enact(self._link, now_s)
        self._channel.send({"event": "notes", "notes": self._link.notes})
        self._changed.set()

    def run(self) -> None:
        """Look and tell, until the parent is gone."""
        next_s = self._began_s
        while not self._channel.closed.is_set():
            now_s = monotonic()
            if now_s >= next_s:
                self._channel.send({"event": "sample", "sample": self._sample(now_s).to_dict()})
                next_s = max(next_s + SAMPLE_S, now_s)
            with self._lock:
                ends_s = self._order.next_s(now_s)
            self._sleep_until(next_s, ends_s)

    def _sleep_until(self, next_s: float, ends_s: float) -> None:
        """Until the next look, an outage's end, which is then kept, or a command."""
        self._changed.wait(max(0.0, min(next_s, ends_s) - monotonic()))
        self._changed.clear()
        with self._lock:
            if monotonic() >= ends_s:
                self._order.resume()
                self._order.enact(self._link, monotonic())

    def _sample(self, now_s: float) -> LinkSample:
        with self._lock:
            profile, out = self._order.at(now_s)
            up, down, rtt_s = self._probes.look(now_s, self._order, full=self._is_full(now_s))
        return LinkSample(
            t_s=now_s - self._began_s,
            asked_up_bps=profile.uplink_bps,
            asked_down_bps=profile.downlink_bps,
            asked_rtt_s=profile.rtt_s,
            up_outage="up" in out,
            down_outage="down" in out,
            up_bps=up,
            down_bps=down,
            rtt_s=rtt_s,
            label=self._probes.label,
        )

    def _is_full(self, now_s: float) -> bool:
        if self._load == "bursts":
            return (now_s - self._began_s) % _BURST_EVERY_S < _BURST_S
        return self._load == "steady"


def _known(load: str) -> str:
    if load not in LOADS:
        raise UnknownNameError("load", load, LOADS)
    return load


def _serve(channel: ParentChannel, config: Mapping[str, Any]) -> None:
    profile = LinkProfile.from_dict(config["profile"])
    with make_link(config["kind"], profile) as link:
        watch = _Watch(channel, link, LinkOrder(profile), config["load"])
        channel.send({"event": "ready", "notes": link.notes})
        threading.Thread(target=watch.obey, name="orders", daemon=True).start()
        watch.run()


if __name__ == "__main__":
    run_child(_serve)
