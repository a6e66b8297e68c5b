"""Studies: Optuna's search over plans, kept in a file, with the baselines and the oracle beside it."""

from workbench.studies.question import Question
from workbench.studies.report import write_report
from workbench.studies.sampling import SAMPLERS
from workbench.studies.space import Space
from workbench.studies.store import delete_study, study_names
from workbench.studies.study import Study

__all__ = ["SAMPLERS", "Question", "Space", "Study", "delete_study", "study_names", "write_report"]
