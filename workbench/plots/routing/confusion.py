"""What requests are against what they were taken for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from workbench.plots.planning.look import DARK
from workbench.plots.style import figure
from workbench.routing import Report

__all__ = ["confusion"]

_CELL_PX, _FRAME_PX = 34, 170
_SHADES = {"right": ("#e3f0f8", "#7db7dc"), "wrong": ("#fbe9df", "#ea9a66")}
"""Of a share of 0 and of 1: grounds of their own, so that what is written reads in any theme."""


def confusion(report: Report | Mapping[str, Mapping[str, int]]) -> go.Figure:
    """Requests by what they are, down, and what routing took them for, across; shares are of a row.

    Args:
        report: of a replay, or counts by truth, then by what was taken.
    """
    counts = report.confusion() if isinstance(report, Report) else report
    down = list(counts)
    across = list(dict.fromkeys([*down, *(taken for row in counts.values() for taken in row)]))
    n = sum(sum(row.values()) for row in counts.values())
    right = sum(row.get(truth, 0) for truth, row in counts.items())
    said = f"{right} of {n} right" if n else "no request"
    fig = figure("What requests are taken for", said, height=_FRAME_PX + _CELL_PX * max(1, len(down)))
    fig.add_trace(_cells("right", counts, down, across, on_diagonal=True))
    fig.add_trace(_cells("wrong", counts, down, across, on_diagonal=False))
    fig.update_layout(annotations=_numbers(counts, across), showlegend=False)
    fig.update_yaxes(title_text="what it is", autorange="reversed", type="category", showgrid=False)
    return fig.update_xaxes(title_text="taken for", type="category", showgrid=False, tickangle=-30)


def _cells(
    name: str,
    counts: Mapping[str, Mapping[str, int]],
    down: list[str],
    across: list[str],
    *,
    on_diagonal: bool,
) -> go.Heatmap:
    shares = [
        [_share(counts[truth], taken) if (truth == taken) == on_diagonal else None for taken in across]
        for truth in down
    ]
    return go.Heatmap(
        name=name,
        x=across,
        y=down,
        z=shares,
        zmin=0,
        zmax=1,
        xgap=2,
        ygap=2,
        colorscale=[[0, _SHADES[name][0]], [1, _SHADES[name][1]]],
        showscale=False,
        hovertemplate="%{y}, taken for %{x}: %{z:.0%}<extra></extra>",
    )


def _share(row: Mapping[str, int], taken: str) -> float | None:
    """None where there is none: such a cell stays empty."""
    return row[taken] / sum(row.values()) if row.get(taken) else None


def _numbers(counts: Mapping[str, Mapping[str, int]], across: list[str]) -> list[dict[str, Any]]:
    """The count of each cell that has any, and its share where that is not all of the row."""
    found = []
    for truth, row in counts.items():
        for taken in (t for t in across if row.get(t)):
            share = row[taken] / sum(row.values())
            text = f"{row[taken]}" if share == 1 else f"{row[taken]} · {share:.0%}"
            font = {"color": DARK, "size": 12}
            found.append({"x": taken, "y": truth, "text": text, "showarrow": False, "font": font})
    return found
