"""Which module for which feature: exact, with limits on means, on memory shared, and with cascades."""

from workbench.planner.placing.answer import Placed, PlacingAnswer
from workbench.planner.placing.cascade import Cascade, CascadeCurve, mean_curve
from workbench.planner.placing.choosing import BASELINES, place, placed, plan_of
from workbench.planner.placing.exact import Front, best_first, exact_front
from workbench.planner.placing.hybrid import Cascades, escalating, hybrid_front
from workbench.planner.placing.problem import PLACING_AIMS, Demand, PlacingLimits, PlacingProblem
from workbench.planner.placing.table import Table

__all__ = [
    "BASELINES",
    "PLACING_AIMS",
    "Cascade",
    "CascadeCurve",
    "Cascades",
    "Demand",
    "Front",
    "Placed",
    "PlacingAnswer",
    "PlacingLimits",
    "PlacingProblem",
    "Table",
    "best_first",
    "escalating",
    "exact_front",
    "hybrid_front",
    "mean_curve",
    "place",
    "placed",
    "plan_of",
]
