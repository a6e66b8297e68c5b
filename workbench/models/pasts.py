"""The empty caches that models expect: one general kind, and three architectures' own.

Each gives the object that goes into the model's forward; ``kv_cache`` makes a stage's cache of it.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedConfig
from transformers.cache_utils import DynamicCache, DynamicLayer

__all__ = ["new_past"]


def new_past(
    config: PreTrainedConfig,
    argument: str | None,
    start: int,
    stop: int,
    *,
    batch: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Any:
    """An empty cache for a model's forward.

    Args:
        config: the model's configuration.
        argument: how its forward names its cache; None where it has none.
        start, stop: the stage's blocks.
        batch, device, dtype: of its states, where these have to be made beforehand.

    Returns:
        The cache, or None.
    """
    if argument is None:
        return None
    if config.model_type == "minimax":
        return _minimax(config, start)
    if config.model_type == "xlstm":
        return _xlstm(config, start, stop, batch, device, dtype)
    if argument == "state":
        return _rwkv(config, batch, device, dtype)
    return DynamicCache(config=config)


def _minimax(config: PreTrainedConfig, start: int) -> Any:
    """It adds layers as blocks write to them, so those below the stage have to be there."""
    from transformers.models.minimax.modeling_minimax import MiniMaxCache

    past: Any = MiniMaxCache()
    past.layer_kinds = tuple(config.layer_types)
    past.layers.extend(DynamicLayer() for _ in range(start))
    return past


def _xlstm(
    config: PreTrainedConfig, start: int, stop: int, batch: int, device: torch.device, dtype: torch.dtype
) -> Any:
    """It makes the states of all blocks at once; those of other stages are left without data."""
    from transformers.models.xlstm.modeling_xlstm import xLSTMCache

    past: Any = xLSTMCache(config, batch, dtype=dtype, device=device)
    for i, states in past.rnn_state.items():
        if not start <= i < stop:
            past.rnn_state[i] = tuple(state[:0] for state in states)
    return past


def _rwkv(
    config: PreTrainedConfig, batch: int, device: torch.device, dtype: torch.dtype
) -> list[torch.Tensor]:
    """Five states [B, D, n] as the model makes them: two in its own type, three in float32."""
    shape = (batch, config.hidden_size, config.num_hidden_layers)
    types = (dtype, dtype, torch.float32, torch.float32, torch.float32)
    state = [torch.zeros(shape, dtype=kind, device=device) for kind in types]
    state[4] -= 1e30
    return state
