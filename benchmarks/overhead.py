"""What splitting itself costs: nothing here is slowed, neither by a device nor by a link.

    python benchmarks/overhead.py [--json FILE] [--trips 300] [--turns 9]

Decode steps of a split model, its halves in two processes over loopback, against transformers' own model
whole: for a model of hidden size 2048 and for ``tiny``. The two take turns, request by request.

Round trips carry a boundary activation to another process and back through the transport, with its headers,
against the same bytes through a bare TCP socket. The two take turns, trip by trip, so that whatever else the
host does falls on both. Beside the ratio stand the same trip with tensors encoded and decoded on both sides
(float32), and that with encryption too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as the worker processes have it

import torch
from measures.decode import decode_times
from measures.large_model import N_BLOCKS, large_checkpoint

from workbench.models import load_model
from workbench.wire import (
    Forward,
    KeyPair,
    Result,
    Timing,
    connect,
    decode_tensors,
    encode_tensors,
    listen,
    new_keys,
)

TARGETS = {"rtt_4k_ratio": 2.0, "rtt_4m_ratio": 1.3, "decode_ratio_large": 1.02}
SIZES = {"4k": (1, 1, 1024), "4m": (1, 1024, 1024)}  # float32
WARM_UP = 20
ANSWER_S = 60.0

Trip = Callable[[], None]


@dataclass(frozen=True)
class Medians:
    """Seconds per round trip."""

    tcp_s: float
    transport_s: float
    codec_s: float  # the transport, and tensors to bytes and back on both sides
    curve_s: float  # and encryption


def main() -> None:
    """Measure, print every figure beside its target, write the record."""
    arguments = _arguments()
    if arguments.echo:
        _ECHOES[arguments.echo](arguments.size)
        return
    figures, cases = round_trip_figures(arguments.trips)
    with large_checkpoint() as large:
        more, seen = decode_figures(large, arguments.turns)
    figures |= more
    cases += seen
    for name, value in figures.items():
        target = f"target at most {TARGETS[name]:g}" if name in TARGETS else "no target: reported"
        print(f"{name:20} {value:8.3f}   {target}")
    if arguments.json:
        record = {
            "benchmark": "overhead",
            "host": {"machine": platform.platform(), "cpus": os.cpu_count(), "load": os.getloadavg()},
            "versions": {name: version(name) for name in ("torch", "pyzmq", "msgspec")},
            "figures": figures,
            "cases": cases,
        }
        arguments.json.write_text(json.dumps(record, indent=1), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the record there")
    parser.add_argument("--trips", type=int, default=300, help="round trips per size (default 300)")
    parser.add_argument("--turns", type=int, default=9, help="turns of each decode comparison (default 9)")
    parser.add_argument("--echo", choices=sorted(_ECHOES), help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


# ---- decode steps


def decode_figures(large: Path, turns: int) -> tuple[dict[str, float], list[dict[str, object]]]:
    """``decode_ratio_large`` and ``decode_ratio_tiny``, and the medians behind them."""
    tiny = load_model("tiny")
    models = {"large": (large, N_BLOCKS // 2, 16), "tiny": (tiny.source, tiny.n_blocks // 2, 48)}
    figures: dict[str, float] = {}
    cases: list[dict[str, object]] = []
    for name, (folder, at, tokens) in models.items():
        times = decode_times(folder, at=at, bits=16, wire="bf16", tokens=tokens, turns=turns)
        figures[f"decode_ratio_{name}"] = times.ratio
        for way, median_s in (("unsplit", times.unsplit_s), ("split", times.split_s)):
            print(f"decode step {name:5} {way:8} {median_s * 1e3:10.3f} ms")
            cases.append(
                {"what": f"decode step of {name}", "through": way, "median_s": median_s, "turns": turns}
            )
    return figures, cases


# ---- round trips


def round_trip_figures(trips: int) -> tuple[dict[str, float], list[dict[str, object]]]:
    """``rtt_4k_ratio`` and ``rtt_4m_ratio``, and the medians behind them."""
    figures: dict[str, float] = {}
    cases: list[dict[str, object]] = []
    for size, shape in SIZES.items():
        medians = round_trips(shape, trips)
        figures[f"rtt_{size}_ratio"] = medians.transport_s / medians.tcp_s
        for way, median_s in asdict(medians).items():
            print(f"round trip {size} {way:11} {median_s * 1e6:10.1f} µs")
            cases.append(
                {"what": f"round trip of {size}", "through": way, "median_s": median_s, "trips": trips}
            )
    return figures, cases


def round_trips(shape: tuple[int, ...], trips: int) -> Medians:
    """Medians over trips that take turns."""
    values = torch.randn(*shape)
    n_bytes = values.numel() * values.element_size()
    with ExitStack() as stack:
        ways = [
            stack.enter_context(_tcp(n_bytes)),
            stack.enter_context(_transport(values, coded=False)),
            stack.enter_context(_transport(values)),
            stack.enter_context(_transport(values, new_keys())),
        ]
        taken = [[_timed(trip) for trip in ways] for _ in range(WARM_UP + trips)]
    return Medians(*(statistics.median(column) for column in zip(*taken[WARM_UP:], strict=True)))


def _timed(trip: Trip) -> float:
    started_s = perf_counter()
    trip()
    return perf_counter() - started_s


@contextmanager
def _echo(kind: str, size: int = 0, words: str = "") -> Iterator[str]:
    """The other process; gives the line in which it says where it listens."""
    command = [sys.executable, __file__, "--echo", kind, "--size", str(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(words + "\n")
            process.stdin.flush()
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@contextmanager
def _tcp(n_bytes: int) -> Iterator[Trip]:
    data, buffer = bytes(n_bytes), bytearray(n_bytes)
    with _echo("tcp", n_bytes) as port, socket.create_connection(("127.0.0.1", int(port))) as end:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def trip() -> None:
            end.sendall(data)
            _read_all(end, buffer)

        yield trip


@contextmanager
def _transport(values: torch.Tensor, keys: KeyPair | None = None, *, coded: bool = True) -> Iterator[Trip]:
    words = json.dumps([keys.public, keys.secret] if keys else None)
    ready = encode_tensors({"hidden_states": values}, "fp32")
    with ExitStack() as stack:
        address = stack.enter_context(_echo("coded" if coded else "plain", words=words))
        end = stack.enter_context(connect(address, server_key=keys.public if keys else None))

        def trip() -> None:
            headers, frames = encode_tensors({"hidden_states": values}, "fp32") if coded else ready
            end.send(Forward(1, 0, 0, headers), frames)
            message, frames = end.receive(ANSWER_S)
            assert isinstance(message, Result)
            if coded:
                decode_tensors(message.tensors, frames)

        yield trip


def _echo_tcp(n_bytes: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        end, _ = server.accept()
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = bytearray(n_bytes)
        while _read_all(end, buffer):
            end.sendall(buffer)


def _echo_transport(coded: bool) -> None:
    words = json.loads(sys.stdin.readline())
    with listen(keys=KeyPair(*words) if words else None) as server:
        print(server.address, flush=True)
        while True:
            request = server.receive(ANSWER_S)
            if request is None or not isinstance(request.message, Forward):
                return
            headers, frames = request.message.tensors, request.frames
            if coded:
                headers, frames = encode_tensors(decode_tensors(headers, frames), "fp32")
            server.send(request.peer, Result(1, 0, Timing(0.0, 0.0, 0.0), False, tensors=headers), frames)


_ECHOES: dict[str, Callable[[int], None]] = {
    "tcp": _echo_tcp,
    "plain": lambda _size: _echo_transport(coded=False),
    "coded": lambda _size: _echo_transport(coded=True),
}


def _read_all(end: socket.socket, buffer: bytearray) -> bool:
    view, have = memoryview(buffer), 0
    while have < len(buffer):
        got = end.recv_into(view[have:])
        if not got:
            return False
        have += got
    return True


if __name__ == "__main__":
    main()
