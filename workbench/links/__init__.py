"""Links: what shapes a path between edge and cloud as a link profile says. Three kinds behind one contract.

``proxy`` relays real bytes in user space, ``simulated`` computes, ``netem`` asks the kernel. Each says what
it models and omits, and none stands in for another.
"""

from __future__ import annotations

from workbench.errors import UnknownNameError
from workbench.links.base import HOST_SITE, Direction, Flow, Link, LinkStats, Process, Site
from workbench.links.netem import NetemLink
from workbench.links.proxy import PacedFlow, ProxyLink
from workbench.links.simulated import SimulatedLink
from workbench.links.tcp import TcpFlow, goodput_bps, tcp_transfer_s
from workbench.links.traces import LinkTrace, link_trace, link_traces
from workbench.links.verify import Check, Tolerance, Verification
from workbench.profiles import LinkProfile

__all__ = [
    "HOST_SITE",
    "LINK_KINDS",
    "Check",
    "Direction",
    "Flow",
    "Link",
    "LinkStats",
    "LinkTrace",
    "NetemLink",
    "PacedFlow",
    "Process",
    "ProxyLink",
    "SimulatedLink",
    "Site",
    "TcpFlow",
    "Tolerance",
    "Verification",
    "goodput_bps",
    "link_trace",
    "link_traces",
    "make_flow",
    "make_link",
    "tcp_transfer_s",
]

LINK_KINDS: dict[str, type[Link]] = {"netem": NetemLink, "proxy": ProxyLink, "simulated": SimulatedLink}

_FLOWS: dict[str, type[PacedFlow] | type[TcpFlow]] = {
    "netem": TcpFlow,
    "proxy": PacedFlow,
    "simulated": TcpFlow,
}


def make_link(kind: str, profile: LinkProfile) -> Link:
    """A link of a kind, shaped as the profile says.

    Raises:
        UnknownNameError: no link kind is called so.
        LinkError: it cannot be made here; says how to get there.
    """
    _check_kind(kind)
    return LINK_KINDS[kind](profile)  # type: ignore[call-arg]


def make_flow(kind: str, profile: LinkProfile, direction: Direction) -> Flow:
    """How one direction of a fresh connection over a link of that kind behaves, as arithmetic.

    A prediction of a run over a proxy has to leave out what a proxy leaves out: TCP slow start and loss.

    Raises:
        UnknownNameError: no link kind is called so.
    """
    _check_kind(kind)
    return _FLOWS[kind](profile, direction)


def _check_kind(kind: str) -> None:
    if kind not in LINK_KINDS:
        raise UnknownNameError("link kind", kind, LINK_KINDS)
