"""Adapters of low rank (LoRA) in peft's format: found, read and checked against the model they were made for.

A linear layer W [N, K] becomes ``W + scale · B A`` with A [r, K] and B [N, r] (Hu et al. 2021,
arXiv:2106.09685). The scale is alpha / r, or alpha / sqrt(r) where the configuration says ``use_rslora``
(Kalajdzievski 2023, arXiv:2312.03732). A folder holds ``adapter_config.json`` and
``adapter_model.safetensors``: https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers.pytorch_utils import Conv1D

from workbench.errors import AdapterError, CheckpointError, UnknownNameError
from workbench.models.anatomy import Anatomy, find_anatomy
from workbench.models.checkpoint import StoredTensor, read_header
from workbench.models.load import build_empty
from workbench.profiles import DATA

if TYPE_CHECKING:
    from workbench.models.load import Model

__all__ = [
    "BASE_WEIGHTS",
    "CONFIG",
    "WEIGHTS",
    "Adapter",
    "Piece",
    "adapter_names",
    "base_name",
    "base_weights",
    "load_adapter",
]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
BASE_WEIGHTS = "base_weights"
"""Metadata of the weights' file: what ``base_weights`` gives for the model that it was trained on."""
_TENSOR = re.compile(r"base_model\.model\.(?P<path>.+)\.lora_(?P<factor>[AB])\.weight")
_HUB_FOLDER = re.compile(r"models--(?P<owner>.+)--(?P<name>.+?)")
_UNSUPPORTED = {
    "use_dora": "DoRA, which also scales the base's own weights",
    "modules_to_save": "whole layers beside the low-rank ones",
    "lora_bias": "biases",
    "rank_pattern": "a rank of its own per layer",
    "alpha_pattern": "an alpha of its own per layer",
    "layer_replication": "blocks that the base does not have",
    "trainable_token_indices": "token embeddings",
    "target_parameters": "parameters that are no linear layers",
    "use_qalora": "QA-LoRA, which pools its inputs",
    "alora_invocation_tokens": "an activation in the midst of a prompt",
}


@dataclass(frozen=True)
class Piece:
    """What an adapter adds to one linear layer."""

    path: str  # of the layer in the model, e.g. "model.layers.0.self_attn.q_proj"
    block: int  # that the layer belongs to
    down: StoredTensor = field(repr=False)  # A [r, K]
    up: StoredTensor = field(repr=False)  # B [N, r]

    @property
    def elements(self) -> int:
        return math.prod(self.down.shape) + math.prod(self.up.shape)

    @property
    def n_bytes(self) -> int:
        """As they are stored."""
        return self.down.n_bytes + self.up.n_bytes


@dataclass(frozen=True)
class Adapter:
    """An adapter that fits its model. Its tensors are read where it is attached, ``StageModel.attach``."""

    name: str  # as the user gave it: a shipped name or a folder
    folder: Path
    base: str  # the model that it was trained for, e.g. "tiny@4"
    n_blocks: int  # of that model
    rank: int
    scale: float  # of B A
    pieces: tuple[Piece, ...] = field(repr=False)

    @property
    def n_bytes(self) -> int:
        """Bytes of all its tensors as they are stored: what has to be sent, and read."""
        return sum(piece.n_bytes for piece in self.pieces)

    @property
    def block_bytes(self) -> tuple[int, ...]:
        """The same, by block of the model."""
        return tuple(sum(p.n_bytes for p in self.pieces if p.block == b) for b in range(self.n_blocks))

    @property
    def block_elements(self) -> tuple[int, ...]:
        """Numbers by block: in memory each takes 2 bytes, or 4 in a stage of 32 bits."""
        return tuple(sum(p.elements for p in self.pieces if p.block == b) for b in range(self.n_blocks))

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits that equal adapters, and no others, share, whatever they are called.

        Raises:
            AdapterError: a file is gone.
        """
        digest = hashlib.sha256(f"{self.scale!r}".encode())
        try:
            for piece in self.pieces:
                for tensor in (piece.down, piece.up):
                    digest.update(f"{tensor.name} {tensor.dtype} {tensor.shape}".encode())
                    for part in tensor.sample():
                        digest.update(part)
        except OSError as error:
            raise AdapterError(f"adapter {self.name!r} cannot be read: {error}") from error
        return digest.hexdigest()[:32]

    def of_blocks(self, start: int, stop: int) -> tuple[Piece, ...]:
        """The pieces of blocks ``[start, stop)``."""
        return tuple(piece for piece in self.pieces if start <= piece.block < stop)


def adapter_names() -> list[str]:
    """The adapters that come with the workbench."""
    return sorted(path.parent.name for path in (DATA / "adapters").glob(f"*/{CONFIG}"))


def load_adapter(name: str | os.PathLike[str], model: Model) -> Adapter:
    """An adapter by shipped name or folder, for the model that it was trained for and no other.

    Cheap: reads headers and no tensor.

    Raises:
        UnknownNameError: no adapter of that name is shipped; suggests the nearest.
        AdapterError: it is missing, damaged, of a kind that is not supported, or of another base.
    """
    text = os.fspath(name)
    folder = _find(name, text)
    config = _read_config(folder, text)
    _check_kind(config, text)
    base = str(config.get("base_model_name_or_path"))
    _check_base(base, _metadata(folder, text), model, text)
    pieces = _pieces(folder, config, model, text)
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return Adapter(text, folder, base, model.n_blocks, rank, scale, pieces)


def base_name(model: Model) -> str:
    """What an adapter calls its base: a hub id, or the name of the model's folder; "@4" where left early."""
    hub = _HUB_FOLDER.fullmatch(model.source.parent.parent.name)
    found = model.files.repo or (f"{hub['owner']}/{hub['name']}" if hub else model.source.name)
    return found if model.depth is None else f"{found}@{model.depth}"


