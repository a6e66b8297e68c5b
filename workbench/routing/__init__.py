"""Which module of a plan answers a request. Routing decides and never runs anything.

A policy says where a request should go; ``settle`` says where it may go, with every bound kept; a
deployment runs it, and a ``Report`` sums up what became of many.
"""

from workbench.routing.answer_table import (
    AnswerTable,
    ModuleAnswers,
    calibrated,
    module_of,
    shipped_answers,
)
from workbench.routing.bounds import OUTCOMES, Settled, settle
from workbench.routing.calibration import Calibration, answer_score, calibration_error, raw_confidence
from workbench.routing.classifier import Classifier, Guess
from workbench.routing.language import LANGUAGES, language_of
from workbench.routing.modules import cloud_module, edge_module
from workbench.routing.outages import Outages
from workbench.routing.outcomes import Report, Served, joined, waiting_s
from workbench.routing.outlook import THRESHOLDS, Expected, Outlook, area_under
from workbench.routing.policies import (
    POLICIES,
    Cascade,
    Classified,
    CloudOnly,
    CostAware,
    EdgeOnly,
    Hybrid,
    Oracle,
    Policy,
    RandomChoice,
    Route,
    Rule,
    Rules,
    Situation,
    Tagged,
    make_policy,
)
from workbench.routing.rehearsal import Rehearsal
from workbench.routing.request import CONTINUE, Request
from workbench.routing.sensitive import Finding, find_sensitive
from workbench.routing.shipped import shipped_classifier
from workbench.routing.workload import Workload, bursts, poisson, shipped_pool

__all__ = [
    "CONTINUE",
    "LANGUAGES",
    "OUTCOMES",
    "POLICIES",
    "THRESHOLDS",
    "AnswerTable",
    "Calibration",
    "Cascade",
    "Classified",
    "Classifier",
    "CloudOnly",
    "CostAware",
    "EdgeOnly",
    "Expected",
    "Finding",
    "Guess",
    "Hybrid",
    "ModuleAnswers",
    "Oracle",
    "Outages",
    "Outlook",
    "Policy",
    "RandomChoice",
    "Rehearsal",
    "Report",
    "Request",
    "Route",
    "Rule",
    "Rules",
    "Served",
    "Settled",
    "Situation",
    "Tagged",
    "Workload",
    "answer_score",
    "area_under",
    "bursts",
    "calibrated",
    "calibration_error",
    "cloud_module",
    "edge_module",
    "find_sensitive",
    "joined",
    "language_of",
    "make_policy",
    "module_of",
    "poisson",
    "raw_confidence",
    "settle",
    "shipped_answers",
    "shipped_classifier",
    "shipped_pool",
    "waiting_s",
]
