"""``workbench route``: which module would answer, and why. Nothing is run."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from workbench.cli.text import print_json, table
from workbench.deployment import read_plan
from workbench.errors import RefusedError, UnknownNameError
from workbench.plan import Plan
from workbench.routing import (
    AnswerTable,
    Calibration,
    Policy,
    Request,
    Situation,
    calibrated,
    make_policy,
    settle,
    shipped_answers,
)

__all__ = ["named_policy", "run"]


def run(args: argparse.Namespace) -> int:
    """Decide for each prompt; a refusal is a decision too, and ends with code 1."""
    plan = read_plan(args.plan)
    if args.feature is not None:
        plan.placement(args.feature)
    policy, situation = named_policy(args, plan), Situation(online=not args.offline)
    prompts = (
        [line for line in sys.stdin.read().splitlines() if line] if args.prompt == ["-"] else args.prompt
    )
    found = [_decision(plan, policy, Request(prompt, args.feature), situation) for prompt in prompts]
    if args.json:
        print_json({"plan": plan.to_dict(), "policy": policy.name, "decisions": found})
    else:
        rows = list(plan.rows())
        print(table(list(rows[0]), [list(row.values()) for row in rows]))
        for decision in found:
            print(
                "\n"
                + "\n".join(f"{name:12} {value}" for name, value in decision.items() if value is not None)
            )
    return 1 if any(decision["outcome"] == "refused" for decision in found) else 0


def _decision(plan: Plan, policy: Policy, request: Request, situation: Situation) -> dict[str, Any]:
    route = policy.route(request, plan, situation)
    shown = {"prompt": request.prompt, "taken for": route.feature, "sureness": f"{route.sureness:.2f}"}
    try:
        settled = settle(route, request, plan, situation)
    except RefusedError as error:
        return {**shown, "outcome": "refused", "reason": f"{type(error).__name__}: {error}"}
    known = settled.module in plan.features
    return {
        **shown,
        "outcome": settled.outcome,
        "module": settled.module,
        "where": str(plan.placement(settled.module)) if known else None,
        "if unsure": settled.escalate_to,
        "bound": None if settled.bound is None else str(settled.bound),
        "reason": settled.reason,
    }


def named_policy(args: argparse.Namespace, plan: Plan) -> Policy:
    """The policy that a command names, calibrated on what the plan's modules answered where it wants that."""
    if args.policy in ("cascade", "hybrid"):
        return make_policy(args.policy, calibration=_calibration(args, plan), threshold=args.threshold)
    if args.policy == "cost-aware":
        return make_policy(args.policy, quality=_table(args).qualities(plan), floor=args.threshold)
    if args.policy == "random":
        return make_policy(args.policy, edge_share=1 - args.threshold)
    return make_policy(args.policy)


def _table(args: argparse.Namespace) -> AnswerTable:
    return shipped_answers("calibration") if args.answers is None else AnswerTable.load(args.answers)


def _calibration(args: argparse.Namespace, plan: Plan) -> Calibration | None:
    """None, with a word, where a module of the plan was never measured."""
    try:
        return calibrated(plan, _table(args))
    except UnknownNameError as error:
        if args.answers is not None:
            raise
        print(
            f"note: not calibrated, {error.name!r} was not measured: `workbench model answers --plan "
            f"{args.plan} --examples calibration --out FILE`, then --answers FILE",
            file=sys.stderr,
        )
        return None
