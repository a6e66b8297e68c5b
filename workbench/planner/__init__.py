"""Deciding where to cut: fronts, constraints and the verdict. Pure Python, runs nothing."""

from workbench.planner.pareto import hypervolume, non_dominated
from workbench.planner.verdict import METRICS, Verdict, dominant, verdict

__all__ = ["METRICS", "Verdict", "dominant", "hypervolume", "non_dominated", "verdict"]
