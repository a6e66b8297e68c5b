"""Searches: ``study``, ``report`` and ``demo``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.cli.parser.arguments import (
    command,
    json_switch,
    names,
    positive,
    request,
    sides,
    whole_numbers,
)
from workbench.plan import WIRE_CODECS
from workbench.records import OBJECTIVES

__all__ = ["add_demo", "add_report", "add_study"]


def add_study(commands: Any) -> None:
    parser = command(
        commands,
        "study",
        "study",
        "Search plans for the best trade-offs; the same file goes on where it stopped.",
        "study --trials 60 --storage lte.db --edge raspberry-pi-5 --cloud h100-sxm --link lte",
        "study --trials 200 --storage lte.db --objectives latency,accuracy,memory",
    )
    parser.add_argument("--trials", type=positive, default=60, metavar="N", help="trials to add (default 60)")
    parser.add_argument(
        "--storage", type=Path, required=True, metavar="FILE", help="SQLite file, made if missing"
    )
    parser.add_argument("--name", help="of the study in the file (default: what it asks)")
    parser.add_argument(
        "--objectives",
        type=names,
        default=("latency", "accuracy"),
        metavar="A,B",
        help=f"of {', '.join(OBJECTIVES)} (default latency,accuracy)",
    )
    limits = "what a plan must keep to, e.g. 'latency <= 0.5, accuracy >= 0.9' (in s, B, J, shares)"
    parser.add_argument("--limits", default="", metavar="TEXT", help=limits)
    parser.add_argument("--sampler", default="tpe", help="tpe, nsga2, random or grid (default tpe)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--suite", choices=("quick", "full"), default="quick", help="of accuracy (default quick)"
    )
    parser.add_argument("--model", default="tiny", help="a shipped model, a Hugging Face id or a folder")
    _space(parser)
    sides(parser)
    request(parser)
    json_switch(parser)


def _space(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("space", "what may be chosen; both baselines always are")
    group.add_argument("--splits", type=whole_numbers, metavar="A,B", help="split points (default all)")
    group.add_argument("--edge-bits", type=whole_numbers, metavar="A,B", help="weight bits on the edge")
    group.add_argument("--cloud-bits", type=whole_numbers, metavar="A,B", help="weight bits in the cloud")
    group.add_argument("--wires", type=names, metavar="A,B", help=f"of {', '.join(WIRE_CODECS)}")
    group.add_argument("--u-shaped", action="store_true", help="also plans whose last blocks come back")


def add_report(commands: Any) -> None:
    parser = command(
        commands,
        "report",
        "report",
        "Write a study as one HTML page, CSV and Parquet.",
        "report --storage lte.db --out results/lte",
    )
    parser.add_argument("--storage", type=Path, required=True, metavar="FILE", help="the study's SQLite file")
    parser.add_argument("--name", help="of the study, where the file has several")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    json_switch(parser)


def add_demo(commands: Any) -> None:
    parser = command(
        commands,
        "demo",
        "demo",
        "Do the main job once: predict, run for real, search, report.",
        "demo --out results/demo",
    )
    parser.add_argument("--out", type=Path, default=Path("results/demo"), metavar="DIR")
    parser.add_argument("--trials", type=positive, default=60, metavar="N", help="default 60")
