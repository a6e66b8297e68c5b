"""Logits against labels: bits of text, right answers, greedy next tokens. B batch, T tokens, V vocabulary."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from workbench.evaluation.rows import UNSCORED, Batch
from workbench.records import Share

__all__ = ["Score", "score"]


@dataclass
class Score:
    """Sums over a suite, batch by batch."""

    nats: float = 0.0  # of all scored tokens of prose
    answers: dict[str, list[bool]] = field(default_factory=dict)  # per task, in the order of the batches
    greedy: list[int] = field(default_factory=list)  # at each scored place of prose, in the same order

    @property
    def bits(self) -> float:
        return self.nats / math.log(2)

    @property
    def exact_match(self) -> dict[str, Share]:
        return {task: Share.of(sum(hits), len(hits)) for task, hits in sorted(self.answers.items())}

    def agreement(self, reference: list[int]) -> Share:
        """Places where the greedy next token is the reference's."""
        same = sum(a == b for a, b in zip(self.greedy, reference, strict=True))
        return Share.of(same, len(reference))


@torch.inference_mode()
def score(logits_of: Callable[[Tensor], Tensor], batches: Iterable[Batch]) -> Score:
    """Run all batches.

    An answer counts where every token of it, the newline too, is the likeliest after those before: that is
    when greedy decoding writes exactly these tokens, so one pass over prompt and answer decides.
    """
    found = Score()
    for batch in batches:
        logits = logits_of(batch.tokens).float().cpu()
        greedy = logits.argmax(-1)
        prose = torch.tensor([not row.task for row in batch.rows])
        _add_prose(found, logits[prose], greedy[prose], batch.labels[prose])
        right = ((greedy == batch.labels) | (batch.labels == UNSCORED)).all(-1)
        for row, hit in zip(batch.rows, right.tolist(), strict=True):
            if row.task:
                found.answers.setdefault(row.task, []).append(hit)
    return found


def _add_prose(found: Score, logits: Tensor, greedy: Tensor, labels: Tensor) -> None:
    if labels.numel():
        found.nats += cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum").item()
        found.greedy += greedy[labels != UNSCORED].tolist()
