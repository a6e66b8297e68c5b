"""What accuracy is measured on: held-out prose and tasks with exact answers, as they are in `data/`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path

from workbench.cache import content_key
from workbench.errors import UnknownNameError
from workbench.profiles import DATA

__all__ = ["SUITES", "Example", "Suite", "suite_named"]

SUITES = ("quick", "full")
"""``quick`` is a few seconds per plan for the shipped model; ``full`` is all of it."""
_QUICK_DOCUMENTS, _QUICK_CHARACTERS, _QUICK_EXAMPLES = 20, 600, 32


@dataclass(frozen=True)
class Example:
    """A task's prompt with its only right answer, which ends at a newline."""

    task: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Suite:
    """Texts to predict and examples to answer."""

    name: str
    texts: tuple[str, ...]
    examples: tuple[Example, ...]

    @cached_property
    def key(self) -> str:
        """The hash of the content: what cached results are filed under."""
        return content_key([self.texts, [asdict(e) for e in self.examples]])

    @property
    def n_bytes(self) -> int:
        """Of all texts in UTF-8."""
        return sum(len(text.encode()) for text in self.texts)


@cache
def suite_named(name: str, folder: Path = DATA / "evaluation") -> Suite:
    """A suite of the shipped texts and tasks.

    Raises:
        UnknownNameError: no suite is called so.
    """
    if name not in SUITES:
        raise UnknownNameError("suite", name, SUITES)
    texts = tuple(line["text"] for line in _lines(folder / "prose.jsonl"))
    examples = tuple(Example(**line) for line in _lines(folder / "tasks.jsonl"))
    if name == "full":
        return Suite(name, texts, examples)
    beginnings = tuple(text[:_QUICK_CHARACTERS] for text in texts[:_QUICK_DOCUMENTS])
    return Suite(name, beginnings, _first_of_each_task(examples))


def _lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _first_of_each_task(examples: tuple[Example, ...]) -> tuple[Example, ...]:
    kept: dict[str, list[Example]] = {}
    for example in examples:
        kept.setdefault(example.task, []).append(example)
    return tuple(e for found in kept.values() for e in found[:_QUICK_EXAMPLES])
