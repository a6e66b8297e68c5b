"""Feature-based plans: ``route`` and ``replay``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.cli.parser.arguments import command, json_switch, positive, sides

__all__ = ["add_replay", "add_route"]

_POLICIES = ("hybrid", "cascade", "classified", "tagged", "cost-aware", "edge-only", "cloud-only", "random")


def add_route(commands: Any) -> None:
    parser = command(
        commands,
        "route",
        "route",
        "Say which module of a plan would answer a prompt, and why. Nothing is run.",
        'route --prompt "sort: q c a ="',
        'route --plan my-plan.yaml --policy cascade --threshold 0.8 --prompt "arithmetic: 17 + 25 ="',
        'route --offline --prompt "Write a poem about Ada Lovelace"',
    )
    parser.add_argument(
        "--prompt", action="append", required=True, help="may be repeated; - reads one a line from input"
    )
    parser.add_argument("--feature", help="the prompt's tag (default: nobody says, and the policy finds out)")
    parser.add_argument("--offline", action="store_true", help="as if there were no link")
    _plan(parser)
    json_switch(parser)


def add_replay(commands: Any) -> None:
    parser = command(
        commands,
        "replay",
        "replay",
        "Run a workload over a plan for real, beside what the cost model says of it.",
        "replay --requests 60 --rate 4 --link lte",
        "replay --plan my-plan.yaml --workload day.jsonl --clock wall --link-kind netem",
        "replay --requests 40 --outage 2,3 --policy cascade --threshold 0.9",
    )
    _plan(parser)
    work = parser.add_argument_group("workload")
    work.add_argument("--workload", type=Path, metavar="FILE", help="requests in CSV or JSON lines")
    work.add_argument("--requests", type=positive, default=40, metavar="N", help="drawn (default 40)")
    work.add_argument(
        "--rate", type=float, default=2.0, metavar="PER_S", help="requests a second (default 2)"
    )
    work.add_argument("--burst", type=positive, default=1, metavar="N", help="that come at once (default 1)")
    work.add_argument(
        "--mix", type=_share, nargs="+", metavar="FEATURE=SHARE", help="default: all shipped ones alike"
    )
    work.add_argument("--untagged", action="store_true", help="nobody says what the requests are")
    work.add_argument("--seed", type=int, default=0)
    sides(parser, cloud_help="a device (default h100-sxm)", host=False)
    run = parser.add_argument_group("emulation", "see `workbench doctor` for what this machine can do")
    run.add_argument("--link-kind", choices=("proxy", "netem"), default="proxy")
    run.add_argument("--clock", choices=("auto", "wall", "virtual"), default="auto")
    run.add_argument("--slots", type=positive, default=4, metavar="N", help="requests at once (default 4)")
    run.add_argument(
        "--outage", type=_outage, action="append", default=[], metavar="AT,FOR", help="no link, in s: 3,5"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write every request's record there, as JSON"
    )
    json_switch(parser)


def _plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plan",
        default="hybrid",
        metavar="NAME|FILE",
        help="a shipped plan, or YAML or JSON (default hybrid)",
    )
    parser.add_argument(
        "--answers",
        type=Path,
        metavar="FILE",
        help="what the plan's modules answered, of `workbench model answers` (default: the shipped table)",
    )
    parser.add_argument("--policy", choices=_POLICIES, default="hybrid", help="default hybrid")
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.6,
        metavar="P",
        help="the edge is sure enough from this probability of being right on (default 0.6); of cost-aware "
        "the least quality, of random the share that goes to the cloud",
    )


def _share(text: str) -> tuple[str, float]:
    feature, equals, share = text.partition("=")
    try:
        return feature, float(share if equals else "1")
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes FEATURE=SHARE, as sort=2; got {text!r}") from None


def _outage(text: str) -> tuple[float, float]:
    begin, comma, length = text.partition(",")
    try:
        return float(begin), float(length if comma else "")
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes AT,FOR in seconds, as 3,5; got {text!r}") from None
