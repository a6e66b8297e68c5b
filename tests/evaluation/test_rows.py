"""Every token of a text is scored once; batches hold every row once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workbench.evaluation.rows import UNSCORED, Row, _windows, batches, rows_of
from workbench.evaluation.suite import Suite
from workbench.models import Model


@given(st.integers(2, 90), st.integers(4, 33))
def test_windows_score_every_token_once(length: int, window: int) -> None:
    ids = list(range(length))
    scored: list[int] = []
    for row in _windows(ids, window):
        assert len(row.tokens) == len(row.labels) <= window
        for token, label in zip(row.tokens, row.labels, strict=True):
            if label != UNSCORED:
                assert label == token + 1  # the token that comes next
                scored.append(label)
    assert scored == ids[1:]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(10, 200))
def test_batches_hold_every_row_once(lengths: list[int], limit: int) -> None:
    rows = [Row((i,) * n, (i,) * n) for i, n in enumerate(lengths)]
    found = list(batches(rows, limit))
    assert sorted((row for b in found for row in b.rows), key=rows.index) == rows
    assert all(b.tokens.numel() <= limit or len(b.rows) == 1 for b in found)
    assert all(
        (b.labels == UNSCORED).sum() == b.labels.numel() - sum(len(r.tokens) for r in b.rows) for b in found
    )


def test_an_answer_is_asked_for_to_its_newline(toy: Model, suite: Suite) -> None:
    row = rows_of(suite, toy.tokenizer, 128)[-1]
    answer = [label for label in row.labels if label != UNSCORED]
    assert toy.tokenizer.decode(answer) == " c\n"
    assert toy.tokenizer.decode(row.tokens) == "copy: c = c"


def test_the_first_token_of_a_text_is_scored_too(toy: Model, suite: Suite) -> None:
    first = rows_of(suite, toy.tokenizer, 128)[0]
    assert first.tokens[0] == toy.tokenizer.eos_token_id
    assert toy.tokenizer.decode(first.labels) == suite.texts[0]
