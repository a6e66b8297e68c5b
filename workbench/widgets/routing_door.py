"""The front door of the routing panel."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from workbench.deployment.plan_files import read_plan
from workbench.exploration.routing import Known, RoutingSetting
from workbench.plan import Plan
from workbench.profiles import DeviceProfile, LinkProfile
from workbench.widgets.profile_choice import device_of, link_of
from workbench.widgets.routing_panel import RoutingPanel

__all__ = ["place"]


def place(
    plan: Plan | str | os.PathLike[str] | Mapping[str, Any] = "hybrid",
    *,
    edge: DeviceProfile | str = "raspberry-pi-5",
    cloud: DeviceProfile | str = "h100-sxm",
    link: LinkProfile | str = "lte",
    threshold: float = 0.9,
    known: Known | None = None,
) -> RoutingPanel:
    """A panel about where features run, and whether that pays. Put it last in a cell.

    Args:
        plan: features and where each runs, or what ``read_plan`` takes: a shipped plan's name, a file.
        edge, cloud, link: profiles or their names; ``"host"`` is this machine.
        threshold: calibrated probability of being right, below which the default is asked too.
        known: what was measured of the plan's modules; None takes what is shipped.

    Raises:
        UnknownNameError: no device or link is called so.
        InputError: a plan or threshold that cannot be.
    """
    given = plan if isinstance(plan, Plan) else read_plan(plan)
    setting = RoutingSetting(given, device_of(edge), device_of(cloud), link_of(link), threshold)
    return RoutingPanel(setting, known or Known.shipped(given))
