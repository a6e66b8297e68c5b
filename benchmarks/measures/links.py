"""What one kind of link makes of a grid of profiles, message sizes and a trace. Needs no torch.

    python -m benchmarks.measures.links --kind netem --json FILE

A module of its own, so that it can run inside another kernel than the host's.
"""

from __future__ import annotations

import argparse
import json
import platform
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any

from tests.links.residue import POINTS_S, left_after_kill
from workbench.links import LinkTrace, NetemLink, Tolerance, link_trace, make_link
from workbench.links.base import Direction, Link
from workbench.links.fidelity import transfers
from workbench.links.measure import flood
from workbench.links.verify import examine
from workbench.profiles import LinkProfile, link

PROFILES = (
    link("3g"),
    link("4g"),
    link("lte"),
    link("5g"),
    link("cable"),
    link("geostationary"),
    link("fibre"),
    link("starlink"),
    LinkProfile(0.04, 10e6, 20e6, loss=0.01, name="lossy"),
)
TRACE, TRACE_S = "lte-drive", 40.0
REPEATS = 9
_FRAME, _SEGMENT, _DATAGRAM = 1514, 1448, 1472
_OVERLOAD = 1.2


def main() -> None:
    """Measure and write everything down."""
    arguments = _arguments()
    record = measured(arguments.kind)
    arguments.json.write_text(json.dumps(record), encoding="utf-8")


def measured(kind: str) -> dict[str, Any]:
    """All cases of a kind of link."""
    cases: list[dict[str, Any]] = []
    for profile in PROFILES:
        began_s = perf_counter()
        with make_link(kind, profile) as made:
            if kind != "simulated":
                cases += _checks(made)
            cases += [transfer.to_dict() for transfer in transfers(made, repeats=REPEATS)]
        print(f"{kind} {profile.name}: {perf_counter() - began_s:.0f} s", file=sys.stderr, flush=True)
    record: dict[str, Any] = {"kernel": platform.release(), "cases": cases}
    if kind != "simulated":
        record["traces"] = [_replay(kind, direction) for direction in ("up", "down")]
    if kind == "netem":
        record["residue"] = {f"{at_s:.2f}": str(left) for at_s in POINTS_S if (left := left_after_kill(at_s))}
    return record


def _checks(made: Link) -> Iterator[dict[str, Any]]:
    examined = examine(made, Tolerance(seconds=2.0))
    for check in examined.checks:
        named = {"profile": made.profile.name, "kind": made.kind, "check": check.name}
        yield {**named, **asdict(check), "label": examined.label}


def _replay(kind: str, direction: Direction) -> dict[str, Any]:
    """Bytes that come out of a trace with always more to send, beside those that it says."""
    trace, base = link_trace(TRACE), link("lte")
    with make_link(kind, base) as made:
        if isinstance(made, NetemLink):
            found = _datagram_bytes(made, trace, direction)
        else:
            found = _stream_bytes(made, trace, direction)
    asked = trace.delivered_bytes(base, direction, 0.0, TRACE_S)
    case = {"trace": TRACE, "kind": kind, "direction": direction, "asked_bytes": asked, "found_bytes": found}
    print(f"{kind} {TRACE} {direction}: {found / asked - 1:+.2%}", file=sys.stderr, flush=True)
    return case


def _datagram_bytes(made: NetemLink, trace: LinkTrace, direction: Direction) -> float:
    """By the kernel's count of frames that left; TCP would have to find back after each outage."""
    edge, cloud = made.datagrams()
    source = edge if direction == "up" else cloud
    with edge, cloud:
        made.follow(trace)
        began_s, before = monotonic(), made.stats().carried(direction)
        due_s, payload = 0.0, bytes(_DATAGRAM)
        while (now_s := monotonic() - began_s) < TRACE_S:
            step = trace.at(now_s)
            rate_bps = step.uplink_bps if direction == "up" else step.downlink_bps
            due_s = max(due_s, now_s - 0.05)  # of what a busy host missed, a little is caught up
            if due_s > now_s:
                sleep(min(due_s - now_s, 0.02))
            elif rate_bps:
                source.send(payload)
                due_s += _FRAME * 8 / (rate_bps * _FRAME / _SEGMENT * _OVERLOAD)
            else:
                sleep(0.005)
        return (made.stats().carried(direction) - before) * _SEGMENT / _FRAME


def _stream_bytes(made: Link, trace: LinkTrace, direction: Direction) -> float:
    edge, cloud = made.connect()
    source, sink = (edge, cloud) if direction == "up" else (cloud, edge)
    ending = threading.Event()
    with edge, cloud:
        sender = threading.Thread(target=flood, args=(source, ending), daemon=True)
        made.follow(trace)
        began_s, total = monotonic(), 0
        sender.start()
        sink.settimeout(1.0)
        while monotonic() - began_s < TRACE_S:
            try:
                total += len(sink.recv(1 << 16))
            except TimeoutError:
                continue
        ending.set()
        sink.shutdown(socket.SHUT_RDWR)
        sender.join()
    return total


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", required=True, choices=("netem", "proxy", "simulated"))
    parser.add_argument("--json", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
