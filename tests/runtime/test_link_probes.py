"""Probes of a path: rates between arrivals, silence, broken connections."""

from __future__ import annotations

import socket
import time

import pytest

from workbench.runtime.link_probes import Flow, Meter, Ping


def test_lumps_make_no_waves() -> None:
    meter = Meter()
    assert meter.take(0.0) == 0.0  # nothing ever came
    meter.add(1000, 10.0)
    assert meter.take(10.1) is None  # one arrival has no rate
    for i in range(1, 5):
        meter.add(5000, 10.0 + 0.3 * i)  # more than a look apart
        assert meter.take(10.0 + 0.3 * i + 0.01) == pytest.approx(5000 * 8 / 0.3)
    assert meter.take(11.3) is None
    assert meter.take(13.0) == 0.0


def test_what_comes_after_silence_begins_anew() -> None:
    meter = Meter()
    meter.add(1000, 1.0)
    meter.add(1000, 1.1)
    meter.add(9_000_000, 5.0)
    assert meter.take(5.1) is None
    meter.add(1000, 5.1)
    assert round(meter.take(5.2) or 0) == 80_000


def test_a_flow_sends_only_while_it_is_on_and_knows_when_it_broke() -> None:
    source, sink = socket.socketpair()
    flow = Flow(source, sink, 1 << 16)
    time.sleep(0.1)
    assert flow.meter.take(time.monotonic()) == 0.0
    flow.on.set()
    time.sleep(0.3)
    assert (flow.meter.take(time.monotonic()) or 0) > 1e6
    assert not flow.broken
    source.close()
    sink.shutdown(socket.SHUT_RDWR)
    deadline = time.monotonic() + 5
    while not flow.broken and time.monotonic() < deadline:
        time.sleep(0.02)
    assert flow.broken
    sink.close()


def test_a_round_trip_is_told_once() -> None:
    edge, cloud = socket.socketpair()
    ping = Ping(edge, cloud)
    time.sleep(0.1)
    found = ping.take()
    assert found is not None
    assert 0 < found < 0.1
    assert ping.take() is None
    edge.shutdown(socket.SHUT_RDWR)
    deadline = time.monotonic() + 5
    while not ping.broken and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ping.broken
    edge.close()
    cloud.close()
