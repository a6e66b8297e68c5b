"""The relay as a process: real bytes, real connections, its end. A busy host is late: lower bounds only."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import psutil
import pytest

from workbench.errors import LinkError
from workbench.links import LinkTrace, PacedFlow, ProxyLink
from workbench.links.traces import LinkStep
from workbench.profiles import LinkProfile

SOON_S = 20.0
QUICK = LinkProfile(0.0, 1e9, 1e9)


@pytest.fixture
def link() -> Iterator[ProxyLink]:
    with ProxyLink(QUICK) as made:
        yield made


@pytest.fixture
def pair(link: ProxyLink) -> Iterator[tuple[socket.socket, socket.socket]]:
    with ExitStack() as stack:
        yield _pair(link, stack)


def _pair(link: ProxyLink, stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Both ends of a relayed connection."""
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    server.settimeout(SOON_S)
    host, port = link.open(f"tcp://127.0.0.1:{server.getsockname()[1]}").removeprefix("tcp://").split(":")
    near = stack.enter_context(socket.create_connection((host, int(port)), timeout=SOON_S))
    far = stack.enter_context(server.accept()[0])
    far.settimeout(SOON_S)
    return near, far


def _receive(end: socket.socket, n_bytes: int) -> bytes:
    data = b""
    while len(data) < n_bytes:
        piece = end.recv(n_bytes - len(data))
        assert piece, "the connection ended early"
        data += piece
    return data


def test_bytes_arrive_as_they_were(pair: tuple[socket.socket, socket.socket], link: ProxyLink) -> None:
    data = random.Random(0).randbytes(3_000_000)
    for source, sink in (pair, pair[::-1]):
        sender = threading.Thread(target=source.sendall, args=(data,))
        sender.start()
        assert hashlib.sha256(_receive(sink, len(data))).digest() == hashlib.sha256(data).digest()
        sender.join()
    assert link.stats().bytes_up == link.stats().bytes_down == len(data)


def test_the_rate_may_change_while_traffic_flows(link: ProxyLink) -> None:
    """And no moment is without a limit."""
    link.change(LinkProfile(0.0, 8e6, 1e6))
    took_s: list[float] = []
    sender = threading.Thread(target=lambda: took_s.append(link.transfer_s(200_000, "up")))
    sender.start()
    changes = 0
    while sender.is_alive():
        link.change(LinkProfile(0.0, 16e6 if changes % 2 else 8e6, 1e6))
        changes += 1
        sender.join(0.003)
    assert changes > 5
    assert took_s[0] >= 0.999 * 200_000 * 8 / 16e6


