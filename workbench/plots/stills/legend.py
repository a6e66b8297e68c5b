"""The legend of a still: one entry per named trace, in rows below the plot or in a column beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from matplotlib.artist import Artist
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import IdentityTransform

from workbench.plots.stills.bars import looks_of_bars
from workbench.plots.stills.layer import Layer
from workbench.plots.stills.points import look_of_line, looks_of_points, mode_of
from workbench.plots.stills.sheet import Box, Sheet
from workbench.plots.stills.style import TEXT, plain, text_pt

__all__ = ["add_legend"]

_GAP_PX = 10
_LARGEST_PT = 10.0  # of its markers
_WIDEST = 0.3  # share of the page's width that a legend beside the plot may take


def add_legend(sheet: Sheet, layers: Sequence[Layer], layout: Any, room: Box) -> Box:
    """Draws it where the layout has it, and gives the room that it leaves."""
    shown = _entries(layers, layout)
    if not shown:
        return room
    crowded = layout.legend.orientation == "h" or any(la.shade and la.shade.bar for la in layers)
    if not crowded:
        legend = _legend(sheet, shown, 1, loc="upper right", at=(room.right, room.top))
        width = legend.get_window_extent(sheet.renderer).width
        if width < _WIDEST * sheet.box.right:
            return room._replace(right=room.right - width - _GAP_PX)
        legend.remove()
    return _below(sheet, shown, room)


def _entries(layers: Sequence[Layer], layout: Any) -> list[Layer]:
    """Named traces, the first of each group and name; none for a single trace or a map, as plotly has it."""
    several = len(layers) > 1 if layout.showlegend is None else layout.showlegend
    listed = [la for la in layers if la.trace.type != "heatmap"]
    named = [la for la in listed if la.trace.name and la.trace.showlegend is not False]
    first = {(la.trace.legendgroup, la.trace.name): la for la in reversed(named)}
    return list(reversed(first.values())) if several else []


def _below(sheet: Sheet, shown: Sequence[Layer], room: Box) -> Box:
    """As many in a row as the width takes."""
    for columns in range(len(shown), 0, -1):
        legend = _legend(sheet, shown, columns, loc="lower left", at=(room.left, room.bottom))
        box = legend.get_window_extent(sheet.renderer)
        if box.width <= room.right - room.left or columns == 1:
            break
        legend.remove()
    return room._replace(bottom=room.bottom + box.height + _GAP_PX)


def _legend(
    sheet: Sheet,
    shown: Sequence[Layer],
    columns: int,
    *,
    loc: Literal["upper right", "lower left"],
    at: tuple[float, float],
) -> Legend:
    """Matplotlib fills column by column, which would be read in the wrong order."""
    by_column = [layer for first in range(columns) for layer in shown[first::columns]]
    return sheet.page.legend(
        [_handle(layer) for layer in by_column],
        [plain(layer.trace.name) for layer in by_column],
        loc=loc,
        bbox_to_anchor=at,
        bbox_transform=IdentityTransform(),
        ncols=columns,
        frameon=False,
        borderpad=0.2,
        borderaxespad=0.0,
        columnspacing=1.4,
        handleheight=1.0,
        fontsize=text_pt(None),
        labelcolor=TEXT,
    )


def _handle(layer: Layer) -> Artist:
    """A small picture of the trace: of its first bar or point."""
    if layer.trace.type == "bar":
        patch = Patch()
        looks_of_bars(layer, 1)[0].dress(patch)
        return patch
    mode = mode_of(layer.trace)
    look = look_of_line(layer) if "lines" in mode else {"color": "none", "linewidth": 0}
    return Line2D([], [], **look, **(_marker(layer) if "markers" in mode else {}))


def _marker(layer: Layer) -> dict[str, Any]:
    look = looks_of_points(layer, 1)[0]
    return {
        "marker": look.shape.symbol,
        "markersize": min(look.size_pt, _LARGEST_PT),
        "markerfacecolor": look.face,
        "markeredgecolor": look.edge,
        "markeredgewidth": look.edge_pt,
    }
