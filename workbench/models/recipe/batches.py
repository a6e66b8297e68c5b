"""Training batches: each a pure function of seed and step, so that a run can stop and go on.

B rows, T tokens. A row is prose, code or a run of task examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from transformers import PreTrainedTokenizerFast

from .corpus import Corpus, Document
from .tasks import Example, training_examples

__all__ = ["IGNORED", "Batch", "Mix", "TokenStreams", "encode_streams", "make_batch"]

# Labels that the loss skips, as PyTorch's cross entropy has it.
IGNORED = -100
_GOLDEN_RATIO = 0.6180339887498949


@dataclass(frozen=True)
class Mix:
    """The share of prose and of code in all rows; the rest is tasks."""

    prose: float = 0.35
    code: float = 0.20


@dataclass(frozen=True)
class TokenStreams:
    """All documents of a kind one after another, `<|endoftext|>` before each: uint16[N]."""

    prose: np.ndarray
    code: np.ndarray


@dataclass(frozen=True)
class Batch:
    """`inputs` and `labels`, int64[B, T]: `labels` are shifted by one, `IGNORED` in task prompts."""

    inputs: np.ndarray
    labels: np.ndarray


def encode_streams(tokenizer: PreTrainedTokenizerFast, corpus: Corpus, seed: int) -> TokenStreams:
    """Both kinds of text as tokens, documents in an order that depends on `seed` alone."""
    rng = np.random.default_rng([seed, 1])
    return TokenStreams(*(_encoded(tokenizer, part, rng) for part in (corpus.prose, corpus.code)))


def _encoded(
    tokenizer: PreTrainedTokenizerFast, documents: Sequence[Document], rng: np.random.Generator
) -> np.ndarray:
    texts = [documents[i].text for i in rng.permutation(len(documents))]
    encoded = tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
    end = [tokenizer.eos_token_id]
    return np.concatenate([np.array(end + item.ids, dtype=np.uint16) for item in encoded])


def make_batch(
    streams: TokenStreams,
    tokenizer: PreTrainedTokenizerFast,
    step: int,
    *,
    seed: int,
    length: int,
    tokens: int,
    mix: Mix,
) -> Batch:
    """The batch of `step`: `tokens // length` rows in the proportions of `mix`."""
    rows = tokens // length
    prose, code = _row_numbers(step, rows * mix.prose), _row_numbers(step, rows * mix.code)
    parts = [
        *(_stream_row(streams.prose, row, length) for row in prose),
        *(_stream_row(streams.code, row, length) for row in code),
        *_task_rows(tokenizer, [seed, step], rows - len(prose) - len(code), length),
    ]
    inputs, labels = (np.stack(part).astype(np.int64) for part in zip(*parts, strict=True))
    return Batch(inputs, labels)


def _row_numbers(step: int, rows_per_step: float) -> range:
    """Whole rows whose number over many steps comes to `rows_per_step` per step."""
    return range(int(step * rows_per_step), int((step + 1) * rows_per_step))


def _stream_row(stream: np.ndarray, index: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    # Multiples of the golden ratio cover the stream more evenly than random places do.
    start = int(index * _GOLDEN_RATIO % 1.0 * (len(stream) - length - 1))
    piece = stream[start : start + length + 1].astype(np.int64)
    return piece[:-1], piece[1:]


def _task_rows(
    tokenizer: PreTrainedTokenizerFast, seed: Sequence[int], rows: int, length: int
) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    if not rows:
        return
    rng = np.random.default_rng(seed)
    # No example is shorter than seven tokens.
    examples = list(islice(training_examples(int(rng.integers(2**63))), rows * length // 7 + rows))
    pieces = _example_pieces(tokenizer, examples, rng)
    for _ in range(rows):
        tokens, learnt = _filled(pieces, length + 1)
        yield tokens[:-1], np.where(learnt, tokens, IGNORED)[1:]


def _example_pieces(
    tokenizer: PreTrainedTokenizerFast, examples: Sequence[Example], rng: np.random.Generator
) -> Iterator[tuple[list[int], int]]:
    """Each example's tokens and how many of them are its prompt; half are followed by the end token."""
    encode = tokenizer.backend_tokenizer.encode_batch
    prompts = encode([example.prompt for example in examples], add_special_tokens=False)
    answers = encode([f" {example.answer}\n" for example in examples], add_special_tokens=False)
    for prompt, answer, ends in zip(prompts, answers, rng.random(len(examples)) < 0.5, strict=True):
        yield prompt.ids + answer.ids + [tokenizer.eos_token_id] * int(ends), len(prompt.ids)


def _filled(pieces: Iterable[tuple[list[int], int]], length: int) -> tuple[np.ndarray, np.ndarray]:
    tokens: list[int] = []
    learnt: list[bool] = []
    for ids, prompt in pieces:
        tokens += ids
        learnt += [False] * prompt + [True] * (len(ids) - prompt)
        if len(tokens) >= length:
            break
    return np.array(tokens[:length]), np.array(learnt[:length])
