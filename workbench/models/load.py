"""Models by name: a cheap handle first, and real tensors for the stages that are asked for."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
import transformers
from torch import nn
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.initialization import meta_device_safe_creation_ops
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
)
from transformers.utils import logging as transformers_logging

from workbench.errors import CheckpointError, TokenizerError, UnsupportedArchitectureError
from workbench.models.checkpoint import Checkpoint, open_checkpoint
from workbench.models.early_exits import exits_of, left_after, n_blocks_of, split_name
from workbench.models.fill import OnModule, WeightPlan, fill
from workbench.models.profile import config_key, read_profile
from workbench.models.slice import StageModel, share_tied, slice_model
from workbench.models.source import Source, find_source
from workbench.plan import Stage
from workbench.profiles import ModelProfile
from workbench.quantization.weights import freed_memory_returns, is_packable, pack_linear

__all__ = ["Model", "build_empty", "check_config", "load_model"]


@dataclass(frozen=True)
class Model:
    """A model that can be run: its configuration, and where the rest is. Holds no weights.

    Safe to share between threads; everything but the name is read when first asked for.
    """

    name: str
    files: Source
    config: PreTrainedConfig = field(repr=False, compare=False)
    depth: int | None = None  # blocks after which it is left early; None for all of it

    @property
    def source(self) -> Path:
        """The folder with the model's files (of a hub model: the part that was fetched)."""
        return self.files.folder

    @property
    def reference(self) -> str:
        """What ``load_model`` finds the same model by, in any process: its folder, "@4" where left early."""
        return str(self.source) if self.depth is None else f"{self.source}@{self.depth}"

    @property
    def exits(self) -> tuple[int, ...]:
        """After how many blocks it was trained to be left, ascending; empty where it was not."""
        return exits_of(self.config.to_dict())

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The stored tensors, not read yet. Raises CheckpointError where there are none."""
        return open_checkpoint(self.files)

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits that equal models, and no others, share: configuration and weights.

        Raises:
            CheckpointError: the weights are missing or damaged.
        """
        return self.checkpoint.fingerprint([config_key(self.config)])

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's own tokenizer.

        Raises:
            TokenizerError: it is missing, damaged or another model's.
        """
        return _read_tokenizer(self.files, self.config)

    @cached_property
    def profile(self) -> ModelProfile:
        """The model as numbers, from its configuration alone.

        Raises:
            UnsupportedArchitectureError: its blocks cannot be found.
        """
        return read_profile(build_empty(self.config, torch.bfloat16), self.name)

    @property
    def n_blocks(self) -> int:
        return self.profile.n_blocks

    def load_stage(
        self, stage: Stage, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> StageModel:
        """A stage, ready to run. Reads only the tensors that it owns; memory peaks at their size plus one.

        Args:
            dtype: what it computes in; None takes float32 for a stage of 32 bits, else bfloat16. Weights of
                8 and 4 bits are packed as they come in.

        Raises:
            PlanError: the stage is not one of this model's.
            CheckpointError: the weights are missing, incomplete or damaged.
            UnsupportedArchitectureError: the model cannot be split there truthfully.
        """
        dtype = dtype or (torch.float32 if stage.bits == 32 else torch.bfloat16)
        empty = build_empty(self.config, dtype)
        plan = WeightPlan.of(empty, dtype, self.checkpoint)
        part = slice_model(empty, stage)
        with freed_memory_returns() if min(stage.widths, default=stage.bits) < 16 else nullcontext():
            fill(part.module, plan, self.checkpoint, device, _packer(part))
        return part

    def load_stages(
        self, stages: Iterable[Stage], *, device: torch.device | str = "cpu"
    ) -> dict[Stage, StageModel]:
        """All stages of one place, as ``load_stage`` loads each; what they have in common is there once."""
        parts = {stage: self.load_stage(stage, device=device) for stage in stages}
        share_tied(list(parts.values()))
        return parts

    def load_full(
        self, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> PreTrainedModel:
        """The unsplit model as transformers itself loads it: what every split is compared with.

        Raises:
            CheckpointError: the weights are missing, incomplete or damaged.
        """
        self.checkpoint.check()
        given = {} if self.depth is None else {"config": copy.deepcopy(self.config)}
        with _quiet(warnings=self.depth is None):  # which would list the tensors of later blocks
            model, report = _class_of(self.config).from_pretrained(
                self.source,
                **given,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
        if report["missing_keys"]:
            some = ", ".join(sorted(report["missing_keys"])[:3])
            raise CheckpointError(
                f"{self.source} lacks {len(report['missing_keys'])} tensors, such as {some}"
            )
        full: PreTrainedModel = model.to(device).eval()
        return full


def load_model(
    name: str | os.PathLike[str], *, revision: str | None = None, local_files_only: bool = False
) -> Model:
    """A model by shipped name, folder or Hugging Face id. Code that a model brings along is never run.

    Each of them with "@4" behind it is the model left early, after block 4: its first blocks, then its own
    final norm and head. A folder whose own name ends so is that folder.

    Args:
        revision: branch, tag or commit of a hub model.
        local_files_only: never ask the network.

    Raises:
        ModelNotFoundError: it is none of these; says what was looked for, where, and how to get it.
        PlanError: it was not trained to be left there; names the depths there are.
        UnsupportedArchitectureError: it is no causal language model of the installed transformers, or its
            weights are already quantized.
        CheckpointError: its config.json is damaged.
    """
    base, depth = split_name(os.fspath(name))
    found = base if isinstance(name, str) else Path(base)
    files = find_source(found, revision=revision, local_files_only=local_files_only)
    config = _read_config(files)
    if depth is None:
        return Model(files.name, files, config)
    whole = config.to_dict()
    cut = left_after(whole, depth, files.name)
    if depth == n_blocks_of(whole):
        return Model(files.name, files, config)
    return Model(f"{files.name}@{depth}", files, type(config).from_dict(cut), depth)


def build_empty(config: PreTrainedConfig, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """The architecture on the meta device: every module and shape, no memory.

    Raises:
        UnsupportedArchitectureError: transformers cannot build it here.
    """
    try:
        with torch.device("meta"), meta_device_safe_creation_ops():
            model = _class_of(config)._from_config(copy.deepcopy(config), dtype=dtype)
    except (ImportError, ValueError, NotImplementedError) as error:
        raise UnsupportedArchitectureError(f"{config.model_type} cannot be built here: {error}") from error
    empty: PreTrainedModel = model.eval()
    return empty


def check_config(config: PreTrainedConfig, name: str) -> None:
    """Nothing where a configuration is one that can be planned and run.

    Raises:
        UnsupportedArchitectureError: it is no causal language model, or its weights are already quantized.
    """
    _class_of(config)
    if getattr(config, "quantization_config", None):
        raise UnsupportedArchitectureError(
            f"model {name!r} has weights that are already quantized: choose the original, unquantized "
            "model; a plan says how many bits each stage's weights take"
        )


def _class_of(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The causal language model of a configuration; by its name where only a part of a larger one is kept.

    Raises:
        UnsupportedArchitectureError: it has none.
    """
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        found = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
        return found[0] if isinstance(found, tuple) else found
    names = set(config.architectures or ()) & set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    known: list[type[PreTrainedModel]] = [getattr(transformers, name) for name in names]
    fitting = [c for c in known if c.config_class is type(config)]
    if not fitting:
        raise UnsupportedArchitectureError(
            f"{config.model_type} is no causal language model: choose one that generates text from left "
            "to right"
        )
    return fitting[0]


