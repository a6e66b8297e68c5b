"""What every module of a plan answers to the same examples: the table that routing decides by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import TYPE_CHECKING

from workbench.evaluation.answers import Answer, answers
from workbench.evaluation.evaluate import evaluate
from workbench.evaluation.suite import Example, Suite, suite_named
from workbench.plan import Placement, Plan
from workbench.routing import AnswerTable, ModuleAnswers, answer_score, module_of

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["answer_table", "modules_of"]


def modules_of(plan: Plan) -> dict[str, str]:
    """A feature of each distinct module of a plan, by the module's name."""
    found: dict[str, str] = {}
    for feature in plan.features:
        found.setdefault(module_of(plan, feature), feature)
    return found


def answer_table(
    plan: Plan,
    models: Mapping[str, Model],
    *,
    examples: Sequence[Example] | None = None,
    suite: str | Suite = "quick",
    on_step: Callable[[int, int, str], None] | None = None,
    stop: Event | None = None,
) -> AnswerTable:
    """Run each module of a plan over examples and prose, in this process. All is measured.

    Args:
        models: of every model of the plan, by its name there.
        examples: with known answers; None takes all of ``data/evaluation``.
        suite: whose prose is scored in bits per byte.
        on_step: is told how many modules are done, of how many, and which comes next.
        stop: set from another thread to end it.

    Raises:
        AdapterError, CheckpointError: a module cannot be loaded.
        CancelledRunError: ``stop`` was set.
    """
    asked = tuple(suite_named("full").examples if examples is None else examples)
    chosen = suite_named(suite) if isinstance(suite, str) else suite
    prose, modules = Suite(f"{chosen.name}-prose", chosen.texts, ()), modules_of(plan)
    found: dict[str, ModuleAnswers] = {}
    prompt_tokens: tuple[int, ...] = ()
    for done, (name, feature) in enumerate(modules.items()):
        if on_step is not None:
            on_step(done, len(modules), name)
        model, placement = models[plan.model_of(feature)], plan.placement(feature)
        given = answers(model, placement, asked, stop=stop)
        prompt_tokens = tuple(answer.prompt_tokens for answer in given)
        found[name] = _module_answers(given, _bits_per_byte(model, placement, prose, stop))
    if on_step is not None:
        on_step(len(modules), len(modules), "done")
    columns = tuple(e.task for e in asked), tuple(e.prompt for e in asked)
    return AnswerTable(*columns, prompt_tokens, found)


def _bits_per_byte(model: Model, placement: Placement, prose: Suite, stop: Event | None) -> float:
    """Of the module as it is, with the codec where it is split."""
    plan = Plan(
        model.name, {"default": Placement(placement.partition, placement.wire, adapter=placement.adapter)}
    )
    return evaluate(model, plan, suite=prose, stop=stop).bits_per_byte


def _module_answers(given: Sequence[Answer], bits_per_byte: float) -> ModuleAnswers:
    return ModuleAnswers(
        right=tuple(answer.right for answer in given),
        score=tuple(answer_score(answer.logprobs) for answer in given),
        new_tokens=tuple(answer.new_tokens for answer in given),
        bits_per_byte=bits_per_byte,
    )
