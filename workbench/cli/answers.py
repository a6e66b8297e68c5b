"""``workbench model answers``: what each module of a plan answers to examples, measured."""

from __future__ import annotations

import argparse
import sys

from workbench.cli.text import print_json, table
from workbench.deployment import read_plan
from workbench.errors import InputError
from workbench.evaluation import Example, answer_table
from workbench.models import load_model
from workbench.models.recipe.tasks import TASKS, held_out_examples
from workbench.routing import AnswerTable

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Measure, write the table where ``--out`` says, and show it."""
    plan = read_plan(args.plan)
    models = {name: load_model(name) for name in plan.models}
    found = answer_table(plan, models, examples=_examples(args), suite=args.suite, on_step=_say)
    if args.out is not None:
        try:
            found.save(args.out)
        except OSError as error:
            raise InputError(f"--out {args.out} cannot be written ({error.strerror})") from error
    print_json(found.to_dict()) if args.json else print(_text(found))
    return 0


def _examples(args: argparse.Namespace) -> list[Example] | None:
    """The shipped examples; or others that are held out from training too, to calibrate on."""
    if args.examples == "test":
        return None
    shown = {example.prompt for task in TASKS for example in held_out_examples(0, task, args.n)}
    fresh = (e for task in TASKS for e in held_out_examples(1, task, 3 * args.n) if e.prompt not in shown)
    counts: dict[str, int] = {}
    found = []
    for example in fresh:
        counts[example.task] = counts.get(example.task, 0) + 1
        if counts[example.task] <= args.n:
            found.append(Example(example.task, example.prompt, example.answer))
    return found


def _say(done: int, total: int, module: str) -> None:
    print(f"measured {done} of {total} modules: {module}", file=sys.stderr, flush=True)


def _text(found: AnswerTable) -> str:
    rows = [
        [
            name,
            *(f"{found.quality(name, feature):.3f}" for feature in found.features),
            f"{m.bits_per_byte:.3f}",
        ]
        for name, m in found.modules.items()
    ]
    return table(["module", *found.features, "bits per byte"], rows)
