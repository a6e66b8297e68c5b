"""``workbench device``: this machine, measured."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from workbench.cli.catalog import profile_text
from workbench.cli.options import model_of
from workbench.cli.text import print_json
from workbench.errors import InputError
from workbench.files import write_text
from workbench.profiler import calibrate_host
from workbench.profiles import DeviceProfile

__all__ = ["run"]

_MEASURED = "measured"  # no longer "host": on another machine it has to be posed as like any device


def run(args: argparse.Namespace) -> int:
    """Measure, show what was found, and write it where ``--out`` says."""
    if args.out is not None:
        _check(args.out, force=args.force)
    profile = calibrate_host(model_of(args), again=args.force, on_step=_say)
    if args.out is not None:
        profile = replace(profile, name=args.out.stem, kind=_MEASURED)
        _write(args.out, profile)
    print_json(profile.to_dict()) if args.json else print(profile_text(profile))
    if args.out is not None:
        print(f"written: --edge {args.out} takes it", file=sys.stderr)
    return 0


def _say(step: str) -> None:
    print(f"measuring {step}", file=sys.stderr, flush=True)


def _check(path: Path, *, force: bool) -> None:
    if path.suffix != ".json":
        raise InputError(f"--out {path}: name a file that ends in .json, by which --edge knows it for a file")
    if path.exists() and not force:
        raise InputError(f"--out {path} is there already: --force writes over it, or name another file")


def _write(path: Path, profile: DeviceProfile) -> None:
    try:
        write_text(path, json.dumps(profile.to_dict(), indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InputError(f"--out {path} cannot be written ({error.strerror}): name another file") from error
