"""Accuracy: what a plan's real stages and codec do to text and tasks, whatever device and link carry them."""

from workbench.evaluation.evaluate import evaluate
from workbench.evaluation.sensitivity import Additivity, additivity, sensitivity
from workbench.evaluation.suite import SUITES, Example, Suite, suite_named
from workbench.records import Accuracy, Share

__all__ = [
    "SUITES",
    "Accuracy",
    "Additivity",
    "Example",
    "Share",
    "Suite",
    "additivity",
    "evaluate",
    "sensitivity",
    "suite_named",
]
