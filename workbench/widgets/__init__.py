"""Panels for notebooks: controls in front of what the other rooms compute, run and draw."""

from workbench.widgets.explorer import Explorer, explore

__all__ = ["Explorer", "explore"]
