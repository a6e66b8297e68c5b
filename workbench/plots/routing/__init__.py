"""Plans that place features, and what they do to requests, as figures."""

from workbench.plots.routing.answers import answer_html, answer_legend
from workbench.plots.routing.confusion import confusion
from workbench.plots.routing.curve import COSTS, quality_cost
from workbench.plots.routing.picture import plan_picture
from workbench.plots.routing.replay import replay_timeline

__all__ = [
    "COSTS",
    "answer_html",
    "answer_legend",
    "confusion",
    "plan_picture",
    "quality_cost",
    "replay_timeline",
]
