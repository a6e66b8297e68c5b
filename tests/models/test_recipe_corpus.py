"""Held-out prose never reaches training text, on whatever Python this runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.models.recipe.corpus import (
    WINDOW_BYTES,
    Corpus,
    Document,
    corpus_hash,
    held_out_prose,
    library_documents,
    training_corpus,
    without_overlap,
)
from workbench.models.recipe.evaluate import read_prose

PROSE = Path(__file__).parents[2] / "data" / "evaluation" / "prose.jsonl"


def _windows(text: str) -> set[bytes]:
    data = text.encode()
    return {data[i : i + WINDOW_BYTES] for i in range(len(data) - WINDOW_BYTES + 1)}


def _shared(documents: tuple[Document, ...], known: set[bytes], collapse: bool) -> int:
    texts = (" ".join(d.text.split()) if collapse else d.text for d in documents)
    return sum(not known.isdisjoint(_windows(text)) for text in texts)


@pytest.fixture(scope="module")
def training() -> Corpus:
    return training_corpus(library_documents(), read_prose(PROSE))


@pytest.mark.slow
@pytest.mark.parametrize("collapse", [False, True], ids=["as written", "white space collapsed"])
def test_no_window_of_held_out_prose_is_in_training_text(training: Corpus, collapse: bool) -> None:
    held_out = [document.text for document in read_prose(PROSE)]
    texts = [" ".join(text.split()) if collapse else text for text in held_out]
    known = set().union(*(_windows(text) for text in texts))
    assert _shared(training.prose, known, collapse) == 0
    assert _shared(training.code, known, collapse) == 0


@pytest.mark.slow
def test_training_text_is_large_and_reproducible(training: Corpus) -> None:
    assert sum(len(document.text) for document in training.prose) > 1_500_000
    assert sum(len(document.text) for document in training.code) > 5_000_000
    assert len(corpus_hash(training)) == 64
    assert corpus_hash(training) != corpus_hash(Corpus(training.prose[1:], training.code))


def test_held_out_prose_is_of_the_promised_size() -> None:
    documents = read_prose(PROSE)
    assert 100_000 <= sum(len(document.text.encode()) for document in documents) <= 250_000
    assert len({document.source for document in documents}) == len(documents) >= 30


def test_whole_modules_are_held_out_and_shortened_at_a_paragraph() -> None:
    long = Document("topic:break", "word " * 50 + "\n\n" + "long " * 5000)
    library = Corpus((long, Document("topic:assert", "x" * 300)), ())
    assert held_out_prose(library) == [Document("topic:break", "word " * 50 + "\n")]


FRAGMENT = st.text(st.characters(codec="utf-8"), min_size=60, max_size=200)
OTHER = st.lists(st.text(st.characters(codec="utf-8"), max_size=80), max_size=12)


@given(held_out=FRAGMENT, before=OTHER, after=OTHER, cut=st.integers(0, 60))
def test_lines_that_share_a_window_are_dropped(
    held_out: str, before: list[str], after: list[str], cut: int
) -> None:
    text = "\n".join([*before, held_out[cut:], *after, "an end of its own, long enough to be kept " * 5])
    kept = list(without_overlap([Document("code:x", text)], [held_out]))
    assert _shared(tuple(kept), _windows(held_out), collapse=False) == 0


def test_another_indentation_does_not_hide_shared_text() -> None:
    sentence = "the quick brown fox jumps over the lazy dog and over the fence"
    indented = "    " + sentence.replace("over the lazy", "over\n        the lazy") + "\n"
    own = "text that nobody else has written down anywhere in this place\n" * 4
    kept = list(without_overlap([Document("code:x", indented + own)], [sentence]))
    assert [document.text for document in kept] == [own]


def test_text_without_overlap_stays_as_it_is() -> None:
    document = Document("code:x", "def f(x):\n    return x\n" * 12)
    assert list(without_overlap([document], ["something else entirely " * 10])) == [document]
