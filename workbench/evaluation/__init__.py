"""Accuracy: what a plan's real stages and codec do to text and tasks, whatever device and link carry them."""

from workbench.evaluation.answers import Answer, answers
from workbench.evaluation.evaluate import evaluate
from workbench.evaluation.module_answers import answer_table, modules_of
from workbench.evaluation.sensitivity import Additivity, additivity, sensitivity
from workbench.evaluation.suite import SUITES, Example, Suite, suite_named
from workbench.records import Accuracy, Share

__all__ = [
    "SUITES",
    "Accuracy",
    "Additivity",
    "Answer",
    "Example",
    "Share",
    "Suite",
    "additivity",
    "answer_table",
    "answers",
    "evaluate",
    "modules_of",
    "sensitivity",
    "suite_named",
]
