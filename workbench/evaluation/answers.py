"""What a module answers: greedy text of many prompts, how likely its tokens were, whether it is right.

B batch, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from threading import Event
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workbench.errors import CancelledRunError, PlanError
from workbench.evaluation.evaluate import shelf_of_stages
from workbench.evaluation.pipeline import crossed
from workbench.evaluation.suite import Example
from workbench.models.slice import Boundary, StageModel
from workbench.plan import Placement

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["Answer", "answers"]

_BATCH = 64


@dataclass(frozen=True)
class Answer:
    """What one module answered to one prompt."""

    example: Example
    text: str  # up to and without the newline that ends it
    logprobs: tuple[float, ...]  # natural logarithm of each token's probability, the newline's included
    prompt_tokens: int

    @property
    def right(self) -> bool:
        """Whether it is the example's answer, exactly."""
        return self.text.strip() == self.example.answer.strip()

    @property
    def new_tokens(self) -> int:
        return len(self.logprobs)


def answers(
    model: Model,
    placement: Placement,
    examples: Sequence[Example],
    *,
    max_new_tokens: int = 40,
    on_progress: Callable[[int, int], None] | None = None,
    stop: Event | None = None,
    device: str = "cpu",
) -> list[Answer]:
    """What a placement answers, in the order of the examples; its stages run in this process.

    Args:
        on_progress: is told how many examples are done, of how many.
        stop: set from another thread to end between two batches.

    Raises:
        AdapterError, CheckpointError: the adapter or the weights cannot be used.
        CancelledRunError: ``stop`` was set.
        PlanError: the placement is for a model of another number of blocks.
    """
    if placement.partition.n_blocks != model.n_blocks:
        raise PlanError(
            f"the placement cuts {placement.partition.n_blocks} blocks, {model.name!r} has {model.n_blocks}"
        )
    found: dict[int, Answer] = {}
    for rows in _alike(model.tokenizer, examples):
        if stop is not None and stop.is_set():
            raise CancelledRunError("measuring answers was stopped: nothing of it was kept")
        with shelf_of_stages(model, placement, device) as stages:
            prompts = [ids for _, ids in rows]
            batch = _decode(stages, placement.wire, model.tokenizer, prompts, max_new_tokens)
        for (number, ids), (text, logprobs) in zip(rows, batch, strict=True):
            found[number] = Answer(examples[number], text, logprobs, len(ids))
        if on_progress is not None:
            on_progress(len(found), len(examples))
    return [found[number] for number in range(len(examples))]


_Row = tuple[int, list[int]]


def _alike(tokenizer: Any, examples: Sequence[Example]) -> Iterator[list[_Row]]:
    """Prompts of equal length together, at most a batch: nothing needs padding."""
    rows = [(number, list(tokenizer(example.prompt)["input_ids"])) for number, example in enumerate(examples)]
    rows.sort(key=lambda row: len(row[1]))
    for _, group in groupby(rows, key=lambda row: len(row[1])):
        same = list(group)
        for start in range(0, len(same), _BATCH):
            yield same[start : start + _BATCH]


@torch.inference_mode()
def _decode(
    stages: Sequence[StageModel], wire: str, tokenizer: Any, prompts: list[list[int]], n: int
) -> list[tuple[str, tuple[float, ...]]]:
    """Greedy tokens until each row has a newline, the end of text, or ``n`` tokens."""
    caches = [stage.new_cache(len(prompts)) for stage in stages]
    tokens: list[list[int]] = [[] for _ in prompts]
    logprobs: list[list[float]] = [[] for _ in prompts]
    open_rows, inputs = set(range(len(prompts))), torch.tensor(prompts)
    for _ in range(n):
        logits = _forward(stages, wire, inputs, caches)
        likeliest = torch.log_softmax(logits.float(), dim=-1).max(dim=-1)
        inputs = likeliest.indices[:, None]
        for row in sorted(open_rows):
            tokens[row].append(int(likeliest.indices[row]))
            logprobs[row].append(float(likeliest.values[row]))
            if "\n" in tokenizer.decode(tokens[row][-1:]) or tokens[row][-1] == tokenizer.eos_token_id:
                open_rows.discard(row)
        if not open_rows:
            break
    texts = [tokenizer.decode(row, skip_special_tokens=True).partition("\n")[0] for row in tokens]
    return [(text, tuple(row)) for text, row in zip(texts, logprobs, strict=True)]


def _forward(stages: Sequence[StageModel], wire: str, inputs: Tensor, caches: Sequence[Any]) -> Tensor:
    """Logits [B, V] of the last position."""
    state: Tensor | Boundary = inputs.to(stages[0].device)
    for stage, cache in zip(stages, caches, strict=True):
        if isinstance(state, Boundary):
            state = crossed(state, wire, stage)
        ids = inputs.to(stage.device) if stage.needs_token_ids else None
        state = stage.forward(state, cache=cache, token_ids=ids, logits_to_keep=1)
    assert isinstance(state, Tensor)
    return state[:, -1].cpu()
