"""One direction of a path as the kernel's netem queueing discipline, set and read back through pyroute2.

pyroute2 (0.9.7) cannot say it all, and gets one thing wrong, so this module brings its own description of the
kernel's message (``linux/pkt_sched.h``):

- ``rate`` as a keyword also becomes the message's TCA_RATE, which the kernel refuses with ERANGE; here the
  options are given ready-made, and nothing leaks
- times are sent in nanoseconds (TCA_NETEM_LATENCY64), where pyroute2 rounds to microseconds
- delay distributions, Gilbert–Elliott loss and rates from 2^32 bytes/s on are missing there
- what a change does not mention the kernel keeps, so that everything is said each time
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from statistics import NormalDist
from types import SimpleNamespace
from typing import Any

from pyroute2 import IPRoute, NetlinkError
from pyroute2.netlink import nla
from pyroute2.netlink.rtnl import TC_H_ROOT, tcmsg

from workbench.errors import LinkError
from workbench.profiles import OneWay

__all__ = ["FRAME_BYTES", "HEADER_BYTES", "read_back", "shape", "wanted"]

FRAME_BYTES = 1514
"""A full frame as netem counts it: Ethernet, IP and TCP headers and 1448 bytes of an application."""
HEADER_BYTES = 66
"""Of those, the headers, with TCP timestamps."""

_FULL = 0xFFFFFFFF
_TABLE = 4096
_UNIT = 8192  # the kernel's scale: one standard deviation in a distribution table
_HANDLE = "1:"
_NO_NETEM = (
    "modprobe sch_netem as root (Ubuntu: apt install linux-modules-extra-$(uname -r)); "
    "or use link_kind='proxy', which needs no kernel module"
)


class _Options(nla):
    fields = (
        ("latency", "I"),
        ("limit", "I"),
        ("loss", "I"),
        ("gap", "I"),
        ("duplicate", "I"),
        ("jitter", "I"),
    )
    nla_map = (
        ("TCA_NETEM_UNSPEC", "none"),
        ("TCA_NETEM_CORR", "correlations"),
        ("TCA_NETEM_DELAY_DIST", "cdata"),
        ("TCA_NETEM_REORDER", "reorder"),
        ("TCA_NETEM_CORRUPT", "corrupt"),
        ("TCA_NETEM_LOSS", "loss"),
        ("TCA_NETEM_RATE", "rate"),
        ("TCA_NETEM_ECN", "uint32"),
        ("TCA_NETEM_RATE64", "uint64"),
        ("TCA_NETEM_PAD", "hex"),
        ("TCA_NETEM_LATENCY64", "int64"),
        ("TCA_NETEM_JITTER64", "int64"),
    )

    class correlations(nla):  # noqa: N801 - pyroute2 looks these up by the names above
        fields = (("delay", "I"), ("loss", "I"), ("duplicate", "I"))

    class reorder(nla):  # noqa: N801
        fields = (("probability", "I"), ("correlation", "I"))

    class corrupt(nla):  # noqa: N801
        fields = (("probability", "I"), ("correlation", "I"))

    class loss(nla):  # noqa: N801
        nla_map = (
            ("NETEM_LOSS_UNSPEC", "none"),
            ("NETEM_LOSS_GI", "hex"),
            ("NETEM_LOSS_GE", "gilbert_elliott"),
        )

        class gilbert_elliott(nla):  # noqa: N801
            fields = (("p", "I"), ("r", "I"), ("h", "I"), ("k1", "I"))

    class rate(nla):  # noqa: N801
        fields = (
            ("rate", "I"),
            ("packet_overhead", "i"),
            ("cell_size", "I"),
            ("cell_overhead", "i"),
        )


tcmsg.plugins["netem"] = SimpleNamespace(parent=TC_H_ROOT, options=_Options)


@dataclass(frozen=True)
class Settings:
    """A netem discipline in the kernel's own units."""

    latency_ns: int
    jitter_ns: int
    limit: int  # packets, under way and waiting
    rate_bytes_per_s: int
    loss: int  # shares are of 2^32 - 1
    gilbert_elliott: tuple[int, int] | None
    duplicate: int
    reorder: int
    corrupt: int
    delay_correlation: int


def wanted(way: OneWay | None) -> Settings:
    """What a direction asks of the kernel; None loses every packet.

    An application's rate becomes the line's by the share that headers take of a full frame.
    """
    if way is None:
        return Settings(0, 0, 1000, 0, _FULL, None, 0, 0, 0, 0)
    line_bytes_per_s = way.rate_bps / 8 * FRAME_BYTES / (FRAME_BYTES - HEADER_BYTES)
    under_way = line_bytes_per_s * (way.delay_s + 4 * way.jitter_s) / FRAME_BYTES
    p, r = way.gilbert_elliott
    bursts = way.loss > 0 and way.loss_burst > 1
    return Settings(
        latency_ns=round(way.delay_s * 1e9),
        jitter_ns=round(way.jitter_s * 1e9),
        limit=math.ceil(under_way + way.queue_bytes / FRAME_BYTES),
        rate_bytes_per_s=round(line_bytes_per_s),
        loss=0 if bursts else _share(way.loss),
        gilbert_elliott=(_share(p), _share(r)) if bursts else None,
        duplicate=_share(way.duplicate),
        reorder=_share(way.reorder),
        corrupt=_share(way.corrupt),
        delay_correlation=_share(way.jitter_correlation),
    )


