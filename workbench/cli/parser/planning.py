"""Before anything runs: ``predict`` and ``plan``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.cli.parser.arguments import command, json_switch, names, plan_group, request, sides

__all__ = ["add_plan", "add_predict"]

_OF_A_SCENARIO = ("edge", "cloud", "link", "prompt_tokens", "new_tokens", "batch")


def add_predict(commands: Any) -> None:
    parser = command(
        commands,
        "predict",
        "predict",
        "Predict one split, or with no --split every one of them, beside both baselines.",
        "predict --split 3 --edge raspberry-pi-5 --cloud h100-sxm --link lte",
        "predict --link lte --up-mbps 2               # every split point, on a slow uplink",
        "predict --split 2,6 --edge-bits 4 --wire int8  # U-shaped: blocks 2 to 5 in the cloud",
    )
    plan_group(parser)
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="a model's profile as `workbench model profile` writes it, in place of --model",
    )
    sides(parser)
    request(parser)
    json_switch(parser)


def add_plan(commands: Any) -> None:
    parser = command(
        commands,
        "plan",
        "plan",
        "Say where to cut, and whether: of all plans the best, beside both ways of not splitting.",
        "plan chat_on_lte.yaml",
        "plan chat_on_lte.yaml --set constraints.tpot='100 ms' --set link.rtt='80 ms' --html plan.html",
        "plan --model llama-3-8b --edge jetson-agx-orin --cloud h100-sxm --link lte",
        "plan --model llama-3-8b --objective total,edge_energy --json   # the best in total, and the front",
    )
    parser.add_argument(
        "scenario",
        nargs="?",
        type=Path,
        metavar="SCENARIO",
        help="a file in YAML or JSON, as in data/scenarios",
    )
    parser.add_argument(
        "--planner", default="auto", metavar="NAME", help="auto (default), or one by name, e.g. exhaustive"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_change,
        dest="changes",
        metavar="KEY=VALUE",
        help="a value of the scenario by its path, as constraints.ttft='2 s'; may be repeated",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page of its own there as well")
    parser.add_argument(
        "--model", help="instead of the scenario's (default tiny): see `workbench architectures`"
    )
    parser.add_argument(
        "--objective",
        type=names,
        metavar="A[,B]",
        help="what to be best at (default total); of several, the front too",
    )
    sides(parser)
    request(parser)
    parser.set_defaults(**dict.fromkeys(_OF_A_SCENARIO))  # what nobody gave is the scenario's
    json_switch(parser)


def _change(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not (equals and path.strip()):
        raise argparse.ArgumentTypeError(
            f"takes KEY=VALUE, as link=lte or constraints.ttft='2 s'; got {text!r}"
        )
    return path.strip(), value
