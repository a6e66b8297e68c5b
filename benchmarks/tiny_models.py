"""A tiny random model of any architecture: the family's own configuration with its sizes shrunk.

Sizes are chosen by the names of the configuration's fields; ``SPECIAL`` has what a family needs beyond that.
Weights are drawn so that every block changes the result and logits differ from token to token.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

VOCAB = 97
SIZES: tuple[tuple[str, Any], ...] = (
    (r"vocab_size.*|.*_vocab_size|vocab_size_per_layer_input", VOCAB),
    (r"(num_|n_)?(hidden_layers|layers?|blocks)|decoder_layers|encoder_layers|num_decoder_layers", 4),
    (
        r"num_key_value_heads|num_kv_heads|n_kv_heads|multi_query_group_num|.*_key_value_heads|num_global_.*heads",
        2,
    ),
    (r"(num_attention_heads|n_heads?|num_heads|encoder_attention_heads|decoder_attention_heads)", 4),
    (r"linear_num_key_heads|linear_num_value_heads|index_n_heads|lightning_heads|.*_num_heads", 4),
    (r"hidden_size_per_layer_input", 8),
    (r"hidden_size|d_model|n_embd|embedding_dim|dim_model|emb_dim|hidden_dim|embedding_size|n_embed", 32),
    (r"word_embed_proj_dim|attention_hidden_size|lru_width|embed_dim|mlp_hidden_size", 32),
    (
        r"moe_intermediate_size|.*expert.*intermediate_size|shared_expert_intermediate_size|expert_ffn.*|moe_.*_size",
        16,
    ),
    (r".*intermediate_size.*|ffn_dim|ffn_hidden_size|n_inner|dim_ff|d_ff|.*ffn_dim|feed_forward.*size", 48),
    (r"(qk_rope|rope)_head_dim|qk_rope_dim", 4),
    (r".*head_dim|d_kv|attention_head_size|kv_channels|.*_head_size|dim_head", 8),
    (r"max_position_embeddings|n_positions|n_ctx|max_seq_len.*|max_sequence_length|seq_length", 64),
    (
        r"sliding_window(_size)?|attention_window|attention_window_size|window_size|local_window|swa_window.*",
        6,
    ),
    (r"attention_chunk_size", 6),
    (r".*lora_rank.*|.*_rank", 12),
    (r"(num_|n_)(local_|routed_)?experts|moe_num_experts|num_moe_experts", 4),
    (r".*experts_per_tok(en)?|.*top_?k|num_selected_experts|moe_k|moe_top_k|router_top_k", 2),
    (r"n_group|topk_group|num_expert_group|moe_n_group", 1),
    (r"mamba_d_state|state_size|ssm_state_size|d_state", 8),
    (r"mamba_n_heads|n_mamba_heads|mamba_num_heads", 4),
    (r"mamba_n_groups|mamba_ngroups|n_groups|mamba_d_groups", 1),
    (r"chunk_size|mamba_chunk_size", 4),
)
TOKENS = {
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "unk_token_id": 3,
}
_MLA = {"num_key_value_heads": 4}  # latent attention has a key and value per head
_ALTERNATE = ["linear_attention", "full_attention"] * 2
_KINDS = ["sliding_attention", "full_attention"]
SPECIAL: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        [
            "axk1",
            "axk2",
            "deepseek_v2",
            "deepseek_v3",
            "deepseek_v32",
            "dots3_note",
            "dots3_note_text",
            "glm4_moe_lite",
            "glm_moe_dsa",
            "longcat_flash",
            "minicpm3",
            "youtu",
        ],
        _MLA,
    ),
    "bailing_hybrid": {"layer_types": _ALTERNATE, **_MLA},
    "bamba": {"attn_layer_indices": [1, 3]},
    "codegen": {"rotary_dim": 4},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "rope_parameters": {kind: {"rope_type": "default", "rope_theta": 1e4} for kind in _KINDS},
    },
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 16, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": 32},
    },
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "gemma3n_text": {"num_kv_shared_layers": 2},
    "gemma4_text": {"num_kv_shared_layers": 2},
    "gemma4_unified_text": {"num_kv_shared_layers": 2},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "gptj": {"rotary_dim": 4},
    "granitemoehybrid": {"layer_types": _ALTERNATE},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": {"layer_types": _ALTERNATE, **_MLA},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "longcat_flash": {"qk_head_dim": None, "head_dim": 4, **_MLA},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "musicgen": {"num_codebooks": 1},
    "musicgen_melody": {"num_codebooks": 1},
    "qwen4_exp": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_budget": 8,
        "indexer_compress_ratio": 4,
    },
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_budget": 8,
        "indexer_compress_ratio": 4,
    },
    "reformer": {
        "is_decoder": True,
        "attn_layers": ["local", "local"],
        "axial_pos_shape": [8, 8],
        "axial_pos_embds_dim": [16, 16],
        "local_attn_chunk_length": 4,
        "pad_token_id": 0,
    },
    "xlstm": {"hidden_size": 128, "embedding_dim": None},
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "num_key_value_heads": 4,
        "attention_head_dim": 16,
        "attention_hidden_size": 64,
    },
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid"] * 2, "num_key_value_heads": 4},
    "zaya": {"num_experts_per_tok": 1},
}


def architectures() -> dict[str, str]:
    """Model type to class name, of every causal language model that ``transformers`` has."""
    return dict(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def tiny_config(model_type: str, **overrides: Any) -> PreTrainedConfig:
    """The family's configuration with small sizes."""
    config_class: Any = _model_class(model_type).config_class or CONFIG_MAPPING[model_type]
    return config_class(**{**_shrunk(config_class, model_type), **overrides})


