"""Deciding where to cut: planners, limits, fronts and the verdict. Pure Python and NumPy, runs nothing."""

from workbench.planner.aims import AIMS, Aim
from workbench.planner.answer import Answer, Proposal
from workbench.planner.chains import Chains
from workbench.planner.depth import Depth
from workbench.planner.exhaustive import Exhaustive, n_plans
from workbench.planner.losses import LossTable
from workbench.planner.moving import MoveCost, Moving, move_cost
from workbench.planner.online import (
    Candidates,
    Clairvoyant,
    Decision,
    Estimator,
    Hysteresis,
    LoadTrace,
    Observation,
    Policy,
    Reactive,
    Regret,
    Run,
    Scene,
    Sensor,
    Static,
    regret_table,
    simulate,
)
from workbench.planner.pareto import front_of, hypervolume, non_dominated
from workbench.planner.placing import (
    PLACING_AIMS,
    Cascade,
    CascadeCurve,
    Demand,
    Placed,
    PlacingAnswer,
    PlacingLimits,
    PlacingProblem,
    mean_curve,
    place,
)
from workbench.planner.planners import PLANNERS, Planner, plan
from workbench.planner.problem import Choices, Exit, Limits, Pin, Prices, Problem, Request
from workbench.planner.survey import BreakEvenMap, Sweep, break_even, sweep
from workbench.planner.verdict import METRICS, Verdict, dominant, verdict

__all__ = [
    "AIMS",
    "METRICS",
    "PLACING_AIMS",
    "PLANNERS",
    "Aim",
    "Answer",
    "BreakEvenMap",
    "Candidates",
    "Cascade",
    "CascadeCurve",
    "Chains",
    "Choices",
    "Clairvoyant",
    "Decision",
    "Demand",
    "Depth",
    "Estimator",
    "Exhaustive",
    "Exit",
    "Hysteresis",
    "Limits",
    "LoadTrace",
    "LossTable",
    "MoveCost",
    "Moving",
    "Observation",
    "Pin",
    "Placed",
    "PlacingAnswer",
    "PlacingLimits",
    "PlacingProblem",
    "Planner",
    "Policy",
    "Prices",
    "Problem",
    "Proposal",
    "Reactive",
    "Regret",
    "Request",
    "Run",
    "Scene",
    "Sensor",
    "Static",
    "Sweep",
    "Verdict",
    "break_even",
    "dominant",
    "front_of",
    "hypervolume",
    "mean_curve",
    "move_cost",
    "n_plans",
    "non_dominated",
    "place",
    "plan",
    "regret_table",
    "simulate",
    "sweep",
    "verdict",
]