def test_an_end_of_stream_passes_behind_the_data(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    near.sendall(b"last words")
    near.shutdown(socket.SHUT_WR)
    assert _receive(far, 10) == b"last words"
    assert far.recv(1) == b""
    far.sendall(b"answer")  # the other direction still stands
    assert _receive(near, 6) == b"answer"


def test_connections_share_one_bottleneck(link: ProxyLink) -> None:
    link.change(LinkProfile(0.0, 8e6, 8e6))
    with ExitStack() as stack:
        pairs = [_pair(link, stack) for _ in range(3)]
        began_s = time.monotonic()
        for near, _ in pairs:
            near.sendall(bytes(50_000))
        for _, far in pairs:
            _receive(far, 50_000)
    assert time.monotonic() - began_s >= 0.15 * 0.999


def test_directions_do_not_share(link: ProxyLink) -> None:
    link.change(LinkProfile(0.0, 1e5, 1e9))
    with ExitStack() as stack:
        near, far = _pair(link, stack)
        near.sendall(bytes(125_000))  # ten seconds' worth
        far.sendall(b"down")
        began_s = time.monotonic()
        assert _receive(near, 4) == b"down"
        assert time.monotonic() - began_s < 9


def test_a_sender_feels_the_rate(link: ProxyLink) -> None:
    """The relay's own queue is short: what does not fit waits with the sender, as behind a slow line."""
    link.change(LinkProfile(0.0, 1e5, 1e5))
    with ExitStack() as stack:
        near, far = _pair(link, stack)
        near.setblocking(False)
        sent = 0
        try:
            while sent < 1 << 30:
                sent += near.send(bytes(1 << 16))
        except BlockingIOError:
            pass
        assert sent < 1 << 26
        assert _receive(far, 1000) == bytes(1000)
        assert link.stats().bytes_up < 1 << 20


def test_an_outage_holds_everything_back(link: ProxyLink, pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    link.pause()
    link.pause()
    near.sendall(b"held")
    far.settimeout(0.3)
    with pytest.raises(TimeoutError):
        far.recv(1)
    link.resume()
    link.resume()
    far.settimeout(SOON_S)
    assert _receive(far, 4) == b"held"


def test_a_cut_breaks_connections_and_lets_new_ones_in(link: ProxyLink) -> None:
    with ExitStack() as stack:
        near, far = _pair(link, stack)
        link.cut()
        for end in (near, far):
            with pytest.raises(ConnectionResetError):
                assert end.recv(1) != b""
        again, other = _pair(link, stack)
        again.sendall(b"x")
        assert _receive(other, 1) == b"x"


def test_nobody_at_the_target_ends_the_connection(link: ProxyLink) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    host, proxied = link.open(f"tcp://127.0.0.1:{port}").removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(proxied)), timeout=SOON_S) as near:
        assert near.recv(1) == b""


@pytest.mark.parametrize(
    "target", ["", "tcp://127.0.0.1", "tcp://127.0.0.1:0", "tcp://a:http", "tcp://:5555"]
)
def test_what_is_no_target_is_refused(link: ProxyLink, target: str) -> None:
    with pytest.raises(LinkError, match="tcp://HOST:PORT"):
        link.open(target)


def test_what_it_does_not_reproduce_is_noted() -> None:
    with ProxyLink(LinkProfile(1e-4, 1e10, 1e9, loss=0.02, name="odd")) as link:
        notes = " ".join(link.notes)
        assert "2.00%" in notes
        assert "0.1 ms" in notes
        assert "Gbit/s" in notes
        assert {"TCP slow start", "loss"} <= set(link.omits)


def test_everything_that_a_direction_asks_for_in_vain_is_noted() -> None:
    odd = LinkProfile(
        0.1, 1e6, 1e6, uplink={"reorder": 0.1, "corrupt": 0.03}, downlink={"duplicate": 0.2}, name="odd"
    )
    with ProxyLink(odd) as link:
        notes = " ".join(link.notes)
        for word in ("10.00% reordering", "3.00% corruption", "20.00% duplication"):
            assert word in notes
        link.change(LinkProfile(0.1, 1e6, 1e6, downlink={"queue_bytes": 90_000}, name="short"))
        assert link.notes == ("the proxy's queue never overflows: queue_bytes of 'short' is not reproduced",)


def test_the_notes_are_those_of_a_whole_trace(link: ProxyLink) -> None:
    link.change(LinkProfile(0.1, 1e6, 1e6, name="fine"))
    assert link.notes == ()
    link.follow(LinkTrace("lossy", (LinkStep(0.0), LinkStep(500.0, loss=0.25)), 900.0))
    assert len(link.notes) == 1
    assert "25.00% loss of 'fine'" in link.notes[0]


def test_each_direction_has_its_own_delay(link: ProxyLink) -> None:
    link.change(LinkProfile(0.5, 1e9, 1e9, uplink={"delay_s": 0.45}))
    assert link.transfer_s(1, "up") >= 0.45 * 0.999
    assert 0.05 * 0.999 <= link.transfer_s(1, "down") < 0.45


def test_a_slow_queue_speeds_up_with_the_line(
    pair: tuple[socket.socket, socket.socket], link: ProxyLink
) -> None:
    """A segment that would have taken minutes to leave does not hold up a line that is fast by now."""
    link.change(LinkProfile(0.0, 100.0, 1e9))
    near, far = pair
    near.sendall(bytes(3000))
    time.sleep(0.2)
    link.change(LinkProfile(0.0, 1e8, 1e9))
    assert _receive(far, 3000) == bytes(3000)


