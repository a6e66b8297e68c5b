"""Record → plotly figure, and nothing else. The same calls serve notebooks, scripts and the report."""

from workbench.plots.board import board
from workbench.plots.explorer import explorer
from workbench.plots.front import front
from workbench.plots.network import fidelity
from workbench.plots.planning import (
    break_even,
    candidates,
    chain,
    plan_front,
    predicted_over_measured,
    sensitivity,
)
from workbench.plots.request import compare, memory, per_split, runs, timeline
from workbench.plots.routing import confusion, plan_picture, quality_cost, replay_timeline
from workbench.plots.stills import still
from workbench.plots.study import accuracy, hypervolume, importance, parallel
from workbench.plots.style import PALETTE, TEMPLATE
from workbench.plots.watched import link_series

__all__ = [
    "PALETTE",
    "TEMPLATE",
    "accuracy",
    "board",
    "break_even",
    "candidates",
    "chain",
    "compare",
    "confusion",
    "explorer",
    "fidelity",
    "front",
    "hypervolume",
    "importance",
    "link_series",
    "memory",
    "parallel",
    "per_split",
    "plan_front",
    "plan_picture",
    "predicted_over_measured",
    "quality_cost",
    "replay_timeline",
    "runs",
    "sensitivity",
    "still",
    "timeline",
]
