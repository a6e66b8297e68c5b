"""Two network namespaces joined by a veth pair, each end shaped by netem: what the keeper holds."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyroute2 import IPRoute

from workbench.links.netem import namespaces, qdisc
from workbench.links.netem.addresses import CLOUD_ADDRESS, EDGE_ADDRESS
from workbench.profiles import OneWay

__all__ = ["End", "VethPath"]

_MAX_BURST_S = 1e-4  # what TCP may hand over in one piece: more would arrive in lumps
_SEGMENT_BYTES = 1448
_BUFFERS = "4096 2097152 16777216"  # least, usual and most bytes of a socket's
_CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")
_SETTINGS = {
    "ipv4/tcp_no_metrics_save": "1",  # a new connection is a cold one, whatever an earlier one learned
    "ipv4/tcp_wmem": _BUFFERS,  # a message waits for the path alone, not for its writer to be woken
    "ipv4/tcp_rmem": _BUFFERS,
    "ipv6/conf/all/disable_ipv6": "1",  # its announcements would share the path
}


class End:
    """One side: its namespace, its interface and the kernel's ear for both."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        self.network = namespaces.fresh_network()
        self.kernel = IPRoute()  # a socket belongs to the namespace that it was made in
        self.index = 0
        self._apply_settings()
        self.congestion_control = _CONGESTION.read_text(encoding="ascii").strip()
        self.kernel.link("set", index=self.kernel.link_lookup(ifname="lo")[0], state="up")

    def find_interface(self) -> None:
        self.index = self.kernel.link_lookup(ifname=self.name)[0]

    def raise_interface(self, far: End) -> None:
        """Address and neighbour by hand: asking for them over the path would cost a round trip."""
        self.kernel.addr("add", index=self.index, address=self.address, prefixlen=30)
        self.kernel.link("set", index=self.index, state="up")
        hardware = far.kernel.get_links(far.index)[0].get_attr("IFLA_ADDRESS")
        self.kernel.neigh("replace", dst=far.address, lladdr=hardware, ifindex=self.index, state="permanent")

    def shape(self, way: OneWay | None) -> qdisc.Settings:
        if way is not None:
            segments = max(1, min(44, int(way.rate_bps * _MAX_BURST_S / 8 / qdisc.FRAME_BYTES)))
            self.kernel.link("set", index=self.index, gso_max_segs=segments)
        return qdisc.shape(self.kernel, self.index, way)

    def sent_bytes(self) -> int:
        """Of frames that left."""
        counters = self.kernel.get_links(self.index)[0].get_attr("IFLA_STATS64")
        return int(counters["tx_bytes"])

    @contextmanager
    def inside(self, home: int) -> Iterator[None]:
        """Sockets and children that are made here belong to this side; then back home."""
        namespaces.enter(self.network)
        try:
            yield
        finally:
            namespaces.enter(home)

    def _apply_settings(self) -> None:
        for name, value in _SETTINGS.items():
            setting = Path("/proc/sys/net") / name
            if setting.exists():
                setting.write_text(value, encoding="ascii")
        with contextlib.suppress(OSError):  # some systems allow their own choice alone, which is then told
            _CONGESTION.write_text("cubic", encoding="ascii")


class VethPath:
    """Both ends, joined. The host's own interfaces live in another namespace and are out of reach."""

    def __init__(self) -> None:
        self.ends = {"cloud": End("cloud0", CLOUD_ADDRESS), "edge": End("edge0", EDGE_ADDRESS)}
        edge, cloud = self.ends["edge"], self.ends["cloud"]
        peer = {"ifname": cloud.name, "net_ns_fd": cloud.network}
        edge.kernel.link("add", ifname=edge.name, kind="veth", peer=peer)
        edge.find_interface()
        cloud.find_interface()

    def shape(self, up: OneWay | None, down: OneWay | None) -> dict[str, qdisc.Settings]:
        """Shape both directions; the first time before either interface is up."""
        return {"up": self.ends["edge"].shape(up), "down": self.ends["cloud"].shape(down)}

    def join(self) -> None:
        """Let traffic through."""
        edge, cloud = self.ends["edge"], self.ends["cloud"]
        edge.raise_interface(cloud)
        cloud.raise_interface(edge)

    def read_back(self) -> dict[str, qdisc.Settings]:
        return {
            way: qdisc.read_back(self.ends[side].kernel, self.ends[side].index)
            for way, side in (("up", "edge"), ("down", "cloud"))
        }

    def sockets(self) -> tuple[socket.socket, socket.socket]:
        """A TCP socket of the edge's and a listening one of the cloud's, for their owner to connect.

        Connecting may take long over a path that loses much, and whoever holds the path must not wait.
        """
        edge, cloud = self.ends["edge"], self.ends["cloud"]
        with cloud.inside(edge.network):
            server = socket.create_server((cloud.address, 0))
        return socket.socket(), server

    def datagrams(self) -> tuple[socket.socket, socket.socket]:
        """Two UDP sockets that send to each other over the path: the edge's and the cloud's."""
        sockets = []
        for side in ("edge", "cloud"):
            with self.ends[side].inside(self.ends["edge"].network):
                end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                end.bind((self.ends[side].address, 0))
                sockets.append(end)
        near, far = sockets
        near.connect(far.getsockname())
        far.connect(near.getsockname())
        return near, far