def base_weights(model: Model) -> str:
    """32 hex digits that tell a model's weights, and how many of its blocks are run, from any other's.

    Raises:
        CheckpointError: the weights are missing or damaged.
    """
    return model.checkpoint.fingerprint([f"{model.n_blocks} blocks"])


# ---- finding and reading


def _find(name: str | os.PathLike[str], text: str) -> Path:
    if isinstance(name, str) and text in adapter_names():
        return DATA / "adapters" / text
    folder = Path(text).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if isinstance(name, str) and not {"/", "\\"} & set(text) and not text.startswith(("~", ".")):
        raise UnknownNameError("adapter", text, adapter_names())
    what = "is a file: give the folder that holds it" if folder.exists() else "is missing"
    raise AdapterError(f"adapter {text!r} {what}. An adapter is a folder with {CONFIG} and {WEIGHTS}")


def _read_config(folder: Path, name: str) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AdapterError(f"adapter {name!r} has no {CONFIG} in {folder}: copy it there again") from error
    except (OSError, ValueError) as error:
        raise AdapterError(f"adapter {name!r} is damaged: {CONFIG} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise AdapterError(f"adapter {name!r} is damaged: {CONFIG} holds no JSON object")
    return config


def _stored(folder: Path, name: str) -> dict[str, StoredTensor]:
    try:
        return read_header(folder / WEIGHTS)
    except FileNotFoundError as error:
        pickled = " Pickles are not read: save it with safetensors" if list(folder.glob("*.bin")) else ""
        raise AdapterError(f"adapter {name!r} has no {WEIGHTS} in {folder}.{pickled}") from error
    except (CheckpointError, OSError) as error:
        raise AdapterError(f"adapter {name!r} is damaged: {error}") from error


def _metadata(folder: Path, name: str) -> Mapping[str, str]:
    _stored(folder, name)  # which says what is wrong with the file
    try:
        with safe_open(folder / WEIGHTS, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise AdapterError(f"adapter {name!r} is damaged: {folder / WEIGHTS}: {error}") from error


# ---- what it is


def _check_kind(config: Mapping[str, Any], name: str) -> None:
    if config.get("peft_type") != "LORA":
        raise AdapterError(
            f"adapter {name!r} is of kind {config.get('peft_type')!r}: only 'LORA' adapters can be attached"
        )
    if config.get("bias", "none") != "none":
        raise AdapterError(f"adapter {name!r} {_has('bias', config['bias'])}: it changes the base's biases")
    for key, what in _UNSUPPORTED.items():
        if config.get(key):
            raise AdapterError(
                f"adapter {name!r} {_has(key, config[key])}: {what}. Only plain LoRA on linear layers of "
                "blocks can be attached: train it so, or merge it into its base"
            )
    for key in ("r", "lora_alpha"):
        value = config.get(key)
        if not _is_positive(value) or (key == "r" and not isinstance(value, int)):
            raise AdapterError(f"adapter {name!r} is damaged: {CONFIG} has {key} = {value!r}")


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _has(key: str, value: object) -> str:
    return f"has {key} = {json.dumps(value, default=str)[:80]}"


def _check_base(base: str, metadata: Mapping[str, str], model: Model, name: str) -> None:
    recorded = metadata.get(BASE_WEIGHTS)
    if recorded is not None and recorded == base_weights(model):
        return
    if base not in (model.name, base_name(model)):
        raise AdapterError(
            f"adapter {name!r} was trained for {base!r} and fits no other model, this one is "
            f"{base_name(model)!r}: load {base!r}, or choose an adapter of this model. If the two are one, "
            f"write the name into base_model_name_or_path of its {CONFIG}"
        )
    if recorded is not None:
        raise AdapterError(
            f"adapter {name!r} was trained for {base!r} with other weights than {model.source} holds: get "
            "adapter and model of one version, or train it again"
        )


def _pieces(folder: Path, config: Mapping[str, Any], model: Model, name: str) -> tuple[Piece, ...]:
    empty = build_empty(model.config, torch.bfloat16)
    anatomy = find_anatomy(empty)
    found = [
        _piece(path, factors, empty, anatomy, model, name)
        for path, factors in _by_layer(_stored(folder, name), name).items()
    ]
    if not found:
        raise AdapterError(f"adapter {name!r} is damaged: {folder / WEIGHTS} holds no tensor")
    for piece in found:
        _check_promise(piece, config, name)
    return tuple(sorted(found, key=lambda piece: (piece.block, piece.path)))


def _by_layer(stored: Mapping[str, StoredTensor], name: str) -> dict[str, dict[str, StoredTensor]]:
    """Path of a layer → its two factors."""
    layers: dict[str, dict[str, StoredTensor]] = {}
    for tensor_name, tensor in stored.items():
        match = _TENSOR.fullmatch(tensor_name)
        if match is None:
            raise AdapterError(
                f"adapter {name!r} holds {tensor_name!r}, which is no factor of a linear layer: read are "
                "'base_model.model.<layer>.lora_A.weight' and 'lora_B.weight'; embeddings, biases and whole "
                "layers are not supported"
            )
        layers.setdefault(match["path"], {})[match["factor"]] = tensor
    for path, factors in layers.items():
        if len(factors) < 2:
            lacking = next(iter({"A", "B"} - set(factors)))
            raise AdapterError(f"adapter {name!r} is damaged: {path} has no lora_{lacking}")
    return layers


def _piece(
    path: str,
    factors: Mapping[str, StoredTensor],
    empty: nn.Module,
    anatomy: Anatomy,
    model: Model,
    name: str,
) -> Piece:
    block = anatomy.block_of(path)
    layer = _submodule(empty, path)
    where = f"adapter {name!r} is for {path}, which"
    if layer is None:
        raise AdapterError(f"{where} {model.name!r} does not have: it was made for another model")
    if not isinstance(layer, nn.Linear | Conv1D):
        raise AdapterError(f"{where} is of type {type(layer).__name__} and no linear layer: not supported")
    if block is None:
        raise AdapterError(f"{where} is outside of the blocks: only layers of blocks can be adapted")
    n_outputs, n_inputs = _shape(layer)
    down, up = factors["A"], factors["B"]
    if len(down.shape) != 2 or down.shape[1] != n_inputs or up.shape != (n_outputs, down.shape[0]):
        raise AdapterError(
            f"{where} is [{n_outputs}, {n_inputs}] in {model.name!r}: lora_A {list(down.shape)} and lora_B "
            f"{list(up.shape)} do not fit; it was made for another model"
        )
    return Piece(path, block, down, up)


def _submodule(module: nn.Module, path: str) -> nn.Module | None:
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None


def _shape(layer: nn.Module) -> tuple[int, int]:
    """Outputs and inputs."""
    first, second = layer.weight.shape  # type: ignore[misc]
    return (second, first) if isinstance(layer, Conv1D) else (first, second)


def _check_promise(piece: Piece, config: Mapping[str, Any], name: str) -> None:
    """The configuration, too, says that the piece is there: peft would leave it out otherwise."""
    if piece.down.shape[0] != config["r"]:
        raise AdapterError(
            f"adapter {name!r} is damaged: {CONFIG} has r = {config['r']}, but {piece.path} has rank "
            f"{piece.down.shape[0]}"
        )
    if not any(_names(target, piece.path) for target in _targets(config)):
        raise AdapterError(
            f"adapter {name!r} is damaged: it holds {piece.path}, which target_modules of {CONFIG} do not "
            "name"
        )
    blocks = config.get("layers_to_transform")
    if blocks is not None and piece.block not in (blocks if isinstance(blocks, list) else [blocks]):
        raise AdapterError(
            f"adapter {name!r} is damaged: it holds {piece.path}, but layers_to_transform is {blocks}"
        )


def _targets(config: Mapping[str, Any]) -> Iterator[str | re.Pattern[str]]:
    """Names that end a path, or one pattern for all of it."""
    targets = config.get("target_modules") or []
    if isinstance(targets, str):
        yield re.compile(".*" if targets == "all-linear" else targets)
    else:
        yield from map(str, targets)


def _names(target: str | re.Pattern[str], path: str) -> bool:
    if isinstance(target, re.Pattern):
        return target.fullmatch(path) is not None
    return path == target or path.endswith(f".{target}")
