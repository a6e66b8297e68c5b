"""Runs plans: the edge side, the cloud side, and decoding."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.runtime.cloud import CloudServer
    from workbench.runtime.decoding import Sampling
    from workbench.runtime.edge import Conditions, EdgeClient

_HOME_OF = {
    "CloudServer": "workbench.runtime.cloud",
    "Conditions": "workbench.runtime.edge",
    "EdgeClient": "workbench.runtime.edge",
    "Sampling": "workbench.runtime.decoding",
}

__all__ = ["CloudServer", "Conditions", "EdgeClient", "Sampling"]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'workbench.runtime' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
