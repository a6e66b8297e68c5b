"""Models: finding, loading and slicing them.

``load_model`` gives a handle without weights; its ``load_stage`` reads the tensors of one stage only.
``load_adapter`` gives an adapter of low rank that fits a model, for ``StageModel.attach``.
``read_architecture`` gives a model's numbers from its configuration alone. Each name is fetched when first
used, so that a profile which is known already comes without PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.models.adapters import Adapter, adapter_names, load_adapter
    from workbench.models.architecture import architectures, read_architecture
    from workbench.models.load import Model, load_model
    from workbench.models.slice import Boundary, StageModel, can_split, slice_model
    from workbench.models.source import shipped_models

_HOMES = {
    "adapters": ("Adapter", "adapter_names", "load_adapter"),
    "architecture": ("architectures", "read_architecture"),
    "load": ("Model", "load_model"),
    "slice": ("Boundary", "StageModel", "can_split", "slice_model"),
    "source": ("shipped_models",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Adapter",
    "Boundary",
    "Model",
    "StageModel",
    "adapter_names",
    "architectures",
    "can_split",
    "load_adapter",
    "load_model",
    "read_architecture",
    "shipped_models",
    "slice_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
