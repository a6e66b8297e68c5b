"""Random adapters in peft's format, written file by file, and their base with the weights merged by hand."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

RANK, ALPHA = 3, 6.0
PREFIX = "base_model.model."


def linear_layers(model: PreTrainedModel, blocks: str) -> dict[str, nn.Module]:
    """The linear layers of the blocks, by path."""
    return {
        path: layer
        for path, layer in model.named_modules()
        if path.startswith(blocks + ".") and isinstance(layer, nn.Linear | Conv1D)
    }


def sizes(layer: nn.Module) -> tuple[int, int]:
    """Outputs and inputs."""
    first, second = layer.weight.shape
    return (second, first) if isinstance(layer, Conv1D) else (first, second)


def write_adapter(
    folder: Path, model: PreTrainedModel, base: str, paths: Sequence[str], seed: int = 0, **config: Any
) -> Path:
    """Random factors of the layers at ``paths``; ``config`` replaces what adapter_config.json says."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for path in paths:
        n_outputs, n_inputs = sizes(model.get_submodule(path))
        for letter, shape in (("A", (RANK, n_inputs)), ("B", (n_outputs, RANK))):
            noise = torch.randn(shape, generator=generator) / shape[1] ** 0.5
            tensors[f"{PREFIX}{path}.lora_{letter}.weight"] = noise
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    said = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": RANK,
        "lora_alpha": ALPHA,
        "lora_dropout": 0.05,
        "target_modules": sorted({path.rpartition(".")[2] for path in paths}),
        "bias": "none",
        "modules_to_save": None,
        **config,
    }
    (folder / "adapter_config.json").write_text(json.dumps(said))
    return folder


def merged(model: PreTrainedModel, folder: Path, scale: float = ALPHA / RANK) -> PreTrainedModel:
    """What the adapter is meant to be: ``W + scale · B A`` in a copy of the base."""
    whole, tensors = copy.deepcopy(model), load_file(folder / "adapter_model.safetensors")
    with torch.no_grad():
        for name, down in tensors.items():
            path, _, rest = name.removeprefix(PREFIX).partition(".lora_")
            if rest == "A.weight":
                product = scale * tensors[name.replace("lora_A", "lora_B")] @ down
                layer = whole.get_submodule(path)
                layer.weight += product.T if isinstance(layer, Conv1D) else product
    return whole
