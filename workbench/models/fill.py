"""From a checkpoint into a model that was built without memory, whole or pruned to a stage.

Checkpoints name tensors as their authors did; transformers renames, fuses and splits them on the way into its
own modules (the experts of a mixture are one tensor here and many there). ``WeightPlan`` reads these rules
from the unsplit architecture, before pruning, and ``fill`` follows them for the tensors that a module has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    WeightConverter,
    WeightRenaming,
    WeightTransform,
    dot_natural_key,
    rename_source_key,
)

from workbench.errors import CheckpointError
from workbench.models.checkpoint import Checkpoint

__all__ = ["WeightPlan", "fill"]

OnModule = Callable[[str, nn.Module], None]
"""Called with a module's dotted path, and the module, once all of its own tensors are real."""


@dataclass
class _Step:
    """One conversion: stored tensors in, one or more of the model's own tensors out."""

    transform: WeightTransform
    stored: list[tuple[str, str]] = field(default_factory=list)  # stored name, the pattern that it matched


@dataclass(frozen=True)
class WeightPlan:
    """Which stored tensors make up each of an architecture's own."""

    steps: Mapping[str, _Step]  # by the (first) own tensor that they make
    tied: Mapping[str, str]  # own tensor → the one that it shares memory with
    float32: re.Pattern[str] | None  # what stays in float32 whatever is asked for
    optional: re.Pattern[str] | None  # what a checkpoint may leave out

    @classmethod
    def of(cls, model: PreTrainedModel, dtype: torch.dtype, stored: Iterable[str]) -> WeightPlan:
        """Read the rules of an unpruned ``model``, which may be on the meta device.

        Args:
            dtype: what the model was built in.
            stored: the names in the checkpoint.
        """
        return cls(
            steps=_steps(model, stored),
            tied=dict(model.all_tied_weights_keys),
            float32=_any_of(p.replace("*", ".*") for p in model._get_dtype_plan(dtype)),
            optional=_any_of(model._keys_to_ignore_on_load_missing or ()),
        )

    def source_of(self, name: str, own: Mapping[str, Tensor]) -> str | None:
        """The step to read ``name`` from; None where it shares another own tensor, or none is stored."""
        if name in self.steps:
            return name
        family = [n for n in self.family(name) if n in self.steps]
        return None if any(n in own for n in family) else next(iter(family), None)

    def family(self, name: str) -> list[str]:
        """The own tensors of the unsplit model that share one memory with ``name``, itself among them."""
        root = self.tied.get(name, name)
        return [root, *(target for target, source in self.tied.items() if source == root)]


def _steps(model: PreTrainedModel, stored: Iterable[str]) -> dict[str, _Step]:
    rules = get_model_conversion_mapping(model)
    renamings = [r for r in rules if isinstance(r, WeightRenaming)]
    converters = [r for r in rules if isinstance(r, WeightConverter)]
    by_pattern = {pattern: c for c in converters for pattern in c.source_patterns}
    own = model.state_dict()
    rename = partial(rename_source_key, base_model_prefix=model.base_model_prefix, meta_state_dict=own)
    steps: dict[str, _Step] = {}
    for name in sorted(stored, key=dot_natural_key):  # rules rely on this order, and stacked experts do
        target, pattern = rename(name, renamings, converters)
        if target not in own and name in own:
            target, pattern = rename(name, [], [])  # already named as the model names it
        rule = WeightRenaming(name, target) if pattern is None else deepcopy(by_pattern[pattern])
        steps.setdefault(target, _Step(rule)).stored.append((name, pattern or name))
    return steps


def _any_of(patterns: Iterable[str]) -> re.Pattern[str] | None:
    found = [f"(?:{p})" for p in patterns]
    return re.compile("|".join(found)) if found else None


@torch.no_grad()
def fill(
    model: PreTrainedModel,
    plan: WeightPlan,
    checkpoint: Checkpoint,
    device: torch.device | str = "cpu",
    on_module: OnModule | None = None,
) -> None:
    """Read every tensor that ``model`` has, in its own data type, and compute those that no checkpoint holds.

    Each stored tensor is read once and no other is: memory peaks at the model's own size plus one tensor.

    Args:
        model: on the meta device, pruned or not; filled in place.
        on_module: what to do with a module as soon as it is complete, e.g. pack it.

    Raises:
        CheckpointError: a tensor is missing, damaged or of another shape.
    """
    own = model.state_dict(keep_vars=True)
    done: set[str] = set()
    for name in own:
        source = None if name in done else plan.source_of(name, own)
        if source is None:
            continue
        made = _convert(model, plan, source, checkpoint, own[name].dtype, device)
        # A stage with the head alone reads the embedding's tensor where the two are tied.
        placed = {name if target == source else target: tensor for target, tensor in made.items()}
        names = placed.keys() & own.keys()
        for target in names:
            _place(model, target, placed[target])
        done |= names
        del made, placed  # what follows may drop the tensors
        _announce(model, names, on_module)
    _tie(model, plan, own)
    _compute_the_rest(model, plan, checkpoint, device)


