"""Tiny random models of many families, and the two sides of every exactness test: unsplit and split."""

from __future__ import annotations

import copy
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from workbench.models.kv_cache import StageCache
from workbench.models.slice import StageModel, slice_model
from workbench.plan import CLOUD, EDGE, Partition, Stage

CHUNKS = (5, 4, 1, 3, 1)  # tokens per forward
PADDING = 3


def _load_tiny_models() -> Any:
    path = Path(__file__).parents[2] / "benchmarks" / "tiny_models.py"
    spec = importlib.util.spec_from_file_location("tiny_models", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("tiny_models", module)
    spec.loader.exec_module(module)
    return module


tiny_models = _load_tiny_models()


@cache
def toy(family: str) -> PreTrainedModel:
    """Shared by tests, which slice copies of it."""
    model: PreTrainedModel = tiny_models.tiny_model(family)
    return model


def stages_of(model: PreTrainedModel, partition: Partition) -> list[StageModel]:
    return [slice_model(copy.deepcopy(model), stage) for stage in partition.stages]


def three_stages(n_blocks: int) -> Partition:
    first, second = 1, max(2, n_blocks - 1)
    ends = (Stage(EDGE, 0, first, embedding=True), Stage(CLOUD, second, n_blocks, head=True))
    return Partition(n_blocks, (ends[0], Stage("fog", first, second), ends[1]))


def tokens(batch: int, n_tokens: int, seed: int = 0) -> Tensor:
    """Token ids [batch, n_tokens]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(4, tiny_models.VOCAB, (batch, n_tokens), generator=generator)


def left_padded(batch: int, n_tokens: int, padding: int = PADDING) -> Tensor:
    """Mask [batch, n_tokens] with the first sequence padded."""
    mask = torch.ones((batch, n_tokens), dtype=torch.long)
    mask[0, :padding] = 0
    return mask


def chunked(
    ids: Tensor, chunks: Sequence[int], mask: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Token ids [B, T] and mask [B, P + T] of each forward."""
    end = 0
    for n_tokens in chunks:
        end += n_tokens
        yield ids[:, end - n_tokens : end], None if mask is None else mask[:, :end]


@torch.inference_mode()
def unsplit(model: PreTrainedModel, ids: Tensor, chunks: Sequence[int], mask: Tensor | None = None) -> Tensor:
    """The truth, without anything of ours: logits [B, all tokens, V]."""
    past, seen, logits = DynamicCache(config=model.config), 0, []
    for part, part_mask in chunked(ids, chunks, mask):
        positions = torch.arange(seen, seen + part.shape[1]).unsqueeze(0).to(ids.device)
        if part_mask is not None:
            counted = (part_mask.cumsum(-1) - 1).masked_fill(part_mask == 0, 0)
            positions = counted[:, -part.shape[1] :]
        seen += part.shape[1]
        given = {"cache_params": past} if "mamba" in model.config.model_type else {"past_key_values": past}
        if "cache_params" not in given:
            given |= {"position_ids": positions, "attention_mask": part_mask}
        logits.append(model(input_ids=part, use_cache=True, **given).logits)
    return torch.cat(logits, dim=1)


def through(
    stages: Sequence[StageModel],
    ids: Tensor,
    caches: Sequence[StageCache | None] | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """One forward of all stages: logits [B, T, V]."""
    passed: Any = ids
    for stage, cache_ in zip(stages, caches or [None] * len(stages), strict=True):
        needed = ids if stage.needs_token_ids else None
        passed = stage.forward(passed, attention_mask=mask, cache=cache_, token_ids=needed)
    assert isinstance(passed, Tensor)
    return passed


def split(
    stages: Sequence[StageModel], ids: Tensor, chunks: Sequence[int], mask: Tensor | None = None
) -> Tensor:
    """Logits [B, all tokens, V] with a cache per stage."""
    caches = [stage.new_cache(ids.shape[0]) for stage in stages]
    return torch.cat([through(stages, part, caches, m) for part, m in chunked(ids, chunks, mask)], dim=1)
