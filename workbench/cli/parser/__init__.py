"""Every command's arguments, a module per group. Imports nothing but the words: help comes at once."""

from __future__ import annotations

import argparse

from workbench import __version__
from workbench.cli.parser.catalog import add_architectures, add_devices, add_links, add_models
from workbench.cli.parser.machine import add_device, add_doctor, add_model
from workbench.cli.parser.planning import add_plan, add_predict
from workbench.cli.parser.routing import add_replay, add_route
from workbench.cli.parser.running import add_generate, add_serve
from workbench.cli.parser.searching import add_demo, add_report, add_study

__all__ = ["build_parser"]

_EXIT_CODES = """exit codes:
  0 done   1 failed   2 bad usage or input   3 does not fit the device's memory, or no plan keeps every limit
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
        add_doctor,
        add_device,
        add_model,
        add_devices,
        add_links,
        add_models,
        add_architectures,
        add_predict,
        add_plan,
        add_generate,
        add_serve,
        add_route,
        add_replay,
        add_study,
        add_report,
        add_demo,
    ):
        add(commands)
    return parser
