"""Every command's arguments. Imports nothing but the words, so that help comes at once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench import __version__
from workbench.plan import BITS, WIRE_CODECS
from workbench.records import OBJECTIVES

__all__ = ["build_parser"]

_EXIT_CODES = """exit codes:
  0 done   1 failed   2 bad usage or input   3 does not fit the device's memory, or no plan does
  4 the other side or the link was lost      130 interrupted
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="workbench",
        description="Partition language models between an edge device and a cloud.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"workbench {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (
        _doctor,
        _device,
        _devices,
        _links,
        _models,
        _predict,
        _generate,
        _serve,
        _study,
        _report,
        _demo,
    ):
        add(commands)
    return parser


def _command(commands: Any, name: str, module: str, summary: str, *examples: str) -> argparse.ArgumentParser:
    epilog = "examples:\n" + "\n".join(f"  workbench {example}" for example in examples)
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary[0].lower() + summary[1:].rstrip("."),
        description=summary,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(module=module)
    return parser


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _doctor(commands: Any) -> None:
    parser = _command(
        commands,
        "doctor",
        "doctor",
        "Say what this machine can do and how to get the rest.",
        "doctor",
        "doctor --json",
    )
    _json(parser)


def _device(commands: Any) -> None:
    parser = _command(
        commands,
        "device",
        "device",
        "Measure this machine as a device.",
        "device calibrate",
        "device calibrate --out my-laptop.json",
    )
    calibrate = _command(
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
    _json(calibrate)


def _devices(commands: Any) -> None:
    parser = _command(
        commands,
        "devices",
        "catalog",
        "List the device profiles, or show one with its sources.",
        "devices",
        "devices raspberry-pi-5",
    )
    parser.set_defaults(kind="device")
    parser.add_argument("name", nargs="?", help="show this one with the source of each value")
    _json(parser)


def _links(commands: Any) -> None:
    parser = _command(
        commands,
        "links",
        "catalog",
        "List the link profiles and traces, or show a profile with its sources.",
        "links",
        "links lte --json",
    )
    parser.set_defaults(kind="link")
    parser.add_argument("name", nargs="?", help="show this one with the source of each value")
    _json(parser)


def _models(commands: Any) -> None:
    parser = _command(
        commands,
        "models",
        "models",
        "List the shipped models, or show what any model is made of.",
        "models",
        "models tiny",
        "models ./my-model-folder --json",
    )
    parser.add_argument("name", nargs="?", help="a shipped model, a Hugging Face id or a folder")
    _json(parser)


def _predict(commands: Any) -> None:
    parser = _command(
        commands,
        "predict",
        "predict",
        "Predict one split, or with no --split every one of them, beside both baselines.",
        "predict --split 3 --edge raspberry-pi-5 --cloud h100-sxm --link lte",
        "predict --link lte --up-mbps 2               # every split point, on a slow uplink",
        "predict --split 2,6 --edge-bits 4 --wire int8  # U-shaped: blocks 2 to 5 in the cloud",
    )
    _plan(parser)
    _sides(parser)
    _request(parser)
    _json(parser)


def _generate(commands: Any) -> None:
    parser = _command(
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
    parser.add_argument("--max-new-tokens", type=_positive, default=32, metavar="N", help="default 32")
    _plan(parser)
    _sides(
        parser, cloud_help="a device, or HOST:PORT of a running `workbench serve` (default host)", host=True
    )
    parser.add_argument("--server-key", metavar="KEY", help="the public key that `workbench serve` printed")
    _emulation(parser)
    _sampling(parser)
    _json(parser)


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


def _serve(commands: Any) -> None:
    parser = _command(
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
    _json(parser)


def _study(commands: Any) -> None:
    parser = _command(
        commands,
        "study",
        "study",
        "Search plans for the best trade-offs; the same file goes on where it stopped.",
        "study --trials 60 --storage lte.db --edge raspberry-pi-5 --cloud h100-sxm --link lte",
        "study --trials 200 --storage lte.db --objectives latency,accuracy,memory",
    )
    parser.add_argument(
        "--trials", type=_positive, default=60, metavar="N", help="trials to add (default 60)"
    )
    parser.add_argument(
        "--storage", type=Path, required=True, metavar="FILE", help="SQLite file, made if missing"
    )
    parser.add_argument("--name", help="of the study in the file (default: what it asks)")
    parser.add_argument(
        "--objectives",
        type=_names,
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
    _sides(parser)
    _request(parser)
    _json(parser)


def _space(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("space", "what may be chosen; both baselines always are")
    group.add_argument("--splits", type=_whole_numbers, metavar="A,B", help="split points (default all)")
    group.add_argument("--edge-bits", type=_whole_numbers, metavar="A,B", help="weight bits on the edge")
    group.add_argument("--cloud-bits", type=_whole_numbers, metavar="A,B", help="weight bits in the cloud")
    group.add_argument("--wires", type=_names, metavar="A,B", help=f"of {', '.join(WIRE_CODECS)}")
    group.add_argument("--u-shaped", action="store_true", help="also plans whose last blocks come back")


def _report(commands: Any) -> None:
    parser = _command(
        commands,
        "report",
        "report",
        "Write a study as one HTML page, CSV and Parquet.",
        "report --storage lte.db --out results/lte",
    )
    parser.add_argument("--storage", type=Path, required=True, metavar="FILE", help="the study's SQLite file")
    parser.add_argument("--name", help="of the study, where the file has several")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    _json(parser)


def _demo(commands: Any) -> None:
    parser = _command(
        commands,
        "demo",
        "demo",
        "Do the main job once: predict, run for real, search, report.",
        "demo --out results/demo",
    )
    parser.add_argument("--out", type=Path, default=Path("results/demo"), metavar="DIR")
    parser.add_argument("--trials", type=_positive, default=60, metavar="N", help="default 60")


def _plan(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("plan")
    group.add_argument(
        "--model", default="tiny", help="a shipped model, a Hugging Face id or a folder (default tiny)"
    )
    where = group.add_mutually_exclusive_group()
    where.add_argument(
        "--split",
        type=_split,
        metavar="K|A,B",
        help="blocks below K on the edge; or blocks A to B-1 in the cloud",
    )
    where.add_argument("--edge-only", action="store_true", help="the whole model on the edge")
    where.add_argument("--cloud-only", action="store_true", help="the whole model in the cloud")
    group.add_argument(
        "--edge-bits", type=int, choices=BITS, default=16, help="weight bits on the edge (default 16)"
    )
    group.add_argument("--cloud-bits", type=int, choices=BITS, default=16, help="… in the cloud (default 16)")
    group.add_argument(
        "--wire", choices=WIRE_CODECS, default="fp16", help="how activations cross (default fp16)"
    )


def _sides(
    parser: argparse.ArgumentParser, *, cloud_help: str = "a device (default h100-sxm)", host: bool = False
) -> None:
    group = parser.add_argument_group("devices and link", "see `workbench devices` and `workbench links`")
    edge, cloud, link = ("host", "host", "loopback") if host else ("raspberry-pi-5", "h100-sxm", "lte")
    group.add_argument("--edge", default=edge, help=f"a device, or its JSON file (default {edge})")
    group.add_argument("--cloud", default=cloud, help=cloud_help)
    group.add_argument("--link", default=link, help=f"a link, or its JSON file (default {link})")
    group.add_argument("--rtt-ms", type=float, metavar="MS", help="round trip time instead of the link's")
    group.add_argument(
        "--up-mbps", type=float, metavar="MBPS", help="uplink instead of the link's, in Mbit/s"
    )
    group.add_argument("--down-mbps", type=float, metavar="MBPS", help="downlink instead of the link's")
    group.add_argument("--loss-percent", type=float, metavar="PCT", help="lost packets instead of the link's")


def _request(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("request")
    group.add_argument("--prompt-tokens", type=_positive, default=64, metavar="N", help="default 64")
    group.add_argument("--new-tokens", type=_positive, default=32, metavar="N", help="default 32")
    group.add_argument("--batch", type=_positive, default=1, metavar="N", help="default 1")


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


def _split(text: str) -> int | tuple[int, int]:
    parts = text.split(",")
    try:
        numbers = [int(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        return numbers[0]
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    raise argparse.ArgumentTypeError(f"{text!r} is no split: give one split point, as 3, or two, as 2,6")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers, as 16,8,4") from None
