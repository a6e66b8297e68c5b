"""``workbench predict``."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

from workbench import deployment
from workbench.cli.options import Request, Setting, plan_of, profile_of, request_of, setting_of
from workbench.cli.text import print_json, quantity, table, trace_table
from workbench.errors import DoesNotFitError
from workbench.plan import CLOUD, EDGE, Plan
from workbench.planner import verdict
from workbench.profiles import ModelProfile
from workbench.trace import RequestTrace

__all__ = ["run"]


@dataclass(frozen=True)
class _Candidate:
    title: str
    plan: Plan
    trace: RequestTrace | None  # None where it does not fit
    problem: str = ""  # why it does not fit


def run(args: argparse.Namespace) -> int:
    """Print what a plan takes beside both baselines; without a plan, what every split takes.

    Raises:
        DoesNotFitError: the plan, or every plan, needs more memory than its devices have.
    """
    model, setting, request = profile_of(args), setting_of(args), request_of(args)
    plan = plan_of(args, model)
    plans = _baselines(args, model) | ({_title(plan): plan} if plan else _splits(args, model))
    found = [_candidate(title, p, model, setting, request) for title, p in plans.items()]
    chosen = _chosen(found, plan)
    if args.json:
        print_json(_to_json(found, chosen, setting))
    else:
        _print_text(found, chosen, setting, request, every=plan is None)
    return 0


def _baselines(args: argparse.Namespace, model: ModelProfile) -> dict[str, Plan]:
    return {
        "edge-only": deployment.edge_only(model, bits=args.edge_bits),
        "cloud-only": deployment.cloud_only(model, bits=args.cloud_bits),
    }


def _splits(args: argparse.Namespace, model: ModelProfile) -> dict[str, Plan]:
    bits = {"edge_bits": args.edge_bits, "cloud_bits": args.cloud_bits}
    points = range(model.n_blocks + 1)
    return {f"split at {k}": deployment.split(model, at=k, wire=args.wire, **bits) for k in points}


def _title(plan: Plan) -> str:
    points = plan.partition.split_points
    return f"split at {', '.join(map(str, points))}" if points else f"{plan.partition.places[0]}-only"


def _candidate(title: str, plan: Plan, model: ModelProfile, setting: Setting, request: Request) -> _Candidate:
    try:
        trace = deployment.predict(plan, setting.edge, setting.cloud, setting.link, model=model, **request)
    except DoesNotFitError as error:
        return _Candidate(title, plan, None, str(error))
    return _Candidate(title, plan, trace)


def _chosen(found: list[_Candidate], plan: Plan | None) -> _Candidate:
    """The plan that was asked for, or the fastest split."""
    if plan is not None:
        chosen = next(c for c in found if c.plan == plan)
    else:
        splits = [c for c in found if c.plan.partition.split_points]
        chosen = min(splits, key=lambda c: c.trace.total_s if c.trace else math.inf)
    if chosen.trace is None:
        raise DoesNotFitError(chosen.problem)
    return chosen


def _print_text(
    found: list[_Candidate], chosen: _Candidate, setting: Setting, request: Request, *, every: bool
) -> None:
    print(chosen.plan if not every else chosen.plan.model)
    print(f"edge {setting.edge.title}, cloud {setting.cloud.title}, link {setting.link.title}")
    print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in request.items()), end="\n\n")
    beside = [chosen, *(c for c in found[:2] if c is not chosen)]
    print(_every_table(found) if every else trace_table([(c.title, c.trace) for c in beside if c.trace]))
    problems = [f"{c.title} cannot be: {c.problem}" for c in found if c.problem]
    print("\n".join(["", *problems, *filter(None, [_verdict(found, chosen)])]))


def _every_table(found: list[_Candidate]) -> str:
    ordered = [found[1], *found[2:], found[0]]  # from all of it in the cloud to all of it on the edge
    header = ["", "TTFT", "TPOT", "total", "up", "down", "edge memory", "cloud memory"]
    rows = [[c.title, *_cells(c.trace)] for c in ordered]
    return table(header, rows) + "\nall of it modelled"


def _cells(trace: RequestTrace | None) -> list[str]:
    if trace is None:
        return ["does not fit", *["–"] * 6]
    seconds = [quantity(value, "s") for value in (trace.ttft_s, trace.tpot_s, trace.total_s)]
    held = [trace.memory_bytes.get(place, 0) for place in (EDGE, CLOUD)]
    return [*seconds, *(quantity(value, "B") for value in (trace.bytes_up, trace.bytes_down, *held))]


def _verdict(found: list[_Candidate], chosen: _Candidate) -> str:
    """What to make of a split; a baseline says nothing about itself."""
    if chosen.trace is None or not chosen.plan.partition.split_points:
        return ""
    edge_only, cloud_only = (c.trace for c in found[:2])
    return verdict(chosen.trace, edge_only, cloud_only).text


def _to_json(found: list[_Candidate], chosen: _Candidate, setting: Setting) -> dict[str, object]:
    plans = {
        c.title: {"plan": c.plan.to_dict(), "trace": c.trace and c.trace.to_dict(), "problem": c.problem}
        for c in found
    }
    return {
        "chosen": chosen.title,
        "verdict": _verdict(found, chosen),
        "edge": setting.edge.to_dict(),
        "cloud": setting.cloud.to_dict(),
        "link": setting.link.to_dict(),
        "plans": plans,
    }
