"""What an explorer knows without any widget: a setting, what it would cost, and the runs that were kept."""

from workbench.exploration.appraiser import Appraiser
from workbench.exploration.forecast import Forecaster
from workbench.exploration.link_watch import LinkWatch, netem_missing
from workbench.exploration.measure import measure, prompt_of
from workbench.exploration.measurer import Measurer
from workbench.exploration.outlook import Outlook, Row
from workbench.exploration.planning import AIMS_SHOWN, Surveyor, SurveyResult, SurveySetting
from workbench.exploration.runs import Run, RunBook
from workbench.exploration.setting import SHAPES, Setting

__all__ = [
    "AIMS_SHOWN",
    "SHAPES",
    "Appraiser",
    "Forecaster",
    "LinkWatch",
    "Measurer",
    "Outlook",
    "Row",
    "Run",
    "RunBook",
    "Setting",
    "SurveyResult",
    "SurveySetting",
    "Surveyor",
    "measure",
    "netem_missing",
    "prompt_of",
]
