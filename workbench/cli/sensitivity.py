"""``workbench model sensitivity``: what fewer bits cost a model in accuracy, measured block by block."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from workbench.cli.options import model_of
from workbench.cli.text import print_json, table
from workbench.errors import InputError
from workbench.evaluation import Additivity, additivity, sensitivity
from workbench.planner import LossTable

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Measure, write the table where ``--out`` says, and show it. An interrupted one goes on where it was."""
    model = model_of(args)
    found = sensitivity(model, bits=args.bits, wires=args.wires, suite=args.suite, on_step=_say)
    if args.out is not None:
        _write(args.out, found)
    checked = additivity(model, found, n=args.check, suite=args.suite, on_step=_say) if args.check else ()
    print_json(_data(found, checked)) if args.json else print(_text(found, checked))
    return 0


def _say(done: int, total: int, title: str) -> None:
    print(f"evaluated {done} of {total}: {title}", file=sys.stderr, flush=True)


def _data(found: LossTable, checked: Sequence[Additivity]) -> dict[str, object]:
    rows = [{"plan": str(it.plan), "predicted": it.predicted, "measured": it.measured} for it in checked]
    return {**found.to_dict(), "label": "measured", **({"check": rows} if checked else {})}


def _text(found: LossTable, checked: Sequence[Additivity]) -> str:
    widths = sorted(found.blocks, reverse=True)
    blocks = [[str(i), *(f"{found.blocks[bits][i]:+.5f}" for bits in widths)] for i in range(found.n_blocks)]
    parts = [
        f"{found.model}: {found.base:.4f} bits per byte at 16 bits ({found.suite} suite); measured, on top:",
        table(["block", *(f"{bits} bits" for bits in widths)], blocks),
        table(["wire", "in the middle"], [[name, f"{loss:+.5f}"] for name, loss in found.wires.items()]),
    ]
    rows = [[f"{it.predicted:+.5f}", f"{it.measured:+.5f}", str(it.plan)] for it in checked]
    return "\n\n".join([*parts, table(["added up", "measured", "plan"], rows)] if rows else parts)


def _write(path: Path, found: LossTable) -> None:
    try:
        found.save(path)
    except OSError as error:
        raise InputError(f"--out {path} cannot be written ({error.strerror}): name another file") from error
