"""Bits per byte per exit and exact match per task, in batches, for the recipe and the model card."""

from __future__ import annotations

import json
import lzma
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from .architecture import exit_logits
from .batches import IGNORED
from .corpus import Document
from .tasks import Example

__all__ = [
    "ProseScore",
    "answer_row",
    "exact_match",
    "padded",
    "read_prose",
    "read_tasks",
    "score_prose",
    "write_lines",
    "xz_bits_per_byte",
]


@dataclass(frozen=True, eq=False)
class ProseScore:
    """How one exit of a model does on held-out prose."""

    bits_per_byte: float
    """Bits for all tokens over UTF-8 bytes of all documents."""
    likeliest: Tensor
    """The likeliest token in every place, int64 [places]."""

    def agreement(self, other: ProseScore) -> float:
        """The share of places where both think the same token likeliest, on the same documents."""
        return (self.likeliest == other.likeliest).float().mean().item()


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
def score_prose(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    documents: Sequence[Document],
    exits: tuple[int, ...],
    *,
    window: int = 512,
    batch: int = 8,
) -> dict[int, ProseScore]:
    """Each exit's score: every token counts once, with at least `window / 2` tokens before it.

    Documents start after the end token; their first half window has what is there.
    """
    nats = dict.fromkeys(exits, 0.0)
    likeliest: dict[int, list[Tensor]] = {depth: [] for depth in exits}
    for inputs, labels in _scoring_batches(tokenizer, documents, window, batch):
        scored = labels.flatten() != IGNORED
        wanted = labels.flatten()[scored].to(model.device)
        for depth, logits in exit_logits(model, inputs.to(model.device), exits).items():
            flat = logits.flatten(0, 1)[scored].float()
            nats[depth] += cross_entropy(flat, wanted, reduction="sum").item()
            likeliest[depth].append(flat.argmax(-1))
    per_byte = 1 / math.log(2) / sum(len(document.text.encode()) for document in documents)
    return {d: ProseScore(nats[d] * per_byte, torch.cat(likeliest[d])) for d in exits}


def _scoring_batches(
    tokenizer: PreTrainedTokenizerFast, documents: Sequence[Document], window: int, batch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    rows = [row for document in documents for row in _scored_rows(tokenizer, document.text, window)]
    rows.sort(key=len)
    for start in range(0, len(rows), batch):
        yield padded(rows[start : start + batch], tokenizer.pad_token_id)


def _scored_rows(
    tokenizer: PreTrainedTokenizerFast, text: str, window: int
) -> Iterator[list[tuple[int, int]]]:
    """Rows of (token, label): the label is IGNORED where an earlier row has scored the token."""
    ids = [tokenizer.eos_token_id, *tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]
    for start in range(0, max(1, len(ids) - window // 2 - 1), window // 2):
        pairs = list(zip(ids[start : start + window], ids[start + 1 : start + window + 1], strict=False))
        seen = window // 2 if start else 0
        yield [(token, IGNORED if i < seen else label) for i, (token, label) in enumerate(pairs)]


def padded(rows: Sequence[Sequence[tuple[int, int]]], pad: int) -> tuple[Tensor, Tensor]:
    """Tokens and labels, int64 [B, T], padded on the right, where causal attention never looks."""
    width = max(len(row) for row in rows)
    full = [list(row) + [(pad, IGNORED)] * (width - len(row)) for row in rows]
    both = torch.tensor(full)
    return both[..., 0], both[..., 1]


@torch.inference_mode()
def exact_match(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    exits: tuple[int, ...],
    *,
    batch: int = 64,
) -> dict[int, dict[str, float]]:
    """Per exit, the share of each task's examples that greedy decoding answers exactly, newline included.

    Greedy decoding writes the answer exactly when every token of it is the likeliest after those
    before, so one pass over prompt and answer decides.
    """
    right: dict[int, dict[str, list[bool]]] = {depth: {} for depth in exits}
    for start in range(0, len(examples), batch):
        part = examples[start : start + batch]
        rows = [answer_row(tokenizer, example) for example in part]
        inputs, labels = (item.to(model.device) for item in padded(rows, tokenizer.pad_token_id))
        for depth, logits in exit_logits(model, inputs, exits).items():
            hits = ((logits.argmax(-1) == labels) | (labels == IGNORED)).all(-1)
            for example, hit in zip(part, hits.tolist(), strict=True):
                right[depth].setdefault(example.task, []).append(hit)
    return {d: {task: sum(hits) / len(hits) for task, hits in found.items()} for d, found in right.items()}


def answer_row(tokenizer: PreTrainedTokenizerFast, example: Example) -> list[tuple[int, int]]:
    """Pairs of a token and its label, the next token; IGNORED before the answer."""
    prompt = tokenizer(example.prompt, add_special_tokens=False)["input_ids"]
    answer = tokenizer(f" {example.answer}\n", add_special_tokens=False)["input_ids"]
    ids = prompt + answer
    return [(ids[i], ids[i + 1] if i + 1 >= len(prompt) else IGNORED) for i in range(len(ids) - 1)]
