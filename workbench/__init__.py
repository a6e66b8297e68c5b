"""A research workbench for partitioning language models between an edge device and a cloud.

``import workbench as wb`` loads no model library: each name below is fetched when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.deployment import (
        Deployment,
        cloud_only,
        decide,
        deploy,
        device,
        edge_only,
        predict,
        read_plan,
        split,
        write_plan,
    )
    from workbench.errors import WorkbenchError
    from workbench.links import LinkTrace, link_trace, link_traces, make_link
    from workbench.models import Model, load_model
    from workbench.plan import Partition, Placement, Plan, Stage
    from workbench.profiles import (
        DeviceProfile,
        LinkProfile,
        ModelProfile,
        device_profiles,
        link,
        link_profiles,
    )
    from workbench.runtime import Sampling
    from workbench.studies import Study
    from workbench.trace import RequestTrace
    from workbench.widgets import (
        Explorer,
        NetworkPanel,
        RoutingPanel,
        SearchPanel,
        SurveyPanel,
        explore,
        place,
        search,
        survey,
        watch,
    )

_HOMES = {
    "workbench.deployment": (
        "Deployment",
        "cloud_only",
        "decide",
        "deploy",
        "device",
        "edge_only",
        "predict",
        "read_plan",
        "split",
        "write_plan",
    ),
    "workbench.errors": ("WorkbenchError",),
    "workbench.links": ("LinkTrace", "link_trace", "link_traces", "make_link"),
    "workbench.models": ("Model", "load_model"),
    "workbench.plan": ("Partition", "Placement", "Plan", "Stage"),
    "workbench.profiles": (
        "DeviceProfile",
        "LinkProfile",
        "ModelProfile",
        "device_profiles",
        "link",
        "link_profiles",
    ),
    "workbench.runtime": ("Sampling",),
    "workbench.studies": ("Study",),
    "workbench.trace": ("RequestTrace",),
    "workbench.widgets": (
        "Explorer",
        "NetworkPanel",
        "RoutingPanel",
        "SearchPanel",
        "SurveyPanel",
        "explore",
        "place",
        "search",
        "survey",
        "watch",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = [
    "Deployment",
    "DeviceProfile",
    "Explorer",
    "LinkProfile",
    "LinkTrace",
    "Model",
    "ModelProfile",
    "NetworkPanel",
    "Partition",
    "Placement",
    "Plan",
    "RequestTrace",
    "RoutingPanel",
    "Sampling",
    "SearchPanel",
    "Stage",
    "Study",
    "SurveyPanel",
    "WorkbenchError",
    "__version__",
    "cloud_only",
    "decide",
    "deploy",
    "device",
    "device_profiles",
    "edge_only",
    "explore",
    "link",
    "link_profiles",
    "link_trace",
    "link_traces",
    "load_model",
    "make_link",
    "place",
    "predict",
    "read_plan",
    "search",
    "split",
    "survey",
    "watch",
    "write_plan",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