def _read_config(files: Source) -> PreTrainedConfig:
    path = files.folder / "config.json"
    try:
        config = AutoConfig.from_pretrained(files.folder, trust_remote_code=False, local_files_only=True)
    except OSError as error:
        raise CheckpointError(f"{path} is no configuration: {error}") from error
    except (ValueError, KeyError) as error:
        raise UnsupportedArchitectureError(
            f"model {files.name!r} is of a kind that the installed transformers does not know, and code that "
            f"models bring along is never run: {error}"
        ) from error
    check_config(config, files.name)
    return config


def _packer(part: StageModel) -> OnModule | None:
    """Pack each of the blocks' linear layers as soon as it is read: never are all there unpacked."""
    stage, block_of = part.stage, part.anatomy.block_of
    packed = {block: bits for block, bits in enumerate(stage.widths, stage.start) if bits < 16}
    if not packed:
        return None

    def pack(path: str, layer: nn.Module) -> None:
        block = block_of(path)
        if block in packed and is_packable(layer):
            part.module.set_submodule(path, pack_linear(layer, packed[block]))

    return pack


def _read_tokenizer(files: Source, config: PreTrainedConfig) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            files.folder, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # damaged files fail in many ways, some of them the Rust library's own
        raise TokenizerError(
            f"model {files.name!r} has no usable tokenizer in {files.folder}: {error}. Copy tokenizer.json "
            "and tokenizer_config.json of the same model there"
        ) from error
    known, rows = len(tokenizer), config.get_text_config().vocab_size
    if known > rows or 2 * known < rows:
        raise TokenizerError(
            f"the tokenizer in {files.folder} knows {known:,} tokens where model {files.name!r} has "
            f"{rows:,}: it belongs to another model; copy the files of this model's own tokenizer there"
        )
    return tokenizer


@contextmanager
def _quiet(*, warnings: bool) -> Iterator[None]:
    """No progress bars, and no warnings unless they are wanted."""
    was_on, verbosity = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    if not warnings:
        transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if was_on:
            transformers_logging.enable_progress_bar()
