"""A model as numbers, read from its configuration alone: a model of 70 B parameters costs no memory."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedConfig, PreTrainedModel

from workbench.models.activations import PROBES, AliveBytes, block_peaks, per_token
from workbench.models.anatomy import Anatomy, find_anatomy
from workbench.models.meta_ops import run_on_meta
from workbench.models.pasts import new_past
from workbench.profiles import ModelProfile
from workbench.quantization.weights import is_packable

__all__ = ["config_key", "read_profile"]

_N_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_N_ACTIVE = (
    "num_experts_per_tok",
    "top_k_experts",
    "moe_topk",
    "moe_top_k",
    "moe_k",
    "num_experts_per_token",
)
_N_POSITIONS = (
    "max_position_embeddings",
    "max_seq_len",
    "seq_length",
    "max_sequence_length",
    "context_length",
)
_UNBOUNDED = 1 << 20  # for architectures without a limit, such as state-space models
_PROBE_TOKENS = 2


def read_profile(model: PreTrainedModel, name: str) -> ModelProfile:
    """Count a model's parameters, cache and boundary activations. ``model`` may be on the meta device.

    Raises:
        UnsupportedArchitectureError: its blocks cannot be found.
    """
    anatomy = find_anatomy(model)
    config: Any = model.config.get_text_config()
    blocks: list[nn.Module] = list(model.get_submodule(anatomy.blocks))
    kv, windows = _cache_layers(model, anatomy)
    activations = _activations(model, anatomy, kv)
    parameters = {n: p.numel() for n, p in model.named_parameters(remove_duplicate=False)}
    configs = _block_configs(config, anatomy.n_blocks)
    return ModelProfile(
        name=name,
        architecture=anatomy.architecture,
        n_blocks=anatomy.n_blocks,
        hidden=config.hidden_size,
        vocab=config.vocab_size,
        max_positions=_first(config, _N_POSITIONS, _UNBOUNDED),
        boundary_elements=anatomy.boundary_elements,
        block_params=tuple(sum(p.numel() for p in b.parameters()) for b in blocks),
        block_active_params=tuple(_active(b, c) for b, c in zip(blocks, configs, strict=True)),
        block_quantizable=tuple(_quantizable(b) for b in blocks),
        kv_elements=kv,
        attention_width=tuple(
            _attention_width(b, c) if n else 0 for n, b, c in zip(kv, blocks, configs, strict=True)
        ),
        window=windows,
        embedding_params=_outside(anatomy.embeddings, parameters, anatomy),
        head_params=_outside(anatomy.head, parameters, anatomy),
        tied=bool(model.all_tied_weights_keys),
        config_key=config_key(model.config),
        activations=activations,
    )


def config_key(config: PreTrainedConfig) -> str:
    """16 hex digits that equal configurations, and no others, share, wherever a model is kept."""
    about_the_copy = {"_name_or_path", "transformers_version", "dtype"}
    content = {k: v for k, v in config.to_diff_dict().items() if k not in about_the_copy}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _first(config: Any, names: Iterable[str], otherwise: int) -> int:
    found = (getattr(config, name, None) for name in names)
    return next((value for value in found if isinstance(value, int) and value > 0), otherwise)


def _outside(names: Iterable[str], sizes: dict[str, int], anatomy: Anatomy) -> int:
    """Parameters outside the blocks; two tied names count twice, each for the side that owns only it."""
    return sum(sizes[n] for n in names if n in sizes and anatomy.block_of(n) is None)


def _quantizable(block: nn.Module) -> int:
    linear = [m for m in block.modules() if is_packable(m)]
    return sum(m.weight.numel() for m in linear)  # type: ignore[operator, misc]


def _block_configs(config: Any, n_blocks: int) -> list[Any]:
    """Each block's own configuration, where they differ; else the model's."""
    return [config.per_layer_config[i] if config.is_heterogeneous else config for i in range(n_blocks)]


def _active(block: nn.Module, config: Any) -> int:
    """Parameters that one token uses: of a mixture's experts, only those that are chosen."""
    n_experts = _first(config, _N_EXPERTS, 1)
    share = min(1.0, _first(config, _N_ACTIVE, n_experts) / n_experts)
    return sum(
        round(p.numel() * (share if _is_an_experts(n, p.shape, n_experts) else 1))
        for n, p in block.named_parameters()
    )


def _is_an_experts(name: str, shape: torch.Size, n_experts: int) -> bool:
    """One of ``experts.7.…``, or a tensor that stacks all experts."""
    path = name.split(".")
    return "experts" in path and (any(part.isdigit() for part in path) or shape[0] == n_experts)


def _attention_width(block: nn.Module, config: Any) -> int:
    heads = config.num_attention_heads
    nominal = getattr(config, "head_dim", None) or config.hidden_size // heads
    sizes = (getattr(m, "qk_head_dim", None) or getattr(m, "head_dim", None) for m in block.modules())
    return int(heads * next((s for s in sizes if isinstance(s, int)), nominal))


class _OnMeta(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run_on_meta(func, args, kwargs or {})


def _cache_layers(model: PreTrainedModel, anatomy: Anatomy) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
    """Per block: keys and values cached per token, and the window, as its own forward leaves them."""
    n, name = anatomy.n_blocks, anatomy.cache_argument
    ids = torch.zeros((1, _PROBE_TOKENS), dtype=torch.long, device="meta")
    past = new_past(model.config, name, 0, n, batch=1, device=ids.device, dtype=model.dtype)
    layers: list[Any] = getattr(past, "layers", [])
    if name is None or not hasattr(past, "layers"):
        return (0,) * n, (None,) * n
    with torch.no_grad(), _OnMeta():
        model(input_ids=ids, use_cache=True, **{name: past})
    written = anatomy.flow.cache_layers
    return (
        tuple(sum(_layer_elements(layers[i]) for i in own) for own in written),
        tuple(next((getattr(layers[i], "sliding_window", None) for i in own), None) for own in written),
    )


def _activations(
    model: PreTrainedModel, anatomy: Anatomy, kv: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """What each block holds on its way; empty where the forward cannot be followed."""
    ready = model.device.type == "meta" and model.dtype == torch.bfloat16
    twin = model if ready else copy.deepcopy(model).to("meta", torch.bfloat16)
    blocks: list[nn.Module] = list(twin.get_submodule(anatomy.blocks))
    try:
        return per_token([_peaks(twin, anatomy, blocks, tokens) for tokens in PROBES], kv)
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return ()


def _peaks(twin: PreTrainedModel, anatomy: Anatomy, blocks: list[nn.Module], tokens: int) -> list[int]:
    ids = torch.zeros((1, tokens), dtype=torch.long, device="meta")
    name = anatomy.cache_argument
    past = new_past(twin.config, name, 0, anatomy.n_blocks, batch=1, device=ids.device, dtype=torch.bfloat16)
    given = {name: past} if name else {}
    return block_peaks(
        blocks, AliveBytes(twin, run_on_meta), lambda: twin(input_ids=ids, use_cache=True, **given)
    )


def _layer_elements(layer: Any) -> int:
    tensors = [t for t in (getattr(layer, "keys", None), getattr(layer, "values", None)) if t is not None]
    return sum(math.prod(t.shape) for t in tensors) // _PROBE_TOKENS
