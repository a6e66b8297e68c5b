"""A checkpoint of more than a gigabyte, made here and removed afterwards: random weights, real sizes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from workbench.models import load_model

N_BLOCKS, HIDDEN = 12, 2048


@contextmanager
def large_checkpoint() -> Iterator[Path]:
    """Llama of 12 blocks of hidden size 2048: bfloat16, 0.53 B parameters, sharded, the shipped tokenizer."""
    folder = Path(tempfile.mkdtemp(prefix="workbench-large-"))
    try:
        _make(folder)
        yield folder
    finally:
        shutil.rmtree(folder)


def _make(folder: Path) -> None:
    shipped = load_model("tiny")
    config = LlamaConfig(
        vocab_size=shipped.profile.vocab,
        hidden_size=HIDDEN,
        intermediate_size=5632,
        num_hidden_layers=N_BLOCKS,
        num_attention_heads=32,
        num_key_value_heads=4,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        dtype=torch.bfloat16,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="256MB")
    finally:
        torch.set_default_dtype(before)
    shipped.tokenizer.save_pretrained(folder)