def tiny_model(model_type: str, *, seed: int = 0, **overrides: Any) -> PreTrainedModel:
    """A model of the family with random weights on the CPU, in float32."""
    config = tiny_config(model_type, **overrides)
    model_class = _model_class(model_type)
    torch.manual_seed(seed)
    model = model_class(config).eval()
    randomize(model, seed)
    return model


def randomize(model: nn.Module, seed: int = 0) -> None:
    """Draw every parameter: matrices so that signals keep their size, vectors near 1 or 0 as before."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.is_floating_point():
                continue
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() >= 2:
                parameter.copy_(noise / parameter.shape[-1] ** 0.5)
            else:
                parameter.copy_((parameter if parameter.isfinite().all() else 0) + 0.1 * noise)


def _model_class(model_type: str) -> type[PreTrainedModel]:
    name = architectures()[model_type]
    module = importlib.import_module("transformers")
    found: type[PreTrainedModel] = getattr(module, name)
    return found


def _shrunk(config_class: type[PreTrainedConfig], model_type: str) -> dict[str, Any]:
    fields = _defaults(config_class)
    small = {name: size for name, default in fields.items() if (size := _size(name, default)) is not None}
    small |= {name: token for name, token in TOKENS.items() if name in fields}
    for name, (sub_class, given) in _parts(config_class).items():
        small[name] = {**_shrunk(sub_class, sub_class.model_type), **given}
    small |= {"is_decoder": True} if "is_decoder" in fields else {}
    return {**_mixed_layers(config_class, small), **small, **SPECIAL.get(model_type, {})}


def _parts(config_class: type[PreTrainedConfig]) -> dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]]:
    """Configurations inside a configuration: their classes, and what tells which one it is."""
    found: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {}
    for name, part in (getattr(config_class, "sub_configs_defaults", None) or {}).items():
        given, model_type = {}, getattr(part, "model_type", None)
        if not inspect.isclass(part):
            given = {"model_type": model_type} if model_type else {}
            part = CONFIG_MAPPING[model_type] if model_type else part.config_class
        if issubclass(part, PreTrainedConfig):
            found[name] = part, given
    return found


def _mixed_layers(config_class: type[PreTrainedConfig], given: Mapping[str, Any]) -> dict[str, Any]:
    """Few layers, but of every kind that the family's default configuration has."""
    default = (
        getattr(config_class(), "layer_types", None) if "layer_types" in _defaults(config_class) else None
    )
    kinds = sorted(set(default or ()), key=lambda kind: (kind == "full_attention", kind))
    if len(kinds) < 2:
        return {}
    n_layers = next((n for name, n in given.items() if re.fullmatch(SIZES[1][0], name)), len(kinds))
    return {"layer_types": [kinds[i % len(kinds)] for i in range(n_layers)]}


def _defaults(config_class: type[PreTrainedConfig]) -> dict[str, Any]:
    if dataclasses.is_dataclass(config_class):
        return {f.name: f.default for f in dataclasses.fields(config_class)}
    parameters = inspect.signature(config_class.__init__).parameters.values()
    return {p.name: p.default for p in parameters}


def _size(name: str, default: Any) -> Any:
    if isinstance(default, (bool, str, list, dict)):
        return None
    for pattern, size in SIZES:
        if re.fullmatch(pattern, name):
            return size
    return None
