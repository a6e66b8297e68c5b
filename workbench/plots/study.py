"""Figures of studies: the front with its baselines, how the search went, every trial at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from workbench.planner.pareto import non_dominated
from workbench.plots.style import INK, PALETTE, SEQUENTIAL, Scale, figure
from workbench.records import OBJECTIVES, Accuracy, Objective, Share, TrialRecord

__all__ = ["accuracy", "front", "hypervolume", "parallel"]

_WIRE_SYMBOLS = {"fp32": "hexagon", "bf16": "pentagon", "fp16": "circle", "int8": "square", "int4": "diamond"}
_BASELINE_SYMBOLS = {"edge-only": "triangle-up", "cloud-only": "triangle-down"}


_LOG_FROM = 10  # times between the smallest and the largest value


def front(
    records: Sequence[TrialRecord],
    best: Sequence[TrialRecord],
    *,
    x: str = "latency",
    y: str = "accuracy",
    colour: str = "edge_blocks",
) -> go.Figure:
    """All plans tried, the front among them joined by steps, and the baselines by name.

    Shapes are wire codecs; colours the number of blocks on the edge, or a third objective.

    Args:
        records: what a study tried; what has not both numbers is counted in the subtitle, not drawn.
        best: the records on the front.
        x: objective of the horizontal axis, by name.
        y: objective of the vertical axis, by name.
        colour: ``"edge_blocks"`` or a third objective's name.

    Raises:
        KeyError: no objective is called so.
    """
    across, up = OBJECTIVES[x], OBJECTIVES[y]
    drawn = [r for r in records if r.state == "complete" and x in r.values and y in r.values]
    fig = figure(f"{up.title} against {across.title.lower()}", _front_subtitle(records, drawn, across, up))
    scales = tuple(Scale.of(o.unit, _largest(drawn, o)) for o in (across, up))
    tried = [r for r in drawn if not r.baseline]
    _add_trials(fig, tried, best, (across, up), scales, colour)
    _add_front_line(fig, [r for r in best if x in r.values and y in r.values], (across, up), scales)
    for record in (r for r in drawn if r.baseline):
        _add_baseline(fig, record, (across, up), scales)
    fig.update_layout(height=500, legend={"orientation": "h", "y": -0.2, "x": 0})
    fig.update_xaxes(title_text=_axis_title(across, scales[0]), **_spread(drawn, across))
    return fig.update_yaxes(title_text=_axis_title(up, scales[1]), **_spread(drawn, up))


Axes = tuple[Objective, Objective]
Scales = tuple[Scale, ...]


def _largest(records: Sequence[TrialRecord], objective: Objective) -> float:
    return max((abs(r.values[objective.name]) for r in records), default=0.0)


def _front_subtitle(
    records: Sequence[TrialRecord], drawn: Sequence[TrialRecord], across: Objective, up: Objective
) -> str:
    infeasible = sum(r.state == "infeasible" for r in records)
    counts = f"{len(drawn)} plans" + (f", {infeasible} more do not fit" if infeasible else "")
    return f"{counts}; {across.title.lower()} is {across.label}, {up.title.lower()} is {up.label}"


def _axis_title(objective: Objective, scale: Scale) -> str:
    better = "↓" if objective.direction == "minimize" else "↑"
    return f"{objective.title} ({scale.unit}, {better} is better)"


def _spread(records: Sequence[TrialRecord], objective: Objective) -> dict[str, str]:
    """Logarithmic where the largest value would otherwise press all others into a corner."""
    values = [r.values[objective.name] for r in records]
    far = values and min(values) > 0 and max(values) / min(values) > _LOG_FROM
    return {"type": "log", "dtick": "D2"} if far else {"type": "linear"}


def _point(record: TrialRecord, axes: Axes, scales: Scales) -> tuple[float, float]:
    x, y = (record.values[o.name] / s.divisor for o, s in zip(axes, scales, strict=True))
    return x, y


def _hover(record: TrialRecord, axes: Sequence[Objective]) -> str:
    lines = [f"<b>{record.title}</b>", f"trial {record.number}"]
    for o in axes:
        value = record.values[o.name]
        interval = record.intervals.get(o.name)
        between = f" [{interval[0]:.3g}, {interval[1]:.3g}]" if interval else ""
        lines.append(f"{o.title}: {Scale.of(o.unit, abs(value)).text(value)}{between} ({o.label})")
    return "<br>".join(lines)


def _edge_blocks(record: TrialRecord) -> float:
    return sum(s.n_blocks for s in record.plan.partition.on("edge"))


def _add_trials(
    fig: go.Figure,
    records: Sequence[TrialRecord],
    best: Sequence[TrialRecord],
    axes: Axes,
    scales: Scales,
    colour: str,
) -> None:
    shade = _shade(records, colour)
    numbers = {r.number for r in best}
    for wire in [*_WIRE_SYMBOLS, None]:
        own = [r for r in records if r.wire == wire]
        if not own:
            continue
        points = [_point(r, axes, scales) for r in own]
        marker = {
            "symbol": _WIRE_SYMBOLS[wire] if wire else "star",
            "size": [13 if r.number in numbers else 8 for r in own],
            "opacity": [1.0 if r.number in numbers else 0.55 for r in own],
            "line": {"width": [2 if r.number in numbers else 0.5 for r in own], "color": INK},
            "color": [shade.values[r.number] for r in own],
            "coloraxis": "coloraxis",
        }
        fig.add_trace(_symbol_key(f"wire {wire}" if wire else "unsplit", str(wire), marker["symbol"]))
        fig.add_trace(
            go.Scatter(
                legendgroup=str(wire),
                showlegend=False,
                mode="markers",
                x=[p[0] for p in points],
                y=[p[1] for p in points],
                marker=marker,
                customdata=[[r.number] for r in own],
                hovertext=[_hover(r, axes) for r in own],
                hoverinfo="text",
            )
        )
    fig.update_layout(coloraxis={"colorscale": SEQUENTIAL, "colorbar": {"title": {"text": shade.title}}})


def _symbol_key(name: str, group: str, symbol: object) -> go.Scatter:
    """A legend entry of its own: one that takes its colour from an axis is invisible on a dark ground."""
    marker = {"symbol": symbol, "size": 9, "color": INK}
    return go.Scatter(name=name, legendgroup=group, mode="markers", x=[None], y=[None], marker=marker)


class _Shade:
    """The number behind each marker's colour."""

    def __init__(self, title: str, values: Mapping[int, float]) -> None:
        self.title, self.values = title, values


