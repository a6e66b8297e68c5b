"""The classifier learns, says how sure it is, and is the same every time; the shipped one is good."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.routing.plans import small
from workbench.errors import InputError
from workbench.models.recipe.tasks import is_held_out
from workbench.routing import Classifier, shipped_classifier, shipped_pool
from workbench.routing.classifier import fit
from workbench.routing.shipped import CLASSIFIER_PATH
from workbench.routing.training import task_prompts

HELD_OUT = [request for task, pool in shipped_pool().items() if task != "continue" for request in pool]


def _score(classifier: Classifier) -> float:
    return classifier.score([r.prompt for r in HELD_OUT], [r.truth or "" for r in HELD_OUT]).accuracy


def test_it_learns_from_few_prompts() -> None:
    assert _score(small()) > 0.95


def test_labels_that_mean_nothing_are_not_learned() -> None:
    """The control: accuracy comes from the labels, not from the test."""
    texts, labels = task_prompts(30)
    shuffled = np.random.default_rng(0).permutation(np.array(labels)).tolist()
    assert _score(fit(texts, shuffled, steps=60)) < 0.5


def test_the_same_input_gives_the_same_classifier() -> None:
    texts, labels = task_prompts(12)
    first, second = fit(texts, labels, steps=20), fit(texts, labels, steps=20)
    assert first.to_dict() == second.to_dict()


@given(st.text())
def test_any_text_has_probabilities_that_sum_to_1(text: str) -> None:
    given_ = small().probabilities(text)
    assert set(given_) == set(small().labels)
    assert sum(given_.values()) == pytest.approx(1)
    guess = small().predict(text)
    assert guess.sureness == max(given_.values()) == given_[guess.feature]


def test_it_reads_the_beginning_only() -> None:
    text = "copy: a b c = " * 20
    assert small().probabilities(text) == small().probabilities(text[:200])


def test_it_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    small().save(tmp_path / "c.json")
    back = Classifier.load(tmp_path / "c.json")
    assert back.to_dict() == small().to_dict()
    assert back.probabilities("copy: a b") == small().probabilities("copy: a b")


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "AAAA"},
        {"weights": "not base64!"},
        {"labels": ["one"]},
        {"labels": ["copy"] * 7},
        {"scales": [1.0]},
        {"temperature": 0},
        {"temperature": "warm"},
        {"offsets": None},
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({**small().to_dict(), **change}))
    with pytest.raises(InputError, match=r"c\.json cannot be read as a classifier"):
        Classifier.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        Classifier.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("texts", "labels"), [([], []), (["a"], []), (["a", "b"] * 5, ["x"] * 10), (["a", "b"], ["x", "y"])]
)
def test_what_cannot_be_trained_on(texts: list[str], labels: list[str]) -> None:
    with pytest.raises(InputError):
        fit(texts, labels)


# --- what is shipped -------------------------------------------------------------------------------


def test_training_prompts_are_never_held_out() -> None:
    texts, labels = task_prompts(100)
    named = [text for text, label in zip(texts, labels, strict=True) if text.startswith(f"{label}: ")]
    assert len(named) == 75 * 7
    assert not any(map(is_held_out, named))
    assert not {r.prompt for r in HELD_OUT} & set(texts)


def test_the_shipped_one_is_small_right_and_calibrated() -> None:
    classifier = shipped_classifier()
    assert CLASSIFIER_PATH.stat().st_size < 300_000
    pool = [request for requests in shipped_pool().values() for request in requests]
    found = classifier.score([r.prompt for r in pool], [r.truth or "" for r in pool])
    assert found.accuracy > 0.98
    assert found.ece < 0.03
    told = classifier.facts["held_out"]
    assert (told["accuracy"], told["n"]) == (pytest.approx(found.accuracy), found.n)


def test_where_only_the_form_is_left_it_is_less_sure() -> None:
    """Copy, reverse and sort look alike without their names, and it says so."""
    bare = [(r.prompt.partition(": ")[2], r.truth or "") for r in HELD_OUT]
    found = shipped_classifier().score([text for text, _ in bare], [label for _, label in bare])
    assert found.accuracy > 0.6
    assert found.ece < 0.15


def test_the_shipped_one_knows_code_and_prose_as_open_text() -> None:
    for text in ("def read(", "The capital of France is", "import os\nfor name in os.listdir("):
        assert shipped_classifier().predict(text).feature == "continue"


def test_a_guess_takes_well_below_a_millisecond() -> None:
    classifier, text = shipped_classifier(), "translate: " + "fona tibi " * 19
    times = []
    for _ in range(200):
        begun = time.perf_counter()
        classifier.predict(text)
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.5e-3
