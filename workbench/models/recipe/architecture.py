"""What the shipped models look like, and their loss at several depths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

__all__ = ["DRAFT", "MODELS", "TINY", "Architecture", "build_model", "exit_logits", "training_loss"]


@dataclass(frozen=True)
class Architecture:
    """The size of a shipped model, and the depths at which it can be left."""

    name: str
    blocks: int
    hidden: int
    feed_forward: int
    heads: int
    key_value_heads: int
    exit_weights: Mapping[int, float]
    """Loss weight per exit: blocks run before the shared norm and head. The last is the model."""
    vocabulary: int = 2048
    max_positions: int = 1024

    @property
    def exits(self) -> tuple[int, ...]:
        """Depths in blocks, ascending; the last is the whole model."""
        return tuple(sorted(self.exit_weights))


TINY = Architecture("tiny", 8, 192, 576, 6, 2, {2: 0.15, 4: 0.15, 6: 0.2, 8: 1.0})
DRAFT = Architecture("tiny-draft", 2, 96, 256, 3, 1, {1: 0.15, 2: 1.0})
MODELS = {architecture.name: architecture for architecture in (TINY, DRAFT)}


def build_model(architecture: Architecture, seed: int) -> LlamaForCausalLM:
    """A fresh float32 model, the same for the same seed."""
    config = LlamaConfig(
        vocab_size=architecture.vocabulary,
        hidden_size=architecture.hidden,
        intermediate_size=architecture.feed_forward,
        num_hidden_layers=architecture.blocks,
        num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.key_value_heads,
        max_position_embeddings=architecture.max_positions,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
        early_exits=list(architecture.exits),
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    for name, parameter in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            # Each block starts as the identity: deep and shallow exits begin alike.
            torch.nn.init.zeros_(parameter)
    return model


def _hidden_at_exits(model: LlamaForCausalLM, tokens: Tensor, exits: tuple[int, ...]) -> dict[int, Tensor]:
    """Hidden states [B, T, D] after each of `exits` blocks, before the final norm."""
    decoder = model.model
    hidden = decoder.embed_tokens(tokens)
    positions = torch.arange(tokens.shape[1], device=tokens.device)[None]
    rotary = decoder.rotary_emb(hidden, position_ids=positions)
    found = {}
    for depth, block in enumerate(decoder.layers[: max(exits)], start=1):
        hidden = block(hidden, attention_mask=None, position_ids=positions, position_embeddings=rotary)
        if depth in exits:
            found[depth] = hidden
    return found


def exit_logits(model: LlamaForCausalLM, tokens: Tensor, exits: tuple[int, ...]) -> dict[int, Tensor]:
    """Logits [B, T, V] at each of `exits` (depths in blocks) through the shared norm and head."""
    hidden = _hidden_at_exits(model, tokens, exits)
    return {depth: model.lm_head(model.model.norm(states)) for depth, states in hidden.items()}


def training_loss(
    model: LlamaForCausalLM, inputs: Tensor, labels: Tensor, weights: Mapping[int, float], phase: int
) -> tuple[Tensor, dict[int, Tensor]]:
    """The weighted loss over all exits, and the loss of each exit in nats per token.

    `inputs`, `labels`: int64 [B, T], labels already shifted, -100 where nothing is learnt. The deepest
    exit learns from every position, the others from one in four (`phase` says which), which keeps the
    head's share of the arithmetic small.
    """
    losses = {}
    for depth, states in _hidden_at_exits(model, inputs, tuple(weights)).items():
        step = slice(None) if depth == max(weights) else slice(phase % 4, None, 4)
        logits = model.lm_head(model.model.norm(states[:, step]))
        losses[depth] = cross_entropy(logits.flatten(0, 1).float(), labels[:, step].flatten())
    return sum((weights[depth] * loss for depth, loss in losses.items()), torch.zeros(())), losses
