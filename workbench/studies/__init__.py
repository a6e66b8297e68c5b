"""Studies: Optuna's search over plans, kept in a file, with the baselines and the oracle beside it.

The report is fetched when first used: it brings Plotly and pandas, which no search needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.studies.limits import limits_text, parse_limits
from workbench.studies.placing import PlacingSearch, search_placing
from workbench.studies.question import Question
from workbench.studies.runner import StudyRunner
from workbench.studies.sampling import SAMPLERS
from workbench.studies.space import Space
from workbench.studies.store import check_usable, delete_study, study_names
from workbench.studies.study import Study

if TYPE_CHECKING:
    from workbench.studies.report import write_report

__all__ = [
    "SAMPLERS",
    "PlacingSearch",
    "Question",
    "Space",
    "Study",
    "StudyRunner",
    "check_usable",
    "delete_study",
    "limits_text",
    "parse_limits",
    "search_placing",
    "study_names",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name != "write_report":
        raise AttributeError(f"module 'workbench.studies' has no attribute {name!r}")
    from workbench.studies.report import write_report

    return write_report
