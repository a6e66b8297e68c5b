"""``workbench study``."""

from __future__ import annotations

import argparse
import sys

from workbench.cli.options import model_of, request_of, setting_of
from workbench.cli.progress import Progress
from workbench.cli.text import print_json, records_table
from workbench.errors import DoesNotFitError
from workbench.records import TrialRecord
from workbench.studies import Space, Study, parse_limits

__all__ = ["front_text", "run"]

_INTERRUPTED = 130


def run(args: argparse.Namespace) -> int:
    """Search, then print the front.

    Raises:
        DoesNotFitError: no plan that was tried fits.
    """
    study = _study(args)
    _say_what_is_there(study, args)
    try:
        study.optimize(args.trials, on_trial=Progress(args.trials))
    except KeyboardInterrupt:
        kept = f"{len(study.records())} plans are kept in {args.storage}"
        print(f"\ninterrupted: {kept}; the same command goes on", file=sys.stderr)
        return _INTERRUPTED
    if not study.front():
        raise DoesNotFitError(_why_none(study.records()))
    print_json(_to_json(study)) if args.json else print(front_text(study))
    return 0


def front_text(study: Study) -> str:
    """The front as a table with both baselines, and what to make of it."""
    front = study.front()
    others = [record for record in study.baselines() if record not in front]
    lines = [
        "the front, then the baselines that are not on it:",
        records_table([*front, *others], study.goals),
    ]
    return "\n".join([*lines, "", study.verdict().text])


def _study(args: argparse.Namespace) -> Study:
    setting = setting_of(args)
    return Study(
        model_of(args),
        setting.edge,
        setting.cloud,
        setting.link,
        objectives=args.objectives,
        space=_space(args),
        storage=args.storage,
        name=args.name,
        sampler=args.sampler,
        seed=args.seed,
        suite=args.suite,
        limits=parse_limits(args.limits),
        **request_of(args),
    )


def _space(args: argparse.Namespace) -> Space:
    given = {name: getattr(args, name) for name in ("splits", "edge_bits", "cloud_bits", "wires")}
    chosen = {name: value for name, value in given.items() if value is not None}
    return Space(u_shaped=args.u_shaped, **chosen)


def _say_what_is_there(study: Study, args: argparse.Namespace) -> None:
    known = len(study.records())
    began = f"goes on after {known} plans" if known else "begins"
    print(f"study {study.name!r} in {args.storage} {began}", file=sys.stderr)


def _why_none(records: list[TrialRecord]) -> str:
    reason = next((record.reason for record in records if record.reason), "no trial was made")
    return f"none of {len(records)} plans can run, for instance: {reason}"


def _to_json(study: Study) -> dict[str, object]:
    return {
        "name": study.name,
        "question": study.question.to_dict(),
        "verdict": study.verdict().text,
        "front": [record.to_dict() for record in study.front()],
        "baselines": [record.to_dict() for record in study.baselines()],
        "records": [record.to_dict() for record in study.records()],
    }
