"""Labels that would cover one another are turned, wrapped or left out; thin bars stay to be seen."""

from __future__ import annotations

import textwrap
from itertools import combinations, pairwise
from math import ceil

from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from workbench.plots.stills.sheet import Sheet

__all__ = ["tidy"]

_TURN = 35
_SLACK_LETTERS = 2
_SLIVER_PX = 3.0


def tidy(sheet: Sheet) -> None:
    """Once the panels have about their size."""
    for panel in sheet.panels.values():
        _turn_ticks(sheet, panel.axes)
        _wrap_titles(sheet, panel.axes)
        _keep_slivers(sheet, panel.axes)
    _part_notes(sheet)


def _box(sheet: Sheet, text: Text) -> Bbox:
    return text.get_window_extent(sheet.renderer)


def _turn_ticks(sheet: Sheet, axes: Axes) -> None:
    """Along the horizontal axis."""
    labels = [t for t in axes.get_xticklabels() if t.get_visible() and t.get_text()]
    boxes = sorted((_box(sheet, t) for t in labels), key=lambda b: b.x0)
    if any(a.x1 + 2 > b.x0 for a, b in pairwise(boxes)):
        for label in labels:
            label.set(rotation=_TURN, ha="right", rotation_mode="anchor")


def _wrap_titles(sheet: Sheet, axes: Axes) -> None:
    """Of the axes, where they are longer than their axis."""
    inside = axes.get_window_extent()
    for title, length in ((axes.xaxis.label, inside.width), (axes.yaxis.label, inside.height)):
        box = _box(sheet, title)
        long = box.width if title is axes.xaxis.label else box.height
        if long > length > 0:
            _wrap(title, length / long)


def _wrap(text: Text, share: float) -> None:
    """On as many lines as bring it to that share of its width, all about as long."""
    words = text.get_text()
    letters = len(words) / ceil(1 / share) + _SLACK_LETTERS
    text.set_text(textwrap.fill(words, ceil(letters)))


def _keep_slivers(sheet: Sheet, axes: Axes) -> None:
    """Snapped to whole pixels, a bar thinner than one would be lost, and a hatch hides one of a few."""
    for patch in axes.patches:
        box = patch.get_window_extent(sheet.renderer)
        if min(abs(box.width), abs(box.height)) < _SLIVER_PX:
            patch.set(snap=False, hatch="")


def _part_notes(sheet: Sheet) -> None:
    """Of two marks that cover one another the later goes; titles of panels are wrapped."""
    for one, other in combinations(sheet.notes, 2):
        if _box(sheet, one).overlaps(_box(sheet, other)):
            _wrap(one, 0.6)
            _wrap(other, 0.6)
    for one, other in combinations(sheet.marks, 2):
        if one.get_visible() and other.get_visible() and _box(sheet, one).overlaps(_box(sheet, other)):
            other.set_visible(False)
