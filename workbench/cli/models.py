"""``workbench models``."""

from __future__ import annotations

import argparse

from workbench.cli.text import print_json, quantity, table
from workbench.models import load_model, shipped_models
from workbench.profiles import ModelProfile

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """List the shipped models, or show what one model is made of."""
    names = [args.name] if args.name else sorted(shipped_models())
    found = {name: load_model(name).profile for name in names}
    if args.json:
        print_json({name: profile.to_dict() for name, profile in found.items()})
    else:
        print(_table(found))
    return 0


def _table(found: dict[str, ModelProfile]) -> str:
    rows = [
        [
            name,
            p.architecture,
            quantity(p.params, "parameters"),
            str(p.n_blocks),
            str(p.hidden),
            str(p.vocab),
            str(p.max_positions),
            quantity(2 * p.boundary_elements[p.n_blocks // 2], "B"),
        ]
        for name, p in found.items()
    ]
    header = ["model", "architecture", "parameters", "blocks", "hidden", "vocabulary", "positions"]
    return table([*header, "boundary per token at fp16"], rows)
