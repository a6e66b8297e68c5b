"""A model as numbers, and what was measured of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench.errors import InputError, ProfileError
from workbench.files import write_text
from workbench.profiles.reading import read
from workbench.profiles.times import ModelTimes, WidthTable

__all__ = ["MODEL_PROFILE_VERSION", "ModelProfile"]

MODEL_PROFILE_VERSION = 1
_PER_BLOCK = (
    "block_params",
    "block_active_params",
    "block_quantizable",
    "kv_elements",
    "attention_width",
    "window",
)


@dataclass(frozen=True)
class ModelProfile:
    """A model as numbers: enough to predict its cost without its weights.

    Tuples have one entry per block. Parameters count elements, not bytes.
    """

    name: str
    architecture: str  # e.g. "LlamaForCausalLM"
    n_blocks: int
    hidden: int
    vocab: int
    max_positions: int
    boundary_elements: tuple[int, ...]  # per token and split point 0…n: what crosses there
    block_params: tuple[int, ...]  # all of a block's parameters: what has to be held
    block_active_params: tuple[int, ...]  # those that one token uses (fewer in a mixture of experts)
    block_quantizable: tuple[int, ...]  # those in linear layers, which 8 and 4 bits pack
    kv_elements: tuple[int, ...]  # per block and token of context
    attention_width: tuple[int, ...]  # query heads x head size, per block: attention flops grow with it
    window: tuple[int | None, ...]  # sliding attention window per block, None for full
    embedding_params: int
    head_params: int  # 0 extra where tied, see tied
    tied: bool  # head and embedding share one tensor; a side that owns one of them holds it once
    config_key: str = ""  # hash of the configuration that this was read from
    activations: tuple[tuple[int, int], ...] = ()
    """Per block, numbers alive at its peak besides the cache: per token, and per pair of tokens (masks, and
    scores of attention that is not fused); empty where nobody has counted."""
    times: tuple[ModelTimes, ...] = ()  # measured, each on the device that it names

    def __post_init__(self) -> None:
        wrong = [k for k in _PER_BLOCK if len(getattr(self, k)) != self.n_blocks]
        wrong += ["activations"] if len(self.activations) not in (0, self.n_blocks) else []
        if wrong or len(self.boundary_elements) != self.n_blocks + 1:
            raise ProfileError(
                f"model {self.name!r}: {wrong or 'boundary_elements'} do not fit {self.n_blocks} blocks"
            )
        _check_sizes(self)
        for times in self.times:
            _check_times(self, times)

    @property
    def params(self) -> int:
        """All parameters, a tied tensor once."""
        return sum(self.block_params) + self.embedding_params + (0 if self.tied else self.head_params)

    def kind(self, block: int) -> tuple[object, ...]:
        """What two blocks have in common that cost the same."""
        return self._kinds[block]

    @cached_property
    def _kinds(self) -> tuple[tuple[object, ...], ...]:
        columns = [getattr(self, column) for column in (*_PER_BLOCK, "activations")]
        return tuple(zip(*(column for column in columns if column), strict=True))

    def times_on(self, device: str, bits: int) -> WidthTable | None:
        """What was measured on a device with weights of ``bits``; None where nothing was."""
        tables = (times.widths.get(bits) for times in self.times if times.device == device)
        return next((table for table in tables if table is not None), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        times = [measured.to_dict() for measured in self.times]
        return {"version": MODEL_PROFILE_VERSION, **asdict(replace(self, times=())), "times": times}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelProfile:
        """Read what ``to_dict`` gave.

        Raises:
            ProfileError: a field is missing, unknown or out of range, the version is another, or times are
                another model's.
        """
        if not isinstance(data, Mapping):
            raise ProfileError(f"a model profile is a JSON object, not {type(data).__name__}")
        rest = {key: value for key, value in data.items() if key != "version"}
        if data.get("version") != MODEL_PROFILE_VERSION:
            raise ProfileError(
                f"model profile {data.get('name', '?')!r} is of version {data.get('version')}, and only "
                f"{MODEL_PROFILE_VERSION} is known: let `workbench model profile --out FILE` write it again"
            )
        return read(cls, rest, _READERS)

    def save(self, path: Path | str) -> None:
        """Write the profile as JSON, whole or not at all."""
        write_text(Path(path), json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path | str) -> ModelProfile:
        """Read what ``save`` wrote.

        Raises:
            ProfileError: the file cannot be read, or is no model profile.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else f"no JSON: {error}"
            raise ProfileError(
                f"{path} cannot be read as a model profile ({reason}): let `workbench model profile --out "
                "FILE` write one"
            ) from error
        try:
            return cls.from_dict(data)
        except InputError as error:
            raise ProfileError(f"{path}: {error}") from error


def _check_sizes(model: ModelProfile) -> None:
    for name in ("n_blocks", "hidden", "vocab", "max_positions"):
        if not getattr(model, name) > 0:
            raise ProfileError(f"model {model.name!r}: {name} must be above 0, got {getattr(model, name)}")
    counted = {name: getattr(model, name) for name in (*_PER_BLOCK, "boundary_elements")}
    outside = {
        "embedding_params": (model.embedding_params,),
        "head_params": (model.head_params,),
        "activations": tuple(part for block in model.activations for part in block),
    }
    for name, values in {**counted, **outside}.items():
        if wrong := [value for value in values if value is not None and value < 0]:
            raise ProfileError(f"model {model.name!r}: {name} must not be negative, got {wrong[0]}")


def _check_times(model: ModelProfile, times: ModelTimes) -> None:
    if times.config_key != model.config_key:
        raise ProfileError(
            f"model {model.name!r} has configuration {model.config_key!r}, its times on {times.device!r} are "
            f"of {times.config_key!r}: they belong to another model"
        )
    if times.n_blocks != model.n_blocks:
        raise ProfileError(
            f"model {model.name!r} has {model.n_blocks} blocks, its times on {times.device!r} have "
            f"{times.n_blocks}"
        )


_READERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys((*_PER_BLOCK, "boundary_elements"), tuple),
    "activations": lambda blocks: tuple((token, pair) for token, pair in blocks),
    "times": lambda times: tuple(ModelTimes.from_dict(measured) for measured in times),
}
