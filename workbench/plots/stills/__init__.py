"""A figure as a PNG, where no JavaScript runs: GitHub's view of a notebook, nbviewer, a paper's draft.

Matplotlib draws it: half a second to import, so only the first still brings it, and no browser is needed.
"""

from __future__ import annotations

import plotly.graph_objects as go

__all__ = ["still"]

_HEIGHT_PX = 450  # plotly's own


def still(figure: go.Figure, *, width_px: int = 900, height_px: int | None = None) -> bytes:
    """The figure as a PNG on white, in what our figures use of plotly: bars, points, lines, parallel axes.

    A trace of any other type is left out and named in a line at the foot.

    Args:
        figure: one of the workbench's figures, a FigureWidget too.
        width_px: width of the picture; texts keep their size.
        height_px: height of the picture; None takes the figure's own, else plotly's 450.
    """
    from workbench.plots.stills.page import drawn, png  # brings matplotlib

    return png(drawn(figure, width_px, height_px or int(figure.layout.height or _HEIGHT_PX)))
