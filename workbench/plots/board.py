"""One figure of a study for a live panel: the front, how the search goes, what matters, every plan at once.

Traces and axes are the same whatever has been tried, so that a live figure can be updated in place; only
another objective, or another study beside this one, adds some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import plotly.graph_objects as go

from workbench.plots.front import View, front_subtitle, front_traces, other_front, ring, usual_axes
from workbench.plots.study import (
    hypervolume_traces,
    importance_traces,
    parallel_trace,
    study_look,
    trials_axis,
)
from workbench.plots.style import SEQUENTIAL, figure
from workbench.records import BASELINES, Objective, TrialRecord

__all__ = ["board"]

_HEIGHT = 820
_LEFT, _RIGHT = (0.0, 0.56), (0.73, 1.0)  # columns of the figure
_FRONT, _VOLUME, _SHARES, _PLANS = (0.44, 0.98), (0.79, 0.98), (0.44, 0.66), (0.0, 0.19)  # rows, from below


def board(
    records: Sequence[TrialRecord],
    best: Sequence[TrialRecord],
    goals: Sequence[Objective],
    *,
    history: Mapping[str, Sequence[float]],
    importance: Mapping[str, Mapping[str, float]] | None = None,
    others: Mapping[str, Sequence[TrialRecord]] | None = None,
    chosen: int | None = None,
    x: str | None = None,
    y: str | None = None,
    colour: str | None = None,
) -> go.Figure:
    """A study at a glance, from its first trial on. Every marker of a trial carries its number.

    Args:
        records: what the study tried; the front shows what has both axes' numbers.
        best: the records on the front.
        goals: the study's objectives.
        history: hypervolume after each trial, by study; this one first.
        importance: shares by objective, then by parameter, as `Study.importance` gives them.
        others: fronts of other studies to lay over this one, by name.
        chosen: number of the trial to ring.
        x, y: objectives of the axes, by name; by default the first two, or the only one against memory.
        colour: ``"edge_blocks"`` or an objective's name; by default the third objective where there is one.

    Raises:
        KeyError: no objective is called so.
    """
    usual = usual_axes(goals)
    axes = (x or usual[0], y or usual[1], colour or usual[2])
    fronts = others or {}
    view = View.of(records, *axes, beside=list(chain.from_iterable(fronts.values())))
    fig = figure(_title(records, view), height=_HEIGHT)
    shares = importance or {goal.name: {} for goal in goals}
    fig.add_traces([*_front(best, view), *_other_fronts(fronts, history, view), ring(chosen, view)])
    fig.add_traces(_right_column(history, shares))
    fig.add_trace(_plans(records, goals))
    return fig.update_layout({**_layout(), **_front_axes(view), **_right_axes(history, shares)})


def _title(records: Sequence[TrialRecord], view: View) -> str:
    """Counts and labels in small print, and the baselines that are not drawn because they do not fit."""
    drawn = {record.role for record in view.shown if record.baseline}
    unfit = {r.role: r.obstacle for r in records if r.baseline and r.obstacle and r.role not in drawn}
    missing = [f"{role} {unfit[role]}" for role in BASELINES if role in unfit]
    counts, labels = front_subtitle(records, view).split("; ", 1)
    return f"{'; '.join([counts, *missing])}<br>{labels}"


def _front(best: Sequence[TrialRecord], view: View) -> list[go.Scatter]:
    """Without the baselines in the legend, which have their names beside them."""
    traces = front_traces(best, view)
    for trace in traces[-len(BASELINES) :]:
        trace.showlegend = False
    return traces


def _other_fronts(
    fronts: Mapping[str, Sequence[TrialRecord]], history: Mapping[str, Sequence[float]], view: View
) -> list[go.Scatter]:
    """In the look that the study's hypervolume has too."""
    names = [*history, *(name for name in fronts if name not in history)]
    traces = []
    for name, best in fronts.items():
        line, symbol = study_look(max(1, names.index(name)))
        line = {**line, "dash": "dash" if line["dash"] == "solid" else line["dash"], "width": 2}
        traces.append(other_front(name, best, view, symbol=symbol, line=line))
    return traces


