"""Panels for notebooks: controls in front of what the other rooms compute, run and draw."""

from workbench.widgets.doors import explore, search, survey, watch
from workbench.widgets.explorer import Explorer
from workbench.widgets.routing_door import place
from workbench.widgets.routing_panel import RoutingPanel
from workbench.widgets.search_panel import SearchPanel
from workbench.widgets.survey_panel import SurveyPanel
from workbench.widgets.watch_panel import NetworkPanel

__all__ = [
    "Explorer",
    "NetworkPanel",
    "RoutingPanel",
    "SearchPanel",
    "SurveyPanel",
    "explore",
    "place",
    "search",
    "survey",
    "watch",
]