def _shade(records: Sequence[TrialRecord], colour: str) -> _Shade:
    if colour == "edge_blocks":
        return _Shade("blocks on<br>the edge", {r.number: _edge_blocks(r) for r in records})
    third = OBJECTIVES[colour]
    known = [r for r in records if colour in r.values]
    scale = Scale.of(third.unit, _largest(known, third))
    values = {r.number: r.values.get(colour, float("nan")) / scale.divisor for r in records}
    return _Shade(f"{third.title}<br>({scale.unit})", values)


def _add_front_line(fig: go.Figure, best: Sequence[TrialRecord], axes: Axes, scales: Scales) -> None:
    """Steps, because nothing between two plans of a front has been shown to exist.

    A front of three objectives goes back and forth in any two of them: the line keeps to those plans that are
    on the front of these two.
    """
    signs = [1 if o.direction == "minimize" else -1 for o in axes]
    all_points = [_point(r, axes, scales) for r in best]
    kept = non_dominated([(x * signs[0], y * signs[1]) for x, y in all_points])
    points = sorted(all_points[i] for i in kept)
    shape = "hv" if axes[0].direction == "minimize" else "vh"
    line = {"shape": shape, "dash": "dash", "width": 2, "color": PALETTE["vermilion"]}
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    fig.add_trace(go.Scatter(name="front", mode="lines", x=xs, y=ys, line=line, hoverinfo="skip"))


