"""A research workbench for partitioning language models between an edge device and a cloud.

``import workbench as wb`` loads no model library: each name below is fetched when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.deployment import Deployment, cloud_only, deploy, device, edge_only, predict, split
    from workbench.errors import WorkbenchError
    from workbench.models import Model, load_model
    from workbench.plan import Partition, Placement, Plan, Stage
    from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile, devices, link, links
    from workbench.runtime import Sampling
    from workbench.studies import Study
    from workbench.trace import RequestTrace
    from workbench.widgets import Explorer, SearchPanel, explore, search

_HOMES = {
    "workbench.deployment": ("Deployment", "cloud_only", "deploy", "device", "edge_only", "predict", "split"),
    "workbench.errors": ("WorkbenchError",),
    "workbench.models": ("Model", "load_model"),
    "workbench.plan": ("Partition", "Placement", "Plan", "Stage"),
    "workbench.profiles": ("DeviceProfile", "LinkProfile", "ModelProfile", "devices", "link", "links"),
    "workbench.runtime": ("Sampling",),
    "workbench.studies": ("Study",),
    "workbench.trace": ("RequestTrace",),
    "workbench.widgets": ("Explorer", "SearchPanel", "explore", "search"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = [
    "Deployment",
    "DeviceProfile",
    "Explorer",
    "LinkProfile",
    "Model",
    "ModelProfile",
    "Partition",
    "Placement",
    "Plan",
    "RequestTrace",
    "Sampling",
    "SearchPanel",
    "Stage",
    "Study",
    "WorkbenchError",
    "__version__",
    "cloud_only",
    "deploy",
    "device",
    "devices",
    "edge_only",
    "explore",
    "link",
    "links",
    "load_model",
    "predict",
    "search",
    "split",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
