"""Arguments that several commands have in common."""

from __future__ import annotations

import argparse
from typing import Any

from workbench.plan import BITS, WIRE_CODECS

__all__ = ["command", "json_switch", "names", "plan_group", "positive", "request", "sides", "whole_numbers"]


def command(commands: Any, name: str, module: str, summary: str, *examples: str) -> argparse.ArgumentParser:
    """A command: its module in ``workbench.cli``, what it does in a sentence, and how one calls it."""
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


def json_switch(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def plan_group(parser: argparse.ArgumentParser) -> None:
    """One plan of one model."""
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


def sides(
    parser: argparse.ArgumentParser, *, cloud_help: str = "a device (default h100-sxm)", host: bool = False
) -> None:
    """Two devices and the link between them."""
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


def request(parser: argparse.ArgumentParser) -> None:
    """What is asked of the model."""
    group = parser.add_argument_group("request")
    group.add_argument("--prompt-tokens", type=positive, default=64, metavar="N", help="default 64")
    group.add_argument("--new-tokens", type=positive, default=32, metavar="N", help="default 32")
    group.add_argument("--batch", type=positive, default=1, metavar="N", help="default 1")


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


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def names(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def whole_numbers(text: str) -> tuple[int, ...]:
    """Whole numbers between commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers, as 16,8,4") from None
