"""``workbench model``: a model, measured on this machine block by block."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from workbench.cli.options import model_of
from workbench.cli.text import print_json, quantity, table
from workbench.errors import InputError
from workbench.profiler import measure_model
from workbench.profiles import ModelProfile, ModelTimes, PassTimes, WidthTable

__all__ = ["run"]

_HEADER = ["pass", "each block", "all blocks", "embedding", "head", "whole pass", "spread"]


def run(args: argparse.Namespace) -> int:
    """Measure, show what was found, and write it where ``--out`` says."""
    if args.out is not None:
        _check(args.out, force=args.force)
    profile = measure_model(model_of(args), bits=args.bits, again=args.force, on_step=_say)
    profile = replace(profile, times=tuple(replace(times, device=args.device) for times in profile.times))
    if args.out is not None:
        _write(args.out, profile)
    print_json(profile.to_dict()) if args.json else print(_text(profile))
    if args.out is not None:
        print(f"written: `workbench predict --profile {args.out}` takes it", file=sys.stderr)
    return 0


def _say(step: str) -> None:
    print(f"measuring {step}", file=sys.stderr, flush=True)


def _text(profile: ModelProfile) -> str:
    return "\n\n".join(part for times in profile.times for part in _times_text(profile, times))


def _times_text(profile: ModelProfile, times: ModelTimes) -> list[str]:
    host = times.host
    head = [
        f"{profile.name}: {profile.n_blocks} blocks of {profile.architecture} on {times.device!r}",
        f"measured {host.measured_at} on {host.processor}, {host.threads} thread(s) with "
        f"{host.cpu_share:.0%} of a core each",
        ", ".join(f"{name} {number}" for name, number in host.libraries.items()),
        *times.notes,
    ]
    return ["\n".join(head), *(_width_text(bits, found) for bits, found in times.widths.items())]


def _width_text(bits: int, found: WidthTable) -> str:
    beside = f"{_ms(found.overhead_s)} per pass of a stage besides, {_ms(found.wait_s)} more after a pause"
    return f"{bits} bits: {beside}\n" + table(_HEADER, map(_row, found.passes))


def _row(measured: PassTimes) -> list[str]:
    shape = f"context {measured.context}" if measured.context else f"prompt {measured.tokens}"
    least, most = min(measured.blocks_s), max(measured.blocks_s)
    seconds = (sum(measured.blocks_s), measured.embedding_s, measured.head_s, measured.total_s)
    each = f"{least * 1e3:.2f}–{_ms(most)}"
    return [f"{shape}, batch {measured.batch}", each, *map(_ms, seconds), quantity(measured.spread, "share")]


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


def _check(path: Path, *, force: bool) -> None:
    if path.exists() and not force:
        raise InputError(f"--out {path} is there already: --force writes over it, or name another file")


def _write(path: Path, profile: ModelProfile) -> None:
    try:
        profile.save(path)
    except OSError as error:
        raise InputError(f"--out {path} cannot be written ({error.strerror}): name another file") from error
