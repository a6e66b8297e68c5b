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
from workbench.planner.planners import PLANNERS, Planner, plan
from workbench.planner.problem import Choices, Exit, Limits, Pin, Prices, Problem, Request
from workbench.planner.survey import BreakEvenMap, Sweep, break_even, sweep
from workbench.planner.verdict import METRICS, Verdict, dominant, verdict

__all__ = [
    "AIMS",
    "METRICS",
    "PLANNERS",
    "Aim",
    "Answer",
    "BreakEvenMap",
    "Candidates",
    "Chains",
    "Choices",
    "Clairvoyant",
    "Decision",
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
    "move_cost",
    "n_plans",
    "non_dominated",
    "plan",
    "regret_table",
    "simulate",
    "sweep",
    "verdict",
]
