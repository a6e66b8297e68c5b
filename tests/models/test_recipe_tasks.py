"""Every answer is right, and no held-out prompt is ever trained on."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.models.recipe.evaluate import read_tasks
from workbench.models.recipe.tasks import (
    TASKS,
    Example,
    held_out_examples,
    is_held_out,
    training_examples,
    translate_sentence,
)

SHIPPED = Path(__file__).parents[2] / "data" / "evaluation" / "tasks.jsonl"


def _solved(task: str, body: str) -> str:
    """An answer worked out from the prompt alone, another way than the generator does."""
    if task == "arithmetic":
        first, sign, second = body.split()
        return str(int(first) + int(second) * (1 if sign == "+" else -1))
    if task == "recall":
        listed, _, asked = body.partition(" ; ")
        symbols = listed.split()
        return symbols[symbols.index(asked) + 1]
    if task == "extract":
        listed, _, asked = body.partition(" ; ")
        return next(part.split()[1] for part in listed.split(" , ") if part.startswith(asked))
    if task == "translate":
        return translate_sentence(body)
    letters = body.split()
    return " ".join({"copy": letters, "reverse": letters[::-1], "sort": sorted(letters)}[task])


@given(seed=st.integers(0, 2**32), task=st.sampled_from(sorted(TASKS)))
def test_answers_are_right(seed: int, task: str) -> None:
    for example in islice(training_examples(seed, task), 5):
        name, _, body = example.prompt.removesuffix(" =").partition(": ")
        assert name == example.task == task
        assert example.answer == _solved(task, body)
        assert example.text == f"{example.prompt} {example.answer}\n"


@given(seed=st.integers(0, 2**32))
def test_training_refuses_held_out_prompts(seed: int) -> None:
    assert not any(is_held_out(example.prompt) for example in islice(training_examples(seed), 300))


@pytest.mark.parametrize("task", TASKS)
def test_shipped_prompts_are_held_out_and_never_trained_on(task: str) -> None:
    shipped = {example.prompt for example in read_tasks(SHIPPED) if example.task == task}
    assert len(shipped) >= 100
    assert all(is_held_out(prompt) for prompt in shipped)
    assert shipped.isdisjoint(example.prompt for example in islice(training_examples(0, task), 5000))


def test_shipped_examples_are_distinct_and_right() -> None:
    examples = read_tasks(SHIPPED)
    assert max(Counter(example.prompt for example in examples).values()) == 1
    for example in examples:
        body = example.prompt.removesuffix(" =").partition(": ")[2]
        assert example.answer == _solved(example.task, body)


def test_examples_depend_on_the_seed_alone() -> None:
    assert held_out_examples(7, "sort", 20) == held_out_examples(7, "sort", 20)
    assert held_out_examples(7, "sort", 20) != held_out_examples(8, "sort", 20)


def test_translation_moves_the_verb_to_the_end_and_adjectives_behind() -> None:
    example = next(e for e in training_examples(1, "translate") if len(e.answer.split()) == 5)
    adjective, noun, verb, *_ = example.prompt.removeprefix("translate: ").removesuffix(" =").split()
    words = example.answer.split()
    assert translate_sentence(f"{noun} {verb} {noun}").split()[::2] == [words[0], words[-1]]
    assert translate_sentence(f"{adjective} {noun} {verb} {noun}").split()[1] == words[1]


def test_translation_explains_a_sentence_without_verb() -> None:
    with pytest.raises(ValueError, match="has no verb"):
        translate_sentence("nothing here")


def test_an_example_is_a_value() -> None:
    assert Example("copy", "copy: a =", "a").text == "copy: a = a\n"
