"""How the shipped classifier is made: from training prompts alone, the same each time.

``python -c "from workbench.routing.training import write_shipped; write_shipped()"`` writes it. One task
prompt in four is without the word that names its task, so that the form counts too; what the form does not
tell (copy, reverse and sort look alike) then comes out as low sureness. Open prose and code are those of
the standard library that the shipped models were trained on: the held-out prose, and every line that shares
text with it, are left out.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from random import Random

from workbench.models.recipe.corpus import Document, library_documents, without_overlap
from workbench.models.recipe.tasks import TASKS, training_examples
from workbench.routing.classifier import Classifier, fit
from workbench.routing.request import CONTINUE
from workbench.routing.shipped import CLASSIFIER_PATH
from workbench.routing.workload import held_out_prose, shipped_pool

__all__ = ["task_prompts", "train_shipped", "write_shipped"]

PER_FEATURE = 600
_NAMELESS_ONE_IN = 4


def task_prompts(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """``count`` training prompts of each task, and the name of the task of each."""
    texts: list[str] = []
    labels: list[str] = []
    for task in TASKS:
        for i, example in enumerate(islice(training_examples(seed, task), count)):
            nameless = i % _NAMELESS_ONE_IN == 0
            texts.append(example.prompt.partition(": ")[2] if nameless else example.prompt)
            labels.append(task)
    return texts, labels


def train_shipped(count: int = PER_FEATURE, seed: int = 0) -> Classifier:
    """Train on ``count`` prompts of each feature; ``facts`` say how good it is on the evaluation's."""
    texts, labels = task_prompts(count, seed)
    library, held_out = library_documents(), held_out_prose()
    prose, code = (list(without_overlap(part, held_out)) for part in (library.prose, library.code))
    open_texts = [*_pieces(prose, count, seed), *_pieces(code, count // 4, seed)]
    found = fit([*texts, *open_texts], [*labels, *[CONTINUE] * len(open_texts)], seed=seed)
    return replace(found, facts={"label": "measured", "trained_on": _sources(count), **_tested(found)})


def write_shipped(path: Path = CLASSIFIER_PATH) -> Classifier:
    """Train and write the shipped classifier."""
    found = train_shipped()
    found.save(path)
    return found


def _pieces(documents: Sequence[Document], count: int, seed: int) -> Iterator[str]:
    """Beginnings of 30 to 200 characters, each from a place and a document drawn anew."""
    rng = Random(seed)
    for _ in range(count):
        text = rng.choice(documents).text
        start = rng.randrange(max(1, len(text) - 200))
        yield text[start : start + rng.randint(30, 200)].strip() or text[:80]


def _sources(count: int) -> str:
    return (
        f"{count} generated training prompts of each of {len(TASKS)} tasks, one in {_NAMELESS_ONE_IN} "
        f"without the task's name; {count} pieces of prose and {count // 4} of code of the standard "
        f"library of CPython {platform.python_version()}, nothing held out among them"
    )


def _tested(found: Classifier) -> dict[str, object]:
    pool = [request for requests in shipped_pool().values() for request in requests]
    named = found.score([r.prompt for r in pool], [r.truth or "" for r in pool])
    bare = [(r.prompt.partition(": ")[2], r.truth or "") for r in pool if r.truth != CONTINUE]
    nameless = found.score([text for text, _ in bare], [label for _, label in bare])
    return {"held_out": asdict(named), "held_out_without_names": asdict(nameless)}
