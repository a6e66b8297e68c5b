"""A path that the kernel shapes: two network namespaces, a veth pair and netem on both of its ends."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from workbench.errors import LinkError
from workbench.links.base import LinkStats, Site, shape_of
from workbench.links.netem.addresses import CLOUD_ADDRESS, EDGE_ADDRESS
from workbench.links.netem.messages import Messages
from workbench.links.netem.process import NamespaceProcess
from workbench.links.shaped import ShapedLink
from workbench.profiles import LinkProfile

__all__ = ["NetemLink"]

_START_S = 60.0  # a first import of pyroute2 from a slow disk
_ANSWER_S = 20.0
_DIAL_S = 60.0  # a path may lose much
_GRACE_S = 2.0
_ADDRESSES = {"edge": EDGE_ADDRESS, "cloud": CLOUD_ADDRESS}
_FASTEST_BPS = 2e9
_SHORTEST_RTT_S = 5e-4
_OFFLINE = {"HF_HUB_OFFLINE": "1"}  # no hub can be reached from in there, and a timeout would be all we learn


class NetemLink(ShapedLink):
    """Real TCP over a real kernel's netem, out of reach of the host's own interfaces.

    A keeper process holds the namespaces; both sides of a run are started in them (``site``). All of it ends
    with this object, or with its process, however that ends.

    Raises:
        LinkError: this system has no netem or forbids namespaces; says how to get there.
    """

    kind = "netem"
    models = (
        "delay",
        "bandwidth, shared by all connections",
        "jitter with a distribution and correlation",
        "random and burst loss",
        "reordering, duplication, corruption",
        "queue overflow",
        "TCP slow start, idle restart and recovery: the kernel's own",
        "outages, in which packets are lost",
    )
    omits = ("other traffic", "the radio's own retransmissions and schedules")

    def __init__(self, profile: LinkProfile) -> None:
        if not sys.platform.startswith("linux"):
            raise LinkError("netem is a part of Linux: use link_kind='proxy' here")
        super().__init__(profile)
        self._lock = threading.Lock()
        self._last = LinkStats(0, 0)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the keeper
        ours, theirs = socket.socketpair()
        self._messages = Messages(ours)
        ours.settimeout(_START_S)
        with theirs:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "workbench.links.netem.keeper", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stderr=self._stderr,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the parent, which then closes us
            )
        try:
            self._answer()
            ours.settimeout(_ANSWER_S)
            self._shape(shape_of(profile))
            self._congestion_control = self._ask("state")[0]["congestion_control"]
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the keeper's process."""
        return self._keeper.pid

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(_notes(self.profiles(), self._congestion_control))

    # ---- talking through it

    def site(self, place: str) -> Site:
        if place not in _ADDRESSES:
            raise LinkError(f"a link joins {sorted(_ADDRESSES)}: there is no {place!r}")
        return Site(_ADDRESSES[place], partial(self._start, place))

    def open(self, target: str) -> str:
        """The path is there already: checks that the cloud listens inside it.

        Raises:
            LinkError: the address is outside of the path, or the link is closed.
        """
        self._ask("state")
        if not target.startswith(f"tcp://{CLOUD_ADDRESS}:"):
            raise LinkError(
                f"{target} is outside of this path: start the cloud where link.site('cloud') says, "
                f"and listen on {CLOUD_ADDRESS}"
            )
        return target

    def connect(self) -> tuple[socket.socket, socket.socket]:
        _, (client, listener) = self._ask("sockets")
        edge = socket.socket(fileno=client)
        with socket.socket(fileno=listener) as server:
            try:
                for end in (edge, server):
                    end.settimeout(_DIAL_S)
                edge.connect(server.getsockname())
                cloud, _ = server.accept()
            except OSError as error:
                edge.close()
                raise LinkError(f"no connection over this path in {_DIAL_S:g} s: {error}") from error
        for end in (edge, cloud):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return edge, cloud

    def datagrams(self) -> tuple[socket.socket, socket.socket]:
        """Two UDP sockets that send to each other over the path: the edge's and the cloud's."""
        _, (edge, cloud) = self._ask("datagrams")
        return socket.socket(fileno=edge), socket.socket(fileno=cloud)

    # ---- shaping it

    def _shape(self, shape: Mapping[Any, Any]) -> None:
        self._ask("shape", shape=shape)

    def _keep(self, rows: list[tuple[float, Any]], period_s: float | None, started_s: float) -> None:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as file:  # longer than a message may be
            json.dump(rows, file)
            file.flush()
            file.seek(0)
            self._ask("follow", file.fileno(), period_s=period_s, started_s=started_s)

    def _check_open(self) -> None:
        self._ask("state")

    # ---- what it does

    def settings(self) -> dict[str, dict[str, Any]]:
        """What the kernel says that it does, by direction, in its own units."""
        answer, _ = self._ask("state")
        return dict(answer["settings"])

    def stats(self) -> LinkStats:
        if not self._stderr.closed:
            sent = self._ask("state")[0]["sent_bytes"]
            self._last = LinkStats(sent["up"], sent["down"])
        return self._last

    def close(self) -> None:
        with self._lock:
            if self._stderr.closed:
                return
            self._messages.close()
            for end in (lambda: None, self._keeper.kill):
                end()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._keeper.wait(_GRACE_S)
                    break
            self._stderr.close()

    # ---- the keeper

    def _start(
        self,
        side: str,
        arguments: list[str],
        *,
        stderr: Any,
        env: dict[str, str],
        stdin: int = subprocess.PIPE,
        stdout: int = subprocess.PIPE,
        start_new_session: bool = True,
    ) -> NamespaceProcess:
        """As ``subprocess.Popen`` with pipes for input and output, in a session of its own."""
        stdin_end, to_process = os.pipe()
        from_process, stdout_end = os.pipe()
        try:
            answer, (pidfd,) = self._ask(
                "start",
                stdin_end,
                stdout_end,
                stderr.fileno(),
                side=side,
                arguments=arguments,
                environment={**env, **_OFFLINE},
            )
        except BaseException:
            os.close(to_process)
            os.close(from_process)
            raise
        finally:
            os.close(stdin_end)
            os.close(stdout_end)
        return NamespaceProcess(
            pidfd,
            os.fdopen(to_process, "wb"),
            os.fdopen(from_process, "rb"),
            partial(self._exit_code, answer["pid"]),
        )

    def _exit_code(self, pid: int) -> int | None:
        with contextlib.suppress(LinkError):
            return self._ask("exit_code", pid=pid)[0]["code"]
        return None

    def _ask(self, command: str, *descriptors: int, **arguments: Any) -> tuple[dict[str, Any], list[int]]:
        with self._lock:
            if self._stderr.closed:
                raise LinkError("this link is closed: make a new one")
            try:
                self._messages.send({"command": command, **arguments}, descriptors)
            except OSError as error:
                raise LinkError(f"the keeper of this path is gone: {error}{self._last_words()}") from error
            return self._answer()

    def _answer(self) -> tuple[dict[str, Any], list[int]]:
        try:
            received = self._messages.receive()
        except OSError as error:
            self._messages.close()  # a late answer would be taken for that to the next question
            raise LinkError(f"the keeper of this path did not answer: {error}{self._last_words()}") from error
        if received is None:
            raise LinkError(f"the keeper of this path ended{self._last_words()}")
        if "error" in received[0]:
            raise LinkError(received[0]["error"])
        return received

    def _last_words(self) -> str:
        self._stderr.seek(0)
        text = self._stderr.read().decode(errors="replace").strip()[-2000:]
        return f"; its last words:\n{text}" if text else ""


def _notes(profiles: Sequence[LinkProfile], congestion_control: str) -> Iterator[str]:
    name = repr(profiles[0].name)
    if congestion_control != "cubic":
        yield f"TCP here is {congestion_control}: predictions are of CUBIC, which this system does not allow"
    rtt_s = min(profile.rtt_s for profile in profiles)
    if rtt_s < _SHORTEST_RTT_S:
        yield f"the kernel itself takes some 0.1 ms a round trip, {name} {rtt_s * 1e3:g} ms"
    if max(max(profile.uplink_bps, profile.downlink_bps) for profile in profiles) > _FASTEST_BPS:
        yield f"a veth pair carries some {_FASTEST_BPS / 1e9:g} Gbit/s here: {name} is faster"
