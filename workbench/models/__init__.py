"""Models: finding, loading and slicing them.

``load_model`` gives a handle without weights; its ``load_stage`` reads the tensors of one stage only.
"""

from workbench.models.load import Model, load_model
from workbench.models.slice import Boundary, StageModel, can_split, slice_model
from workbench.models.source import shipped_models

__all__ = [
    "Boundary",
    "Model",
    "StageModel",
    "can_split",
    "load_model",
    "shipped_models",
    "slice_model",
]
