"""Figures of studies: how the search went, what mattered, every trial at once, how right the plans are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from workbench.plots.front import edge_blocks
from workbench.plots.style import PALETTE, SEQUENTIAL, Scale, figure, hatch
from workbench.records import OBJECTIVES, Accuracy, Objective, Share, TrialRecord

__all__ = [
    "accuracy",
    "hypervolume",
    "hypervolume_traces",
    "importance",
    "importance_traces",
    "parallel",
    "parallel_trace",
    "study_look",
    "trials_axis",
]

_FEW_TRIALS = 5
_STUDY_LOOKS = (
    ("solid", "circle", "blue"),
    ("dash", "triangle-right", "purple"),
    ("dot", "cross", "green"),
    ("dashdot", "triangle-left", "sky"),
    ("longdash", "x", "orange"),
)
_GOAL_LOOKS = (
    ("blue", ""),
    ("orange", "/"),
    ("green", "x"),
    ("purple", "."),
    ("sky", "\\"),
    ("vermilion", "-"),
)


def study_look(position: int) -> tuple[dict[str, object], str]:
    """How the lines and the marks of the first study, the second … are drawn, in every figure alike."""
    dash, symbol, colour = _STUDY_LOOKS[position % len(_STUDY_LOOKS)]
    return {"dash": dash, "width": 2.5, "color": PALETTE[colour]}, symbol


def hypervolume(history: Mapping[str, Sequence[float]], *, oracle: float | None = None) -> go.Figure:
    """How much of the objectives' space the front dominates, after each trial.

    Args:
        history: by study, after each trial; 0 is nothing, 1 the whole box between the best and the worst.
        oracle: the same for the front over every plan, where it is known.
    """
    fig = figure(
        "Hypervolume of the front", "share of the box between the best and the worst value", height=320
    )
    fig.add_traces(hypervolume_traces(history))
    if oracle is not None:
        line = {"dash": "dash", "width": 2, "color": PALETTE["vermilion"]}
        fig.add_hline(oracle, line=line, annotation={"text": "every plan tried", "yanchor": "bottom"})
    fig.update_layout(xaxis=trials_axis(history))
    return fig.update_yaxes(title_text="hypervolume (share)", rangemode="tozero")


def trials_axis(history: Mapping[str, Sequence[float]]) -> dict[str, object]:
    """The horizontal axis of hypervolumes: there is no half of a trial."""
    longest = max(map(len, history.values()), default=0)
    return {"title": {"text": "trials"}, "dtick": 1 if longest <= _FEW_TRIALS else None}


def hypervolume_traces(history: Mapping[str, Sequence[float]]) -> list[go.Scatter]:
    """One line per study."""
    return [
        go.Scatter(
            name=name,
            mode="lines",
            x=list(range(1, len(values) + 1)),
            y=list(values),
            line={"shape": "hv", **study_look(i)[0]},
            hovertemplate=f"{name}<br>%{{y:.3f}} after %{{x}} trials<extra></extra>",
        )
        for i, (name, values) in enumerate(history.items())
    ]


def importance(found: Mapping[str, Mapping[str, float]]) -> go.Figure:
    """How much each choice matters for the best values of each objective.

    Args:
        found: shares that add up to 1, by objective, then by parameter; an objective may have none yet.
    """
    missing = [name for name, shares in found.items() if not shares]
    note = f"; too few plans yet for {', '.join(missing)}" if missing else ""
    n_choices = len({parameter for shares in found.values() for parameter in shares})
    height = 170 + max(1, n_choices) * (14 + 16 * max(1, len(found)))
    fig = figure("What matters", f"share of each choice in reaching the best values{note}", height=height)
    fig.add_traces(importance_traces(found))
    legend = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 1, "xanchor": "right"}
    fig.update_layout(barmode="group", legend={**legend, "traceorder": "normal"}, margin_t=92)
    fig.update_yaxes(autorange="reversed")
    return fig.update_xaxes(title_text="importance (%)", range=[0, 100])


def importance_traces(found: Mapping[str, Mapping[str, float]]) -> list[go.Bar]:
    """One group of bars per objective, the choice that matters most in all first."""
    totals: dict[str, float] = {}
    for shares in found.values():
        for parameter, share in shares.items():
            totals[parameter] = totals.get(parameter, 0.0) + share
    order = sorted(totals, key=lambda parameter: (-totals[parameter], parameter))
    return [_importance_bars(i, name, shares, order) for i, (name, shares) in enumerate(found.items())]


def _importance_bars(position: int, name: str, shares: Mapping[str, float], order: Sequence[str]) -> go.Bar:
    colour, pattern = _GOAL_LOOKS[position % len(_GOAL_LOOKS)]
    shown = order if shares else []
    return go.Bar(
        name=_spaced(name),
        orientation="h",
        y=[_spaced(parameter) for parameter in shown],
        x=[100 * shares.get(parameter, 0.0) for parameter in shown],
        marker={"color": PALETTE[colour], "pattern": hatch(pattern), "line": {"width": 0}},
        hovertemplate=f"%{{y}}: %{{x:.0f}} % for {_spaced(name)}<extra></extra>",
    )


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def parallel(records: Sequence[TrialRecord], objectives: Sequence[str]) -> go.Figure:
    """Every complete plan as one line through its choices and its objectives.

    Raises:
        KeyError: no objective is called so.
    """
    trace = parallel_trace(records, objectives)
    n_plans = len(trace.dimensions[0]["values"])
    fig = figure("Every plan at once", f"{n_plans} plans; drag along an axis to select", height=430)
    fig.add_trace(trace)
    return fig.update_layout(margin={"t": 124, "l": 80, "r": 80})


def parallel_trace(records: Sequence[TrialRecord], objectives: Sequence[str]) -> go.Parcoords:
    """One line per complete plan that has all the objectives' numbers.

    Raises:
        KeyError: no objective is called so.
    """
    drawn = [r for r in records if r.state == "complete" and all(o in r.values for o in objectives)]
    blocks = [edge_blocks(r) for r in drawn]
    dimensions = [
        {"label": "edge blocks", "values": blocks},
        _category("edge bits", [_text(r.bits_on("edge")) for r in drawn]),
        _category("cloud bits", [_text(r.bits_on("cloud")) for r in drawn]),
        _category("wire", [_text(r.wire) for r in drawn]),
        *(_objective_axis(drawn, OBJECTIVES[name]) for name in objectives),
    ]
    line = {"color": blocks, "colorscale": SEQUENTIAL}
    return go.Parcoords(dimensions=dimensions, line=line, labelangle=0, tickfont={"shadow": "none"})


def _text(value: object) -> str:
    return "none" if value is None else str(value)


def _category(label: str, texts: Sequence[str]) -> dict[str, object]:
    known = sorted(set(texts), key=lambda t: (len(t), t))
    ticks = list(range(len(known)))
    return {"label": label, "values": [known.index(t) for t in texts], "tickvals": ticks, "ticktext": known}


def _objective_axis(records: Sequence[TrialRecord], objective: Objective) -> dict[str, object]:
    scale = Scale.of(objective.unit, max((abs(r.values[objective.name]) for r in records), default=0.0))
    values = [r.values[objective.name] / scale.divisor for r in records]
    unit = "" if "/" in scale.unit or scale.unit == "share" else f" ({scale.unit})"  # no room for long ones
    return {"label": _spaced(objective.name) + unit, "values": values}


def accuracy(found: Mapping[str, Accuracy]) -> go.Figure:
    """Exact match per task and agreement, with their 95 % intervals, for one plan or several.

    Args:
        found: by name of the plan.
    """
    bits = ", ".join(f"{name} {a.bits_per_byte:.3f}" for name, a in found.items())
    fig = figure("Accuracy", f"measured, with 95 % intervals; bits per byte: {bits}", height=400)
    symbols = ("circle", "square", "diamond", "triangle-up", "cross")
    for i, (name, result) in enumerate(found.items()):
        shares = {**result.exact_match, "all tasks": result.mean_exact_match, "agreement": result.agreement}
        fig.add_trace(_share_dots(name, shares, symbols[i % len(symbols)]))
    fig.update_layout(scattermode="group", scattergap=0.5)
    fig.update_xaxes(title_text="task")
    return fig.update_yaxes(title_text="right (%)", range=[0, 105])


def _share_dots(name: str, shares: Mapping[str, Share], symbol: str) -> go.Scatter:
    return go.Scatter(
        name=name,
        mode="markers",
        x=list(shares),
        y=[100 * s.value for s in shares.values()],
        error_y={
            "type": "data",
            "array": [100 * (s.high - s.value) for s in shares.values()],
            "arrayminus": [100 * (s.value - s.low) for s in shares.values()],
        },
        marker={"symbol": symbol, "size": 10},
        hovertext=[f"{t}: {s.value:.1%} [{s.low:.1%}, {s.high:.1%}], n = {s.n}" for t, s in shares.items()],
        hoverinfo="text",
    )
