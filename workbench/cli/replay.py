"""``workbench replay``: a workload over a plan for real, beside what the cost model says of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from workbench import deployment
from workbench.cli.options import setting_of
from workbench.cli.route import named_policy
from workbench.cli.text import print_json, table
from workbench.deployment import read_plan
from workbench.errors import InputError
from workbench.plan import Plan
from workbench.routing import Report, Served, Workload, bursts, shipped_pool

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Replay, and show what became of the requests."""
    plan, setting = read_plan(args.plan), setting_of(args)
    policy, workload = named_policy(args, plan), _workload(args, plan)
    emulation = {"link_kind": args.link_kind, "clock": args.clock, "slots": args.slots}
    outages = [(begin, begin + length) for begin, length in args.outage]
    with deployment.deploy(plan, setting.edge, setting.cloud, setting.link, **emulation) as running:
        done = _Progress(len(workload))
        report = running.replay(workload, policy, outages=outages, on_served=done)
        predicted = running.predict_replay(report)
        clock = running.clock
    if args.out is not None:
        _save(args.out, report)
    if args.json:
        data = {"measured": report.to_dict(), "predicted": predicted.to_dict(), "clock": clock}
        print_json({"plan": plan.to_dict(), "policy": policy.name, **data})
    else:
        print(f"{plan.model} over {setting.link.name}, policy {policy.name}, {clock} clock: {report.label}")
        print(_table(report))
        print(_latencies(report, predicted))
        print(_outcomes(report))
    return 0


class _Progress:
    def __init__(self, n: int) -> None:
        self._n, self._done = n, 0

    def __call__(self, served: Served) -> None:
        self._done += 1
        if sys.stderr.isatty():
            print(f"\r{self._done} of {self._n} requests", end="", file=sys.stderr, flush=True)


def _workload(args: argparse.Namespace, plan: Plan) -> Workload:
    if args.workload is not None:
        found = Workload.load(args.workload)
    else:
        known = [feature for feature in shipped_pool() if feature in plan.features]
        mix = dict(args.mix) if args.mix else dict.fromkeys(known, 1.0)
        if not mix:
            raise InputError(
                f"no shipped prompts are of the plan's features ({', '.join(plan.features)}): give "
                "--workload FILE, or --mix with --untagged"
            )
        found = bursts(mix, args.rate, args.burst, args.requests, seed=args.seed)
    return found.untagged() if args.untagged else found


def _save(path: Path, report: Report) -> None:
    try:
        report.save(path)
    except OSError as error:
        raise InputError(f"--out {path} cannot be written ({error.strerror}): name another file") from error


_COLUMNS = ("feature", "requests", "right", "misrouted", "edge_share", "escalated", "refused")


def _table(report: Report) -> str:
    rows = [[_shown(name, row[name]) for name in _COLUMNS] for row in report.rows()]
    return table([name.replace("_", " ") for name in _COLUMNS], rows)


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.0%}" if isinstance(value, float) else str(value)


def _latencies(report: Report, predicted: Report) -> str:
    names = ("mean", "p50", "p95")
    both = {f"latency, replayed ({report.label})": report, "latency, predicted (modelled)": predicted}
    rows = [
        [title, *(f"{1e3 * of.latency_s[name]:.0f} ms" if of.latency_s else "–" for name in names)]
        for title, of in both.items()
    ]
    return table(["", *names], rows)


def _outcomes(report: Report) -> str:
    counts = ", ".join(f"{n} {outcome}" for outcome, n in report.outcomes.items() if n)
    routing = report.routing_s
    spent = f"; deciding took {1e3 * routing['p50']:.2f} ms (median, measured)" if routing else ""
    crossed = f"{report.bytes_up} B up and {report.bytes_down} B down (measured)"
    return f"{counts}{spent}; {crossed}, {report.energy_j:.2f} J (modelled)"
