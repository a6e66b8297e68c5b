"""A model's profile from its configuration alone: no weights are looked for, whatever the model's size.

Modules are built on the meta device, which for 80 blocks takes seconds, and PyTorch itself takes seconds to
load. So profiles are kept on disk by configuration, and one that is kept is read without PyTorch.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from workbench.cache import content_key, read_cached, write_cached
from workbench.errors import InputError, ModelNotFoundError, ProfileError, UnsupportedArchitectureError
from workbench.models.early_exits import left_after, n_blocks_of, split_name
from workbench.profiles import DATA, ModelProfile

__all__ = ["architectures", "read_architecture"]

_ROOM = "architectures"
_COUNTS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
)
_OF_A_COPY = {
    "_name_or_path",
    "auto_map",
    "torch_dtype",
    "transformers_version",
    "rope_theta",
    "rope_scaling",
    "quantization_config",
}
"""Keys that configurations have beside the fields of their class."""


def architectures() -> dict[str, dict[str, Any]]:
    """The configurations that are shipped without weights, by name."""
    return {path.stem: _read(path) for path in sorted((DATA / "architectures").glob("*.json"))}


def read_architecture(
    source: str | os.PathLike[str] | Mapping[str, Any], *, local_files_only: bool = False
) -> ModelProfile:
    """A model as numbers, from its configuration alone.

    Args:
        source: a shipped architecture or model by name, a folder with a ``config.json``, that file itself,
            the file of a saved ``ModelProfile``, a configuration as a mapping, or a hub id, of which only
            small files are fetched. "@4" behind a name is the model left early, after block 4.
        local_files_only: never ask the network.

    Raises:
        ModelNotFoundError: it is none of these; suggests the nearest name.
        PlanError: it was not trained to be left there; names the depths there are.
        UnsupportedArchitectureError: the installed transformers cannot build it, or it cannot be split.
        InputError: a figure of the configuration is negative, zero or no number, or a key of a mapping is
            unknown.
        ProfileError: the file of a profile is damaged, or contradicts itself.
    """
    if isinstance(source, Mapping):
        return _profile(dict(source), str(source.get("model_type", "custom")), strict=True)
    name, depth = split_name(os.fspath(source))
    path = _path(name)
    if path is None:
        return _from_hub(name, depth, local_files_only)
    data = _read(path)
    if depth is not None or "model_type" in data or path.name == "config.json":
        return _left_early(data, name, depth)
    return ModelProfile.load(path)


def _left_early(config: dict[str, Any], name: str, depth: int | None) -> ModelProfile:
    """The profile of a model, or of its first blocks where a depth is given that is not its own."""
    if depth is None:
        return _profile(config, name)
    cut = left_after(config, depth, name)
    return _profile(cut, name if depth == n_blocks_of(config) else f"{name}@{depth}")


def _path(name: str) -> Path | None:
    """The file that a name means; None where it can only be on the hub."""
    shipped = (DATA / "architectures" / f"{name}.json", DATA / "models" / name / "config.json")
    if found := next((p for p in shipped if "/" not in name and p.is_file()), None):
        return found
    path = Path(name).expanduser()
    if path.is_dir() and (path / "config.json").is_file():
        return path / "config.json"
    if path.is_file():
        return path
    if path.is_dir() or path.suffix == ".json" or name.startswith((".", "/", "~")):
        lacking = "the folder is there, but it has no config.json"
        raise _not_found(name, lacking if path.is_dir() else "there is no such file or folder")
    return None


def _from_hub(name: str, depth: int | None, local_files_only: bool) -> ModelProfile:
    if "/" not in name and _near(name):
        raise _not_found(name, "no architecture or model of that name is shipped")
    from workbench.models.load import load_model  # which loads torch

    try:
        model = load_model(name, local_files_only=local_files_only)
    except ModelNotFoundError as error:
        why = "no architecture or model of that name is shipped, and the hub has it not or cannot be reached"
        raise _not_found(name, why) from error
    return _left_early(_read(model.source / "config.json"), name, depth)


def _not_found(name: str, why: str) -> ModelNotFoundError:
    near = _near(name)
    return ModelNotFoundError(
        f"model {name!r} cannot be planned: {why}. {f'Did you mean {near!r}? ' if near else ''}Shipped are "
        f"{', '.join(_shipped())}; anything else is a folder with config.json, a model profile in JSON, or a "
        "hub id"
    )


def _near(name: str) -> str | None:
    return next(iter(difflib.get_close_matches(name, _shipped(), n=1, cutoff=0.7)), None)


def _shipped() -> list[str]:
    models = [path.parent.name for path in sorted((DATA / "models").glob("*/config.json"))]
    return [*sorted(path.stem for path in (DATA / "architectures").glob("*.json")), *models]


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a model's configuration or profile: {error}") from error
    if not isinstance(data, dict):
        kind = type(data).__name__
        raise InputError(f"{path} holds no configuration or profile: a JSON object is needed, not {kind}")
    return data


def _profile(config: dict[str, Any], name: str, *, strict: bool = False) -> ModelProfile:
    """Kept, or read now and kept."""
    key = content_key([_method(), config, strict])
    if (kept := read_cached(_ROOM, key)) is not None:
        try:
            return replace(ModelProfile.from_dict(kept), name=name)
        except ProfileError:
            pass  # a damaged file is written again
    _check_figures(config)
    profile = _built(config, name, strict)
    write_cached(_ROOM, key, profile.to_dict())
    return profile


@cache
def _method() -> str:
    """The hash of all code that reads a configuration: other code, other results."""
    files = [
        *sorted(Path(__file__).parent.glob("*.py")),
        Path(__file__).parents[1] / "profiles" / "models.py",
    ]
    return content_key(
        [*(f.read_text(encoding="utf-8") for f in files), version("torch"), version("transformers")]
    )


def _check_figures(config: Mapping[str, Any]) -> None:
    text = config.get("text_config") or {}
    for key, value in [*config.items(), *(text.items() if isinstance(text, Mapping) else ())]:
        is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if key in _COUNTS and value is not None and not is_count:
            raise InputError(f"a model's {key} is a whole number above 0, got {value!r}")


def _built(config: dict[str, Any], name: str, strict: bool) -> ModelProfile:
    """Built on the meta device and counted."""
    import torch  # these load for seconds: only what was never read needs them
    from huggingface_hub.errors import StrictDataclassError
    from transformers import CONFIG_MAPPING

    from workbench.models.load import build_empty, check_config
    from workbench.models.profile import read_profile

    kind = _kind(config, CONFIG_MAPPING.keys())
    if strict:
        _check_keys(config, CONFIG_MAPPING[kind])
    try:
        known = CONFIG_MAPPING[kind].from_dict(dict(config))
        check_config(known, name)
        return read_profile(build_empty(known, torch.bfloat16), name)
    except (StrictDataclassError, AttributeError, RuntimeError, TypeError, ArithmeticError) as error:
        reason = " ".join(str(error).split())
        raise UnsupportedArchitectureError(
            f"the figures of model {name!r} contradict each other or its kind {kind!r}: {reason}"
        ) from error


def _kind(config: Mapping[str, Any], known: Iterable[str]) -> str:
    kind = config.get("model_type")
    if not isinstance(kind, str):
        raise InputError("a model's configuration says its model_type, e.g. 'llama': this one does not")
    kinds = sorted(known)
    if kind not in kinds:
        near = difflib.get_close_matches(kind, kinds, n=3, cutoff=0.5)
        hint = (
            f"did you mean {' or '.join(map(repr, near))}?"
            if near
            else "give one that it knows, e.g. 'llama'"
        )
        raise UnsupportedArchitectureError(
            f"transformers {version('transformers')} knows no architecture {kind!r}: {hint}"
        )
    return kind


def _check_keys(config: Mapping[str, Any], kind: Any) -> None:
    """A misspelt key would silently leave its figure at the architecture's default."""
    known = {*kind.__dataclass_fields__, *kind.attribute_map, *_OF_A_COPY, "model_type"}
    for key in config:
        if key not in known:
            near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"leave it out, or see {kind.__name__}"
            raise InputError(
                f"{key!r} means nothing in the configuration of a {config['model_type']}: {hint}"
            )
