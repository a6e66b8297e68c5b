"""Panels for notebooks: controls in front of what the other rooms compute, run and draw."""

from workbench.widgets.doors import explore, search
from workbench.widgets.explorer import Explorer
from workbench.widgets.search_panel import SearchPanel

__all__ = ["Explorer", "SearchPanel", "explore", "search"]
