"""Record → plotly figure, and nothing else. The same calls serve notebooks, scripts and the report."""

from workbench.plots.request import compare, memory, per_split, timeline
from workbench.plots.study import accuracy, front, hypervolume, parallel
from workbench.plots.style import PALETTE, TEMPLATE

__all__ = [
    "PALETTE",
    "TEMPLATE",
    "accuracy",
    "compare",
    "front",
    "hypervolume",
    "memory",
    "parallel",
    "per_split",
    "timeline",
]
