"""``workbench report``."""

from __future__ import annotations

import argparse

from workbench.cli.text import print_json
from workbench.studies import Study

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Write a study's page and tables, and say where."""
    paths = Study.open(args.storage, args.name).export(args.out)
    if args.json:
        print_json({kind: str(path) for kind, path in paths.items()})
    else:
        print("\n".join(map(str, paths.values())))
    return 0
