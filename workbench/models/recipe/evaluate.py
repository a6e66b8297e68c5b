"""Bits per byte per exit and exact match per task, in batches, for the recipe and the model card."""

from __future__ import annotations

import json
import lzma
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from .architecture import exit_logits
from .corpus import Document
from .tasks import Example

__all__ = ["bits_per_byte", "exact_match", "read_prose", "read_tasks", "write_lines", "xz_bits_per_byte"]


def read_prose(path: Path) -> list[Document]:
    """The held-out documents of `prose.jsonl`."""
    return [Document(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def read_tasks(path: Path) -> list[Example]:
    """The held-out examples of `tasks.jsonl`."""
    return [Example(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def write_lines(path: Path, records: Sequence[dict[str, str]]) -> None:
    """One JSON object per line; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    partial.replace(path)


def xz_bits_per_byte(documents: Sequence[Document]) -> float:
    """What `xz -9` needs for the same text, all documents in one file."""
    data = "".join(document.text for document in documents).encode()
    return 8 * len(lzma.compress(data, preset=9)) / len(data)


@torch.inference_mode()
def bits_per_byte(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    documents: Sequence[Document],
    exits: tuple[int, ...],
    *,
    window: int = 512,
    batch: int = 8,
) -> dict[int, float]:
    """Bits per UTF-8 byte at each exit: every token scored once, with at least `window / 2` before it.

    Documents start after the end token, their first half window has what is there. The sum of all
    tokens' bits over the sum of all documents' bytes.
    """
    nats = dict.fromkeys(exits, 0.0)
    for inputs, labels in _scoring_batches(tokenizer, documents, window, batch):
        inputs, labels = inputs.to(model.device), labels.to(model.device)
        for depth, logits in exit_logits(model, inputs, exits).items():
            flat = logits.flatten(0, 1).float()
            nats[depth] += cross_entropy(flat, labels.flatten(), reduction="sum").item()
    size = sum(len(document.text.encode()) for document in documents)
    return {depth: value / math.log(2) / size for depth, value in nats.items()}


def _scoring_batches(
    tokenizer: PreTrainedTokenizerFast, documents: Sequence[Document], window: int, batch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    rows = [row for document in documents for row in _scored_rows(tokenizer, document.text, window)]
    rows.sort(key=len)
    for start in range(0, len(rows), batch):
        yield _padded(rows[start : start + batch], tokenizer.pad_token_id)


def _scored_rows(
    tokenizer: PreTrainedTokenizerFast, text: str, window: int
) -> Iterator[list[tuple[int, int]]]:
    """Rows of (token, label): a label of -100 where an earlier row has scored the token."""
    ids = [tokenizer.eos_token_id, *tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]
    for start in range(0, max(1, len(ids) - window // 2 - 1), window // 2):
        pairs = list(zip(ids[start : start + window], ids[start + 1 : start + window + 1], strict=False))
        seen = window // 2 if start else 0
        yield [(token, -100 if i < seen else label) for i, (token, label) in enumerate(pairs)]


def _padded(rows: Sequence[Sequence[tuple[int, int]]], pad: int) -> tuple[Tensor, Tensor]:
    """Padded on the right, where causal attention never looks."""
    width = max(len(row) for row in rows)
    full = [list(row) + [(pad, -100)] * (width - len(row)) for row in rows]
    both = torch.tensor(full)
    return both[..., 0], both[..., 1]


@torch.inference_mode()
def exact_match(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    depth: int,
    *,
    batch: int = 64,
) -> dict[str, float]:
    """The share of each task's examples that greedy decoding answers exactly, newline included.

    Greedy decoding writes the answer exactly when every token of it is the likeliest after those
    before, so one pass over prompt and answer decides.
    """
    right: dict[str, list[bool]] = {}
    for start in range(0, len(examples), batch):
        part = examples[start : start + batch]
        rows = [_answer_row(tokenizer, example) for example in part]
        inputs, labels = (item.to(model.device) for item in _padded(rows, tokenizer.pad_token_id))
        guessed = exit_logits(model, inputs, (depth,))[depth].argmax(-1)
        hits = ((guessed == labels) | (labels == -100)).all(-1)
        for example, hit in zip(part, hits.tolist(), strict=True):
            right.setdefault(example.task, []).append(hit)
    return {task: sum(hits) / len(hits) for task, hits in right.items()}


def _answer_row(tokenizer: PreTrainedTokenizerFast, example: Example) -> list[tuple[int, int]]:
    prompt = tokenizer(example.prompt, add_special_tokens=False)["input_ids"]
    answer = tokenizer(f" {example.answer}\n", add_special_tokens=False)["input_ids"]
    ids = prompt + answer
    return [(ids[i], ids[i + 1] if i + 1 >= len(prompt) else -100) for i in range(len(ids) - 1)]
