"""``workbench architectures``."""

from __future__ import annotations

import argparse

from workbench.cli.text import print_json, quantity, table
from workbench.models import architectures, read_architecture
from workbench.profiles import ModelProfile

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """List the shipped architectures, or show what one is made of."""
    names = [args.name] if args.name else list(architectures())
    found = {name: read_architecture(name) for name in names}
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
            quantity(_active(p), "parameters"),
            str(p.n_blocks),
            str(p.hidden),
            str(p.max_positions),
            _window(p),
            quantity(2 * sum(p.kv_elements), "B"),
        ]
        for name, p in found.items()
    ]
    header = ["architecture", "class", "parameters", "active", "blocks", "hidden", "positions", "window"]
    return table([*header, "cache per token at 16 bits"], rows)


def _active(profile: ModelProfile) -> int:
    """Of a mixture's experts only those that one token uses; embedding and head whole."""
    return profile.params - sum(profile.block_params) + sum(profile.block_active_params)


def _window(profile: ModelProfile) -> str:
    windows = sorted({w for w in profile.window if w is not None})
    share = sum(w is not None for w in profile.window)
    return f"{windows[0]} in {share}" if windows else "–"
