"""What this machine can do: ``doctor``, ``device`` and ``model``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.cli.parser.arguments import command, json_switch
from workbench.plan import BITS, WIRE_CODECS

__all__ = ["add_device", "add_doctor", "add_model"]


def add_doctor(commands: Any) -> None:
    parser = command(
        commands,
        "doctor",
        "doctor",
        "Say what this machine can do and how to get the rest.",
        "doctor",
        "doctor --json",
    )
    json_switch(parser)


def add_device(commands: Any) -> None:
    parser = command(
        commands,
        "device",
        "device",
        "Measure this machine as a device.",
        "device calibrate",
        "device calibrate --out my-laptop.json",
    )
    calibrate = command(
        parser.add_subparsers(title="commands", metavar="COMMAND", required=True),
        "calibrate",
        "device",
        "Measure this machine into a device profile that --edge and --cloud take.",
        "device calibrate",
        "device calibrate --out my-laptop.json",
        "predict --split 3 --edge my-laptop.json",
    )
    calibrate.add_argument(
        "--model", default="tiny", help="measure with its stages; true for this model (default tiny)"
    )
    calibrate.add_argument("--out", type=Path, metavar="FILE", help="write the profile there; ends in .json")
    calibrate.add_argument(
        "--force", action="store_true", help="measure again, and write over FILE where it is there"
    )
    json_switch(calibrate)


def add_model(commands: Any) -> None:
    parser = command(
        commands,
        "model",
        "model",
        "Measure a model on this machine.",
        "model profile",
        "model profile --model tiny --bits 16 4 --out tiny.json",
        "model sensitivity --model tiny --out losses.json",
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_profile(parts)
    _add_sensitivity(parts)
    _add_answers(parts)


def _add_profile(parts: Any) -> None:
    profile = command(
        parts,
        "profile",
        "model",
        "Measure each block, the embedding and the head, for prompts and single tokens, at each width.",
        "model profile",
        "model profile --model tiny --bits 16 4 --out tiny.json",
        "predict --split 3 --edge host --cloud host --profile tiny.json",
    )
    profile.add_argument("--model", default="tiny", help="a shipped model, a Hugging Face id or a folder")
    profile.add_argument(
        "--bits", type=int, nargs="+", choices=BITS, default=BITS, help="weight bits (default all)"
    )
    profile.add_argument(
        "--device",
        default="host",
        metavar="NAME",
        help="the device that the times belong to, as `workbench device calibrate` names it (default host)",
    )
    profile.add_argument("--out", type=Path, metavar="FILE", help="write the model's profile there, as JSON")
    profile.add_argument(
        "--force", action="store_true", help="measure again, and write over FILE where it is there"
    )
    json_switch(profile)


def _add_sensitivity(parts: Any) -> None:
    parser = command(
        parts,
        "sensitivity",
        "sensitivity",
        "Measure what fewer bits cost in accuracy: one block at a time, and each wire codec.",
        "model sensitivity",
        "model sensitivity --model tiny --suite full --out losses.json",
        "model sensitivity --check 10",
    )
    parser.add_argument("--model", default="tiny", help="a shipped model, a Hugging Face id or a folder")
    parser.add_argument(
        "--bits", type=int, nargs="+", choices=(8, 4), default=(8, 4), help="weight bits (default 8 and 4)"
    )
    parser.add_argument(
        "--wires",
        nargs="+",
        choices=WIRE_CODECS,
        default=("int8", "int4"),
        metavar="CODEC",
        help="codecs at the middle split point (default int8 and int4)",
    )
    parser.add_argument(
        "--suite", default="quick", choices=("quick", "full"), help="whose prose is scored (default quick)"
    )
    parser.add_argument(
        "--check",
        type=int,
        default=0,
        metavar="N",
        help="also run N plans of random widths and compare their losses with the table's sums",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table there, as JSON")
    json_switch(parser)


def _add_answers(parts: Any) -> None:
    parser = command(
        parts,
        "answers",
        "answers",
        "Measure what each module of a plan answers to examples: what thresholds and curves are found on.",
        "model answers --plan hybrid",
        "model answers --plan my-plan.yaml --examples calibration --out answers.json",
    )
    parser.add_argument("--plan", default="hybrid", metavar="NAME|FILE", help="default hybrid")
    parser.add_argument(
        "--examples",
        default="test",
        choices=("test", "calibration"),
        help="those of data/evaluation (default), or others that no model was trained on either",
    )
    parser.add_argument(
        "--n", type=int, default=120, metavar="N", help="calibration examples per task (default 120)"
    )
    parser.add_argument(
        "--suite", default="quick", choices=("quick", "full"), help="whose prose is scored (default quick)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table there, as JSON")
    json_switch(parser)
