"""What one place holds for a plan: the stages of every feature, each loaded once however many use it.

B batch, T tokens.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from workbench.devices import Pace
from workbench.errors import InputError, PlanError
from workbench.models.adapters import Adapter, load_adapter
from workbench.models.slice import StageModel, share_tied
from workbench.plan import Placement, Plan, Stage
from workbench.profiles import DeviceProfile
from workbench.runtime.decoding import eos_ids
from workbench.runtime.stages import StageRun, step_time

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["FindModel", "Module", "Shelf", "Turns", "known_models"]

FindModel = Callable[[str], "Model"]
"""The model that a plan calls so."""


class Turns(AbstractContextManager[None]):
    """Lets threads compute one after the other, in the order in which they asked: a device is one device."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._waiting: deque[object] = deque()

    def __enter__(self) -> None:
        ticket = object()
        with self._free:
            self._waiting.append(ticket)
            self._free.wait_for(lambda: self._waiting[0] is ticket)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._free:
            self._waiting.popleft()
            self._free.notify_all()


@dataclass(frozen=True)
class Module:
    """One feature's part of a place, ready to run."""

    feature: str
    placement: Placement
    model: Model
    stages: Mapping[Stage, StageModel]  # of this place, in the order of the partition
    turns: Turns
    adapter: Adapter | None = None

    def runs(self, device: DeviceProfile | None, pace: Pace, batch: int) -> dict[Stage, StageRun]:
        """A fresh run of each stage.

        Args:
            device: what this host poses as; None for the host itself.
        """
        profile = self.model.profile
        return {
            stage: StageRun(
                loaded,
                step_time(profile, loaded, device, pace.clock),
                pace,
                batch,
                adapter=self.adapter.name if self.adapter else None,
                turns=self.turns,
            )
            for stage, loaded in self.stages.items()
        }

    @property
    def needs_token_ids(self) -> bool:
        """True where token ids must come with each boundary activation."""
        return any(stage.needs_token_ids for stage in self.stages.values())

    @cached_property
    def eos_ids(self) -> tuple[int, ...]:
        """The ids that end a row."""
        return eos_ids(self.model.config, self.model.source)


class Shelf:
    """Loads and keeps the stages of one place. Used by one thread; what it gives computes in turns.

    Args:
        place: whose stages they are.
        compute: torch device.
    """

    def __init__(self, place: str, *, compute: str = "cpu") -> None:
        self._place, self._compute = place, compute
        self._loaded: dict[tuple[str, Stage], _Loaded] = {}
        self._turns = Turns()

    def modules(self, plan: Plan, features: Iterable[str], find: FindModel) -> dict[str, Module]:
        """What this place runs for some features of a plan; one without a stage here has an empty module.

        Args:
            find: the model of a name that the plan uses.

        Raises:
            AdapterError: an adapter is missing, or of another base.
            PlanError: a partition is not of its model's size.
            CheckpointError: the weights are missing, incomplete or damaged.
        """
        return {feature: self._module(plan, feature, find(plan.model_of(feature))) for feature in features}

    def keep_only(self, modules: Iterable[Module]) -> None:
        """Forget every stage that none of these uses."""
        used = {id(stage) for module in modules for stage in module.stages.values()}
        self._loaded = {key: it for key, it in self._loaded.items() if id(it.stage) in used}

    def _module(self, plan: Plan, feature: str, model: Model) -> Module:
        placement = plan.placement(feature)
        _check_size(feature, placement, model)
        loaded = [self._stage(model, stage) for stage in placement.partition.on(self._place)]
        adapter = None if placement.adapter is None else load_adapter(placement.adapter, model)
        for each in loaded:
            if adapter is not None:
                each.stage.attach(adapter)
        stages = {each.stage.stage: each.stage for each in loaded}
        return Module(feature, placement, model, stages, self._turns, adapter)

    def _stage(self, model: Model, stage: Stage) -> _Loaded:
        key = (model.reference, stage)
        if key not in self._loaded:
            self._loaded[key] = _Loaded(model.source, model.load_stage(stage, device=self._compute))
            # Whatever block a model is left after: of the same files, equal names are equal weights.
            share_tied([it.stage for it in self._loaded.values() if it.source == model.source])
        return self._loaded[key]


@dataclass
class _Loaded:
    source: Path
    stage: StageModel


def _check_size(feature: str, placement: Placement, model: Model) -> None:
    if placement.partition.n_blocks != model.n_blocks:
        raise PlanError(
            f"the placement of {feature!r} cuts {placement.partition.n_blocks} blocks, {model.name!r} has "
            f"{model.n_blocks}: make it for this model"
        )


def known_models(models: Mapping[str, Model]) -> FindModel:
    """Finds models by the names that a plan has for them; one that was not given is an InputError."""

    def find(name: str) -> Model:
        if name not in models:
            raise InputError(f"the plan runs model {name!r}, given are {sorted(models)}: give that one too")
        return models[name]

    return find