def _add_baseline(fig: go.Figure, record: TrialRecord, axes: Axes, scales: Scales) -> None:
    x, y = _point(record, axes, scales)
    marker = {
        "symbol": _BASELINE_SYMBOLS[record.role],
        "size": 17,
        "color": PALETTE["orange" if record.role == "edge-only" else "blue"],
        "line": {"width": 1.5, "color": INK},
    }
    trace = go.Scatter(
        name=f"{record.role} (baseline)",
        mode="markers+text",
        x=[x],
        y=[y],
        text=[record.role],
        textposition="top center" if record.role == "edge-only" else "bottom center",
        cliponaxis=False,
        marker=marker,
        customdata=[[record.number]],
        hovertext=[_hover(record, axes)],
        hoverinfo="text",
    )
    fig.add_trace(trace)


def hypervolume(history: Mapping[str, Sequence[float]], *, oracle: float | None = None) -> go.Figure:
    """How much of the objectives' space the front dominates, after each trial.

    Args:
        history: by study, after each trial; 0 is nothing, 1 the whole box between the best and the worst.
        oracle: the same for the front over every plan, where it is known.
    """
    fig = figure(
        "Hypervolume of the front", "share of the box between the best and the worst value", height=320
    )
    dashes = ("solid", "dash", "dot", "dashdot")
    for i, (name, values) in enumerate(history.items()):
        trials = list(range(1, len(values) + 1))
        line = {"shape": "hv", "width": 2.5, "dash": dashes[i % len(dashes)]}
        fig.add_trace(go.Scatter(name=name, mode="lines", x=trials, y=list(values), line=line))
    if oracle is not None:
        line = {"dash": "dash", "width": 2, "color": PALETTE["vermilion"]}
        fig.add_hline(oracle, line=line, annotation={"text": "every plan tried", "yanchor": "bottom"})
    fig.update_xaxes(title_text="trials")
    return fig.update_yaxes(title_text="hypervolume (share)", rangemode="tozero")


def parallel(records: Sequence[TrialRecord], objectives: Sequence[str]) -> go.Figure:
    """Every complete plan as one line through its choices and its objectives.

    Raises:
        KeyError: no objective is called so.
    """
    drawn = [r for r in records if r.state == "complete" and all(o in r.values for o in objectives)]
    fig = figure("Every plan at once", f"{len(drawn)} plans; drag along an axis to select", height=430)
    blocks = [_edge_blocks(r) for r in drawn]
    dimensions = [
        {"label": "blocks on the edge", "values": blocks},
        _category("edge bits", [_text(r.bits_on("edge")) for r in drawn]),
        _category("cloud bits", [_text(r.bits_on("cloud")) for r in drawn]),
        _category("wire", [_text(r.wire) for r in drawn]),
        *(_objective_axis(drawn, OBJECTIVES[name]) for name in objectives),
    ]
    line = {"color": blocks, "colorscale": SEQUENTIAL}
    fig.add_trace(go.Parcoords(dimensions=dimensions, line=line, labelangle=0, tickfont={"shadow": "none"}))
    return fig.update_layout(margin={"t": 124, "l": 80, "r": 80})


def _text(value: object) -> str:
    return "none" if value is None else str(value)


def _category(label: str, texts: Sequence[str]) -> dict[str, object]:
    known = sorted(set(texts), key=lambda t: (len(t), t))
    ticks = list(range(len(known)))
    return {"label": label, "values": [known.index(t) for t in texts], "tickvals": ticks, "ticktext": known}


def _objective_axis(records: Sequence[TrialRecord], objective: Objective) -> dict[str, object]:
    scale = Scale.of(objective.unit, _largest(records, objective))
    values = [r.values[objective.name] / scale.divisor for r in records]
    return {"label": f"{objective.name} ({scale.unit})", "values": values}


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
