"""``workbench generate``: the edge side, and the cloud too unless one is named."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import torch

from workbench import deployment
from workbench.cli.options import device_of, link_of, model_of, plan_of, trace_of
from workbench.cli.text import print_json, trace_table
from workbench.devices import threads_for
from workbench.errors import InputError, PeerLostError
from workbench.models import Model
from workbench.plan import CLOUD, Plan
from workbench.runtime.decoding import Sampling
from workbench.runtime.edge import Conditions, EdgeClient, OnToken
from workbench.runtime.stages import HOST_KIND
from workbench.trace import RequestTrace
from workbench.wire.transport import connect

__all__ = ["run"]

_REACH_TIMEOUT_S = 10


class _Generate(Protocol):
    def __call__(
        self, prompts: str, /, *, max_new_tokens: int, sampling: Sampling, on_token: OnToken | None
    ) -> RequestTrace: ...


def run(args: argparse.Namespace) -> int:
    """Generate once, tokens as they come, then the trace."""
    model = model_of(args)
    plan = _needed(plan_of(args, model))
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
    with _side(args, model, plan) as generate:
        trace = generate(
            prompt,
            max_new_tokens=args.max_new_tokens,
            sampling=_sampling(args),
            on_token=None if args.json else _show,
        )
    if args.json:
        print_json(trace.to_dict())
    else:
        _print_trace(trace)
    return 0


def _needed(plan: Plan | None) -> Plan:
    if plan is None:
        raise InputError("say where to cut: --split K, --split A,B, --edge-only or --cloud-only")
    return plan


@contextmanager
def _side(args: argparse.Namespace, model: Model, plan: Plan) -> Iterator[_Generate]:
    """What generates: both sides on this host, or this one with a cloud that runs elsewhere."""
    if ":" in args.cloud:
        with _remote(args, model, plan) as generate:
            yield generate
        return
    edge, cloud = device_of(args.edge), device_of(args.cloud)
    emulation = {"link_kind": args.link_kind, "clock": args.clock, "throttle": args.throttle}
    trace = trace_of(args)
    with deployment.deploy(plan, edge, cloud, link_of(args), model=model, **emulation) as running:
        if args.verify_link:
            print(running.verify_link(), file=sys.stderr)
        if trace is not None:
            running.follow(trace)
        yield running.generate


@contextmanager
def _remote(args: argparse.Namespace, model: Model, plan: Plan) -> Iterator[_Generate]:
    if not plan.partition.on(CLOUD):
        raise InputError("this plan has nothing to do for a cloud: leave out --cloud, or choose --split")
    _check_reachable(args.cloud)
    torch.set_num_threads(threads_for(model.profile))
    edge = None if args.edge == HOST_KIND else device_of(args.edge)
    pace = "native" if edge is None else "dilation"
    facts = {"link": "the real path: not shaped", "cloud": args.cloud, "edge": args.edge}
    with connect(f"tcp://{args.cloud}", server_key=args.server_key) as transport:
        client = EdgeClient(model, plan, transport, device=edge)
        yield partial(client.generate, conditions=Conditions(pace, facts=facts))


def _check_reachable(address: str) -> None:
    """A cloud may take minutes to load its stages; that nobody is there shows at once."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        raise InputError(f"--cloud takes a device or HOST:PORT, as 192.0.2.7:5555; got {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=_REACH_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise PeerLostError(
            f"nobody answers at {address} ({error}): is `workbench serve` running there?"
        ) from error


def _sampling(args: argparse.Namespace) -> Sampling:
    filters = {"temperature": args.temperature, "top_k": args.top_k, "top_p": args.top_p}
    given = {name: value for name, value in filters.items() if value is not None}
    return Sampling(do_sample=bool(given), seed=args.seed, stop=tuple(args.stop), **given)


def _show(piece: str) -> None:
    print(piece, end="", flush=True)


def _print_trace(trace: RequestTrace) -> None:
    print("\n")
    print(trace.plan)
    print(", ".join(f"{name} {value}" for name, value in trace.facts.items()))
    print(trace_table([(f"{trace.clock} clock", trace)]))
    print("".join(f"note: {note}\n" for note in trace.notes), end="")
