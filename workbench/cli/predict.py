"""``workbench predict``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from workbench import deployment
from workbench.cli.options import Setting, model_of, plan_of, request_of, setting_of
from workbench.cli.text import print_json, quantity, table, trace_table
from workbench.cost import fits
from workbench.errors import DoesNotFitError
from workbench.models import Model
from workbench.plan import CLOUD, EDGE, Plan
from workbench.planner import verdict
from workbench.trace import RequestTrace

__all__ = ["run"]


@dataclass(frozen=True)
class _Candidate:
    title: str
    plan: Plan
    trace: RequestTrace
    problem: str  # why it does not fit; empty where it does


def run(args: argparse.Namespace) -> int:
    """Print what a plan takes beside both baselines; without a plan, what every split takes.

    Raises:
        DoesNotFitError: the plan, or every plan, needs more memory than its devices have.
    """
    model, setting, request = model_of(args), setting_of(args), request_of(args)
    plan = plan_of(args, model)
    plans = _baselines(args, model) | ({_title(plan): plan} if plan else _splits(args, model))
    found = [_candidate(title, p, model, setting, request) for title, p in plans.items()]
    chosen = _chosen(found, plan)
    if args.json:
        print_json(_to_json(found, chosen, setting))
    else:
        _print_text(found, chosen, setting, request, every=plan is None)
    return 0


def _baselines(args: argparse.Namespace, model: Model) -> dict[str, Plan]:
    return {
        "edge-only": deployment.edge_only(model, bits=args.edge_bits),
        "cloud-only": deployment.cloud_only(model, bits=args.cloud_bits),
    }


def _splits(args: argparse.Namespace, model: Model) -> dict[str, Plan]:
    bits = {"edge_bits": args.edge_bits, "cloud_bits": args.cloud_bits}
    points = range(model.n_blocks + 1)
    return {f"split at {k}": deployment.split(model, at=k, wire=args.wire, **bits) for k in points}


def _title(plan: Plan) -> str:
    points = plan.partition.split_points
    return f"split at {', '.join(map(str, points))}" if points else f"{plan.partition.places[0]}-only"


def _candidate(title: str, plan: Plan, model: Model, setting: Setting, request: dict[str, int]) -> _Candidate:
    trace = deployment.predict(plan, setting.edge, setting.cloud, setting.link, model=model, **request)
    try:
        fits(plan, model.profile, {EDGE: setting.edge, CLOUD: setting.cloud}, **request)
    except DoesNotFitError as error:
        return _Candidate(title, plan, trace, str(error))
    return _Candidate(title, plan, trace, "")


def _chosen(found: list[_Candidate], plan: Plan | None) -> _Candidate:
    """The plan that was asked for, or the fastest split that fits."""
    if plan is not None:
        chosen = next(c for c in found if c.plan == plan)
    else:
        splits = [c for c in found if c.plan.partition.split_points]
        chosen = min(splits, key=lambda c: (bool(c.problem), c.trace.total_s))
    if chosen.problem:
        raise DoesNotFitError(chosen.problem)
    return chosen


def _print_text(
    found: list[_Candidate], chosen: _Candidate, setting: Setting, request: dict[str, int], *, every: bool
) -> None:
    print(chosen.plan if not every else chosen.plan.model)
    print(f"edge {setting.edge.title}, cloud {setting.cloud.title}, link {setting.link.title}")
    print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in request.items()), end="\n\n")
    print(
        _every_table(found)
        if every
        else trace_table([(c.title, c.trace) for c in [chosen, *(b for b in found[:2] if b is not chosen)]])
    )
    problems = [f"{c.title}: {c.problem}" for c in found if c.problem]
    print("\n".join(["", *problems, _verdict(found, chosen)]))


def _every_table(found: list[_Candidate]) -> str:
    rows = [
        [
            c.title,
            quantity(c.trace.ttft_s, "s"),
            quantity(c.trace.tpot_s, "s"),
            quantity(c.trace.total_s, "s"),
            quantity(c.trace.bytes_up, "B"),
            quantity(c.trace.bytes_down, "B"),
            quantity(c.trace.memory_bytes.get(EDGE, 0), "B"),
            quantity(c.trace.memory_bytes.get(CLOUD, 0), "B"),
            "no" if c.problem else "yes",
        ]
        for c in [found[1], *found[2:], found[0]]  # from everything in the cloud to everything on the edge
    ]
    header = ["", "TTFT", "TPOT", "total", "up", "down", "edge memory", "cloud memory", "fits"]
    return table(header, rows) + f"\nall {found[0].trace.label}"


def _verdict(found: list[_Candidate], chosen: _Candidate) -> str:
    edge_only, cloud_only = (None if c.problem else c.trace for c in found[:2])
    return str(verdict(chosen.trace, edge_only, cloud_only).text)


def _to_json(found: list[_Candidate], chosen: _Candidate, setting: Setting) -> dict[str, object]:
    plans = {
        c.title: {"plan": c.plan.to_dict(), "trace": c.trace.to_dict(), "problem": c.problem} for c in found
    }
    return {
        "chosen": chosen.title,
        "verdict": _verdict(found, chosen),
        "edge": setting.edge.to_dict(),
        "cloud": setting.cloud.to_dict(),
        "link": setting.link.to_dict(),
        "plans": plans,
    }
