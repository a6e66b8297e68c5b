"""Texts and examples as rows of tokens with labels, in batches. B batch, T tokens.

Rows are padded on the right, where causal attention never looks: no mask is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from workbench.evaluation.suite import Example, Suite

__all__ = ["UNSCORED", "Batch", "Row", "batches", "rows_of"]

UNSCORED = -100
_WINDOW = 512


@dataclass(frozen=True)
class Row:
    """Tokens that go in, and after each the token that should come out, or ``UNSCORED``."""

    tokens: tuple[int, ...]
    labels: tuple[int, ...]
    task: str = ""  # of an example; empty for prose


@dataclass(frozen=True)
class Batch:
    """Rows side by side."""

    rows: tuple[Row, ...]
    tokens: Tensor  # int64 [B, T]
    labels: Tensor  # int64 [B, T], UNSCORED where nothing is asked


def rows_of(suite: Suite, tokenizer: PreTrainedTokenizerBase, max_positions: int) -> list[Row]:
    """All rows of a suite: prose in overlapping windows, then one row per example."""
    window = min(_WINDOW, max_positions)
    prefix = _prefix(tokenizer)
    prose = [row for text in suite.texts for row in _windows(_text_ids(tokenizer, text, prefix), window)]
    return [*prose, *(_answer_row(tokenizer, example, prefix) for example in suite.examples)]


def _prefix(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What the tokenizer itself puts before a text, such as a beginning-of-sequence token."""
    ids = list(tokenizer("")["input_ids"])
    return ids[:1] if ids and ids[0] == tokenizer.bos_token_id else []


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _text_ids(tokenizer: PreTrainedTokenizerBase, text: str, prefix: Sequence[int]) -> list[int]:
    """Behind the token that ends documents, where there is one, so that the first token is scored too."""
    end = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return [*(prefix or ([] if end is None else [end])), *_ids(tokenizer, text)]


def _windows(ids: Sequence[int], window: int) -> Iterator[Row]:
    """Every token scored once, with at least half a window before it where the text has that much."""
    step = window // 2
    overlap = window - step
    for start in range(0, max(1, len(ids) - 1 - overlap), step):
        tokens, labels = ids[start : start + window], ids[start + 1 : start + window + 1]
        seen = overlap if start else 0
        scored = [UNSCORED if i < seen else label for i, label in enumerate(labels)]
        yield Row(tuple(tokens[: len(scored)]), tuple(scored))


def _answer_row(tokenizer: PreTrainedTokenizerBase, example: Example, prefix: Sequence[int]) -> Row:
    prompt = [*prefix, *_ids(tokenizer, example.prompt)]
    answer = _ids(tokenizer, f" {example.answer}\n")
    ids = prompt + answer
    labels = [UNSCORED] * (len(prompt) - 1) + answer
    return Row(tuple(ids[:-1]), tuple(labels), example.task)


def batches(rows: Iterable[Row], max_tokens: int) -> Iterator[Batch]:
    """Rows of like length together, at most ``max_tokens`` tokens with padding, or one row."""
    waiting: list[Row] = []
    for row in sorted(rows, key=lambda r: len(r.tokens)):
        if waiting and (len(waiting) + 1) * len(row.tokens) > max_tokens:
            yield _batch(waiting)
            waiting = []
        waiting.append(row)
    if waiting:
        yield _batch(waiting)


def _batch(rows: Sequence[Row]) -> Batch:
    width = max(len(row.tokens) for row in rows)
    tokens = torch.tensor([[*row.tokens, *[0] * (width - len(row.tokens))] for row in rows])
    labels = torch.tensor([[*row.labels, *[UNSCORED] * (width - len(row.labels))] for row in rows])
    return Batch(tuple(rows), tokens, labels)