def shape(kernel: IPRoute, interface: int, way: OneWay | None) -> Settings:
    """Shape what leaves an interface, in place where it is shaped already, and read it back.

    Args:
        way: None for an outage: every packet is lost.

    Raises:
        LinkError: the kernel has no netem, or has set something else than it was told.
    """
    asked = wanted(way)
    options = _options(asked, way.jitter_distribution if way else "normal")
    try:
        kernel.tc("replace", kind="netem", index=interface, handle=_HANDLE, options=options)
    except NetlinkError as error:
        raise LinkError(f"the kernel takes no netem discipline ({error.args[-1]}): {_NO_NETEM}") from error
    found = read_back(kernel, interface)
    if found != asked:
        raise LinkError(f"the kernel's netem is not as asked: asked {asked}, found {found}")
    return found


def read_back(kernel: IPRoute, interface: int) -> Settings:
    """What the kernel says that it does.

    Raises:
        LinkError: the interface has no netem discipline.
    """
    for message in kernel.get_qdiscs(index=interface):
        if message.get_attr("TCA_KIND") == "netem":
            return _settings(message.get_attr("TCA_OPTIONS"))
    raise LinkError("nothing shapes this interface: the kernel has no netem discipline there")


def _options(settings: Settings, distribution: str) -> dict[str, Any]:
    rate = {
        "rate": min(settings.rate_bytes_per_s, _FULL),
        "packet_overhead": 0,
        "cell_size": 0,
        "cell_overhead": 0,
    }
    attributes: list[tuple[str, Any]] = [
        ("TCA_NETEM_CORR", {"delay": settings.delay_correlation, "loss": 0, "duplicate": 0}),
        ("TCA_NETEM_REORDER", {"probability": settings.reorder, "correlation": 0}),
        ("TCA_NETEM_CORRUPT", {"probability": settings.corrupt, "correlation": 0}),
        ("TCA_NETEM_RATE", rate),
        ("TCA_NETEM_LATENCY64", settings.latency_ns),
        ("TCA_NETEM_JITTER64", settings.jitter_ns),
    ]
    if settings.rate_bytes_per_s >= 2**32:
        attributes.append(("TCA_NETEM_RATE64", settings.rate_bytes_per_s))
    if settings.jitter_ns:
        attributes.append(("TCA_NETEM_DELAY_DIST", distribution_table(distribution)))
    if settings.gilbert_elliott:
        p, r = settings.gilbert_elliott
        model = {"attrs": [("NETEM_LOSS_GE", {"p": p, "r": r, "h": 0, "k1": 0})]}
        attributes.append(("TCA_NETEM_LOSS", model))
    return {
        "latency": 0,  # the 64-bit attribute has it
        "limit": settings.limit,
        "loss": settings.loss,
        "gap": 1 if settings.reorder else 0,
        "duplicate": settings.duplicate,
        "jitter": 0,
        "attrs": attributes,
    }


def _settings(options: Any) -> Settings:
    def attribute(name: str) -> Mapping[str, int]:
        return options.get_attr(name) or {}

    model = options.get_attr("TCA_NETEM_LOSS")
    burst = model.get_attr("NETEM_LOSS_GE") if model else None
    return Settings(
        latency_ns=options.get_attr("TCA_NETEM_LATENCY64"),
        jitter_ns=options.get_attr("TCA_NETEM_JITTER64"),
        limit=options["limit"],
        rate_bytes_per_s=options.get_attr("TCA_NETEM_RATE64") or attribute("TCA_NETEM_RATE").get("rate", 0),
        loss=0 if burst else options["loss"],
        gilbert_elliott=(burst["p"], burst["r"]) if burst else None,
        duplicate=options["duplicate"],
        reorder=attribute("TCA_NETEM_REORDER").get("probability", 0),
        corrupt=attribute("TCA_NETEM_CORRUPT").get("probability", 0),
        delay_correlation=attribute("TCA_NETEM_CORR").get("delay", 0),
    )


@cache
def distribution_table(name: str) -> bytes:
    """Quantiles of a distribution with mean 0 and standard deviation 1, as 16-bit numbers of 1/8192.

    ``pareto`` has a shape of 3, as far as 16 bits reach: four standard deviations.
    """
    chances = [(i + 0.5) / _TABLE for i in range(_TABLE)]
    if name == "normal":
        values = [NormalDist().inv_cdf(chance) for chance in chances]
    elif name == "uniform":
        values = [math.sqrt(3) * (2 * chance - 1) for chance in chances]
    else:
        values = [(1 - chance) ** (-1 / 3) for chance in chances]
    bound = _mean(values) + 4 * _deviation(values)
    values = _standardized([min(value, bound) for value in values])
    Random(0).shuffle(values)
    return struct.pack(f"={_TABLE}h", *(max(-32768, min(32767, round(v * _UNIT))) for v in values))


def _standardized(values: list[float]) -> list[float]:
    mean, deviation = _mean(values), _deviation(values)
    return [(value - mean) / deviation for value in values]


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _deviation(values: list[float]) -> float:
    mean = _mean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


def _share(value: float) -> int:
    return round(value * _FULL)
