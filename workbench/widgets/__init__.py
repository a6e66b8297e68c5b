"""Panels for notebooks: controls in front of what the other rooms compute, run and draw."""

from workbench.widgets.explorer import Explorer, explore
from workbench.widgets.search_panel import SearchPanel, search

__all__ = ["Explorer", "SearchPanel", "explore", "search"]