def _convert(
    model: PreTrainedModel,
    plan: WeightPlan,
    name: str,
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    device: torch.device | str,
) -> dict[str, Tensor]:
    """Run one step: {own tensor's name: tensor}."""
    step = plan.steps[name]
    if plan.float32 is not None and plan.float32.search(name):
        dtype = torch.float32
    transform = deepcopy(step.transform)
    for stored, pattern in step.stored:
        transform.add_tensor(name, stored, pattern, partial(checkpoint[stored].read, dtype, device))
    try:
        made = transform.convert(name, model=model, config=model.config)
    except (RuntimeError, ValueError, KeyError, IndexError) as error:
        raise CheckpointError(
            f"{checkpoint.source.folder}: {name!r} cannot be made of {len(step.stored)} stored "
            f"tensors such as {step.stored[0][0]!r}: they are of another architecture than config.json says"
        ) from error
    return {target: value[0] if isinstance(value, list) else value for target, value in made.items()}


def _place(model: PreTrainedModel, name: str, tensor: Tensor) -> None:
    holder, leaf = _holder(model, name)
    expected = getattr(holder, leaf)
    if expected.shape != tensor.shape:
        raise CheckpointError(
            f"tensor {name!r} has shape {tuple(tensor.shape)} in the checkpoint, but config.json makes it "
            f"{tuple(expected.shape)}: weights and configuration are of different models"
        )
    if leaf not in holder._buffers:
        # As transformers makes them: convolutions round otherwise where their weights are frozen.
        tensor = nn.Parameter(tensor, requires_grad=tensor.is_floating_point())
    tensor._is_hf_initialized = True  # type: ignore[attr-defined]  # so that transformers leaves it alone
    setattr(holder, leaf, tensor)


def _announce(model: PreTrainedModel, names: Iterable[str], on_module: OnModule | None) -> None:
    for path in dict.fromkeys(name.rpartition(".")[0] for name in names):
        module = model.get_submodule(path)
        if on_module is not None and not any(t.is_meta for t in module.parameters(recurse=False)):
            on_module(path, module)


def _tie(model: PreTrainedModel, plan: WeightPlan, own: Mapping[str, Tensor]) -> None:
    """Share memory as the unsplit model does; two stored tensors that differ stay two, as in transformers."""
    for target, source in plan.tied.items():
        if target not in own or source not in own:
            continue
        (here, leaf), (there, other) = _holder(model, target), _holder(model, source)
        if other not in there._parameters:  # packed meanwhile: the twins share the packed layer
            model.set_submodule(target.rpartition(".")[0], there)
            continue
        first, second = there._parameters[other], here._parameters[leaf]
        assert first is not None
        assert second is not None
        if first.is_meta and not second.is_meta:
            setattr(there, other, second)
        elif second.is_meta or torch.equal(first, second):
            setattr(here, leaf, first)


def _holder(model: PreTrainedModel, name: str) -> tuple[nn.Module, str]:
    """The module that has a tensor, and the tensor's name there."""
    path, _, leaf = name.rpartition(".")
    return model.get_submodule(path), leaf


def _compute_the_rest(
    model: PreTrainedModel, plan: WeightPlan, checkpoint: Checkpoint, device: torch.device | str
) -> None:
    """What is computed and not stored, such as rotary frequencies; anything else on meta is missing."""
    computed = {name for name, _ in model.named_non_persistent_buffers()}
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    left = {name: tensor for name, tensor in tensors.items() if tensor.is_meta}
    missing = [n for n, t in left.items() if n not in computed and not _may_lack(n, t, plan)]
    if missing:
        raise CheckpointError(
            f"{checkpoint.source.folder} lacks {len(missing)} tensors that config.json asks for, such as "
            f"{', '.join(map(repr, missing[:3]))}: the checkpoint is incomplete, or of another architecture"
        )
    for name, tensor in left.items():
        holder, leaf = _holder(model, name)
        real = torch.empty_like(tensor, device=device)
        setattr(holder, leaf, real if name in computed else _like(tensor, real))
    model.initialize_weights()


def _may_lack(name: str, tensor: Tensor, plan: WeightPlan) -> bool:
    """Masks and indices, and what the architecture itself calls optional."""
    allowed = plan.optional is not None and plan.optional.search(name) is not None
    return allowed or not tensor.is_floating_point()


def _like(tensor: Tensor, real: Tensor) -> Tensor:
    return (
        nn.Parameter(real, requires_grad=real.is_floating_point())
        if isinstance(tensor, nn.Parameter)
        else real
    )
