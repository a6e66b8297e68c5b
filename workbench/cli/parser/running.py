"""Real runs: ``generate`` and ``serve``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.cli.parser.arguments import command, json_switch, plan_group, positive, sides

__all__ = ["add_generate", "add_serve"]


def add_generate(commands: Any) -> None:
    parser = command(
        commands,
        "generate",
        "generate",
        "Run a plan for real: two processes, a shaped link, tokens as they come.",
        'generate --split 3 --prompt "def read("',
        'generate --split 3 --prompt "def read(" --edge raspberry-pi-5 --cloud h100-sxm --link lte',
        'generate --split 3 --prompt "def read(" --link lte --link-kind netem --verify-link',
        'generate --split 3 --prompt "def read(" --link lte --trace lte-drive',
        'generate --split 3 --prompt "def read(" --cloud 192.0.2.7:5555 --server-key=KEY',
    )
    parser.add_argument("--prompt", required=True, help="the text to go on from; - reads standard input")
    parser.add_argument("--max-new-tokens", type=positive, default=32, metavar="N", help="default 32")
    plan_group(parser)
    sides(
        parser, cloud_help="a device, or HOST:PORT of a running `workbench serve` (default host)", host=True
    )
    parser.add_argument("--server-key", metavar="KEY", help="the public key that `workbench serve` printed")
    _emulation(parser)
    _sampling(parser)
    json_switch(parser)


def _emulation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("emulation", "see `workbench doctor` for what this machine can do")
    group.add_argument(
        "--link-kind",
        choices=("proxy", "netem", "simulated"),
        default="proxy",
        help="who shapes the path: a relay on this host (default), its kernel, or arithmetic",
    )
    group.add_argument("--clock", choices=("auto", "wall", "virtual"), default="auto")
    group.add_argument(
        "--throttle",
        choices=("dilation", "cgroup", "affinity", "gpu-memory"),
        default="dilation",
        help="how this host poses as a device (default dilation: wait until its time)",
    )
    group.add_argument(
        "--verify-link", action="store_true", help="measure the path first, and refuse a wrong one"
    )
    course = group.add_mutually_exclusive_group()
    course.add_argument(
        "--trace", metavar="NAME|FILE.csv", help="the path changes as this trace says, see `workbench links`"
    )
    course.add_argument(
        "--outage", type=_seconds, metavar="AT,FOR", help="nothing gets through for a while, in s: 3,5"
    )


def add_serve(commands: Any) -> None:
    parser = command(
        commands,
        "serve",
        "serve",
        "Be the cloud: wait for edges and run the stages that their plans give to the cloud.",
        "serve --listen 127.0.0.1:5555 --model tiny",
        "serve --listen 0.0.0.0:5555 --model ./my-model-folder --key-file server.key",
    )
    parser.add_argument("--model", default="tiny", help="a shipped model, a Hugging Face id or a folder")
    parser.add_argument(
        "--listen",
        default="127.0.0.1:5555",
        metavar="HOST:PORT",
        help="default 127.0.0.1:5555; port 0 picks one",
    )
    parser.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="keep the key pair here, so that the public key stays the same",
    )
    parser.add_argument(
        "--device", default="host", help="the device to pose as (default host: as fast as it is)"
    )
    json_switch(parser)


def _sampling(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sampling", "greedy unless --temperature, --top-k or --top-p is given")
    group.add_argument("--temperature", type=float, metavar="T")
    group.add_argument("--top-k", type=int, metavar="K")
    group.add_argument("--top-p", type=float, metavar="P")
    group.add_argument("--seed", type=int, default=0)
    group.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="end at this text; may be repeated"
    )


def _seconds(text: str) -> tuple[float, float]:
    begin, comma, length = text.partition(",")
    try:
        return float(begin), float(length if comma else "")
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes AT,FOR in seconds, as 3,5; got {text!r}") from None