def test_a_long_trace_fits_through_the_pipe(link: ProxyLink) -> None:
    steps = tuple(LinkStep(index * 0.1, uplink_bps=1e6 + index) for index in range(3000))
    link.follow(LinkTrace("long", steps, 300.0))
    assert link.profile.uplink_bps >= 1e6
    assert link.transfer_s(10_000, "up") >= 10_000 * 8 / 2e6


def test_it_does_not_spin_while_it_follows_a_trace(link: ProxyLink) -> None:
    with ExitStack() as stack:
        _pair(link, stack)
        link.follow(LinkTrace("steps", (LinkStep(0.0), LinkStep(0.05, uplink_bps=1e6)), 0.1), loop=True)
        relay = psutil.Process(link.pid)
        before = sum(relay.cpu_times()[:2])
        time.sleep(0.5)
        assert sum(relay.cpu_times()[:2]) - before < 0.15


def test_a_connection_that_cannot_be_made_is_said(link: ProxyLink) -> None:
    os.kill(link.pid, signal.SIGKILL)
    with pytest.raises(LinkError, match="relay"):
        link.connect()


def test_its_flow_waits_for_what_was_sent_before() -> None:
    flow = PacedFlow(LinkProfile(0.1, 8e6, 8e6), "up")
    assert flow.transfer_s(1000, 0.0) == pytest.approx(0.051)
    assert flow.transfer_s(1000, 0.0) == pytest.approx(0.052)
    assert flow.transfer_s(1000, 1.0) == pytest.approx(0.051)


def test_closing_ends_the_process(link: ProxyLink) -> None:
    assert psutil.pid_exists(link.pid)
    link.close()
    assert not psutil.pid_exists(link.pid)


def test_a_relay_that_was_killed_is_said(link: ProxyLink) -> None:
    os.kill(link.pid, signal.SIGKILL)
    with pytest.raises(LinkError, match="relay"):
        link.stats()
    link.close()


_PARENT = """
import time
from workbench.links import ProxyLink
from workbench.profiles import LinkProfile
link = ProxyLink(LinkProfile(0.01, 1e6, 1e6))
print(link.pid, flush=True)
time.sleep(600)
"""


def test_it_ends_with_a_parent_that_was_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    relay = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    relay.wait(SOON_S)


def test_it_does_not_spin(link: ProxyLink) -> None:
    with ExitStack() as stack:
        _pair(link, stack)
        relay = psutil.Process(link.pid)
        before = sum(relay.cpu_times()[:2])
        time.sleep(0.5)
        assert sum(relay.cpu_times()[:2]) - before < 0.1


def test_a_connection_that_always_has_more_starves_no_other() -> None:
    with ProxyLink(LinkProfile(0.02, 8e6, 8e6)) as link, ExitStack() as stack:
        busy, quiet = ([stack.enter_context(end) for end in link.connect()] for _ in range(2))
        busy[0].settimeout(0.05)
        ending = threading.Event()

        def flood() -> None:
            while not ending.is_set():
                with suppress(TimeoutError):
                    busy[0].send(bytes(1 << 16))

        def drain() -> None:
            while busy[1].recv(1 << 16):
                pass

        flooding, draining = (threading.Thread(target=work, daemon=True) for work in (flood, drain))
        flooding.start()
        draining.start()
        time.sleep(0.3)
        quiet[0].sendall(b"!" * 100_000)
        quiet[1].settimeout(SOON_S)
        got, began_s = 0, time.monotonic()
        while got < 100_000:
            got += len(quiet[1].recv(1 << 16))
        took_s = time.monotonic() - began_s
        ending.set()
        flooding.join()
        busy[0].shutdown(socket.SHUT_WR)
        draining.join()
    assert took_s < SOON_S  # at half of the rate 0.2 s; starved it would not come at all