def _right_column(
    history: Mapping[str, Sequence[float]], importance: Mapping[str, Mapping[str, float]]
) -> list[go.Scatter | go.Bar]:
    lines, bars = hypervolume_traces(history), importance_traces(importance)
    for line in lines:
        line.update(xaxis="x2", yaxis="y2", showlegend=False)
    for bar in bars:
        bar.update(xaxis="x3", yaxis="y3")
    return [*lines, *bars]


def _plans(records: Sequence[TrialRecord], goals: Sequence[Objective]) -> go.Parcoords:
    trace = parallel_trace(records, [goal.name for goal in goals])
    fonts = {name: {"size": 10} for name in ("labelfont", "tickfont", "rangefont")}
    return trace.update(domain={"x": (0.03, 0.93), "y": _PLANS}, **fonts)


def _layout() -> dict[str, Any]:
    return {
        "uirevision": "board",  # a zoom outlives an update
        "barmode": "group",
        "margin": {"l": 58, "r": 16, "t": 108, "b": 16},
        "title": {"y": 0.985, "yref": "container", "font": {"size": 12}},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 0.365,
            "yanchor": "top",
            "tracegroupgap": 0,
            "font": {"size": 11},
            "itemwidth": 30,
        },
    }


def _front_axes(view: View) -> dict[str, Any]:
    across, up = view.axes
    labelled = {"showticklabels": bool(view.shown)}
    return {
        "coloraxis": {"colorscale": SEQUENTIAL, "colorbar": _colour_bar(view), "showscale": bool(view.shown)},
        "xaxis": {"domain": _LEFT, "anchor": "y", **labelled, **across},
        "yaxis": {"domain": _FRONT, "anchor": "x", **labelled, **up},
    }


def _right_axes(
    history: Mapping[str, Sequence[float]], importance: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    begun, telling = any(history.values()), any(importance.values())
    labelled, share = {"showticklabels": begun}, {"title": {"text": "share (%)"}, "range": [0, 100]}
    return {
        "xaxis2": {"domain": _RIGHT, "anchor": "y2", **labelled, **trials_axis(history)},
        "yaxis2": {"domain": _VOLUME, "anchor": "x2", **labelled, "rangemode": "tozero"},
        "xaxis3": {"domain": _RIGHT, "anchor": "y3", **share},
        "yaxis3": {"domain": _SHARES, "anchor": "x3", "autorange": "reversed", "showticklabels": telling},
        "annotations": [
            _text("<b>Hypervolume</b>", _RIGHT[0], _VOLUME[1]),
            _text("<b>What matters</b>", _RIGHT[0], _SHARES[1]),
            _text("<b>Every plan at once</b>: drag along an axis to select", 0.0, _PLANS[1] + 0.075),
            _text("" if begun else "no plan tried yet", _LEFT[0] + 0.02, _FRONT[1] - 0.04),
            _text("" if telling else "too few plans yet", _RIGHT[0] + 0.02, _SHARES[1] - 0.06),
        ],
    }


def _colour_bar(view: View) -> dict[str, Any]:
    """Along the top of the front."""
    return {
        "title": {"text": view.colour_title, "side": "top", "font": {"size": 12}},
        "orientation": "h",
        "x": _LEFT[0],
        "xanchor": "left",
        "len": _LEFT[1] - _LEFT[0],
        "y": _FRONT[1],
        "yanchor": "bottom",
        "thickness": 8,
    }


def _text(text: str, x: float, y: float) -> dict[str, Any]:
    """To the right of a place of the figure, and above it."""
    return {
        "text": text,
        "showarrow": False,
        "xref": "paper",
        "yref": "paper",
        "x": x,
        "xanchor": "left",
        "y": y,
        "yanchor": "bottom",
    }
