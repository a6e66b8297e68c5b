"""One figure of a plan for a live panel: time by span, every split point, memory, accuracy.

Traces and axes are always the same, whatever the data, so that a live figure can be updated in place. All is
made of plain dicts: plotly's checks of each property take five times as long as the figure itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import floor, inf
from typing import Any

import plotly.graph_objects as go

from workbench.plots.axes import Panel
from workbench.plots.request import PHASES, phase_seconds, wait_seconds, waited_for
from workbench.plots.style import INK, PALETTE, PIECES, TEMPLATE, Piece, Scale, hatch, label_of
from workbench.profiles import DeviceProfile
from workbench.records import Accuracy, Share
from workbench.trace import RequestTrace

__all__ = ["explorer", "explorer_parts"]

_LEFT, _RIGHT = (0.0, 0.45), (0.56, 1.0)
_SPANS, _SPLITS, _ENDS = (0.72, 1.0), (0.29, 0.61), (0.0, 0.13)  # rows of the figure
_ALWAYS = ("edge blocks", "encode", "uplink", "cloud blocks", "downlink", "sample")
_TOTAL = "total wait"
_Parts = dict[str, Any]
"""``data``, a list of traces, and ``layout``, as plotly's JSON has them."""
_SEEN = 0.02  # of the longest bar: what is shorter has its error in the hover alone
_TICKS = 5  # split points that are named on an axis, besides both ends


_BY_SPAN = (
    Panel("", _LEFT, _SPANS, "To the first token"),
    Panel("2", _RIGHT, _SPANS, "Per output token"),
)
_BY_SPLIT = (
    Panel("3", _LEFT, _SPLITS, "First token by split"),
    Panel("4", _RIGHT, _SPLITS, "Per token by split"),
)
_MEMORY = Panel("5", (0.0, 0.4), _ENDS, "Memory")
_ACCURACY = Panel("6", (0.63, 1.0), _ENDS, "Accuracy")


def explorer(
    traces: Mapping[str, RequestTrace],
    chosen: str,
    devices: Mapping[str, DeviceProfile],
    *,
    positions: Sequence[str] | None = None,
    unfit: Collection[str] = (),
    accuracy: Accuracy | None = None,
    accuracy_note: str = "",
    run: RequestTrace | None = None,
) -> go.Figure:
    """A plan in six panels: time by span in prefill and decode, the same for every split point, memory,
    accuracy with its 95 % interval. What a run measured lies as narrow bars over the predicted ones.

    Args:
        traces: predictions by split point as text, the chosen one among them; cloud-only and edge-only at
            the ends.
        chosen: the split point to show and to mark.
        devices: by place, ``"edge"`` and ``"cloud"``.
        positions: all split points in order, where some of their traces are still to come.
        unfit: split points whose plan does not fit a device's memory: drawn pale, with a cross.
        accuracy: of the chosen plan.
        accuracy_note: said in place of the accuracy where there is none.
        run: the chosen plan's request as it was run.

    Raises:
        KeyError: ``chosen`` has no trace.
    """
    parts = explorer_parts(
        traces,
        chosen,
        devices,
        positions=positions,
        unfit=unfit,
        accuracy=accuracy,
        accuracy_note=accuracy_note,
        run=run,
    )
    return go.Figure(parts)


def explorer_parts(
    traces: Mapping[str, RequestTrace],
    chosen: str,
    devices: Mapping[str, DeviceProfile],
    *,
    positions: Sequence[str] | None = None,
    unfit: Collection[str] = (),
    accuracy: Accuracy | None = None,
    accuracy_note: str = "",
    run: RequestTrace | None = None,
) -> dict[str, Any]:
    """What ``explorer`` makes a figure of, as plain dicts: ``data`` and ``layout``.

    For live figures, which cannot wait until plotly has checked what is right.
    """
    predicted = traces[chosen]
    order = list(positions or traces)
    title = f"{_plan_title(predicted)}<br><sup>{_labels(predicted, run, accuracy)}</sup>"
    parts: _Parts = {"data": [], "layout": _frame_layout(title)}
    annotations, shapes = parts["layout"]["annotations"], parts["layout"]["shapes"]
    for panel, (phase, _) in zip(_BY_SPAN, PHASES, strict=True):
        annotations.append(_add_spans(parts, panel, phase, predicted, run))
    for panel, (phase, _) in zip(_BY_SPLIT, PHASES, strict=True):
        heading, frame = _add_splits(parts, panel, phase, order, traces, chosen, unfit)
        annotations.append(heading)
        shapes.append(frame)
    shapes.append(_add_memory(parts, predicted, devices))
    annotations += [_MEMORY.heading("% of each device's"), *_add_accuracy(parts, accuracy, accuracy_note)]
    return parts


def _frame_layout(title: str) -> dict[str, Any]:
    return {
        "template": TEMPLATE,
        "height": 660,
        "title": {"text": title, "y": 0.97, "yref": "container", "font": {"size": 14}},
        "barmode": "overlay",
        "annotations": [],
        "shapes": [],
        "showlegend": False,  # the rows at the top name every colour
        "margin": {"l": 92, "r": 16, "t": 88, "b": 24},
        "uirevision": "explorer",
    }


def _plan_title(trace: RequestTrace) -> str:
    return trace.plan.partition(": ")[2] or trace.plan


def _labels(predicted: RequestTrace, run: RequestTrace | None, accuracy: Accuracy | None) -> str:
    said = f"times and memory {predicted.label}"
    if accuracy is not None:
        said += f"; accuracy {accuracy.label}, 95 % intervals"
    narrow = "" if run is None else f"narrow bars: {label_of(run)}, with the prediction's error"
    return f"{said}<br>{narrow}"


# ---- time by span


def _add_spans(
    parts: _Parts, panel: Panel, phase: str, predicted: RequestTrace, run: RequestTrace | None
) -> dict[str, object]:
    """Wide bars for the prediction; over them narrow ones for the run, with the prediction's error.

    Returns:
        The panel's heading.
    """
    both = [predicted] if run is None else [predicted, run]
    pieces = [p for p in PIECES if p.title in _ALWAYS or any(p.seconds(t, None) > 0 for t in both)]
    rows = [*(p.title for p in pieces), _TOTAL]
    values = [[*(phase_seconds(p, t, phase) for p in pieces), wait_seconds(t, phase)] for t in both]
    scale = Scale.seconds(max(map(max, values)))
    _add_predicted_spans(parts, panel, rows, values, pieces, scale)
    _add_run_spans(parts, panel, rows, values, scale, label_of(run) if run else "")
    shown = panel is _BY_SPAN[0]
    y = {"categoryorder": "array", "categoryarray": rows, "autorange": "reversed", "showticklabels": shown}
    parts["layout"] |= panel.layout(_room(values, scale), {**y, "tickfont": {"size": 12}})
    return panel.heading(scale.unit)


def _room(values: Sequence[Sequence[float]], scale: Scale) -> dict[str, object]:
    """From nought, with room for a percentage behind the longest bar."""
    longest = max(map(max, values)) / scale.divisor
    return {"range": [0, 1.25 * longest if longest > 0 else 1]}


def _add_predicted_spans(
    parts: _Parts,
    panel: Panel,
    rows: Sequence[str],
    values: Sequence[Sequence[float]],
    pieces: Sequence[Piece],
    scale: Scale,
) -> None:
    seconds = values[0]
    marker = {
        "color": [*(PALETTE[p.colour] for p in pieces), PALETTE["grey"]],
        "pattern": hatch([*(p.pattern for p in pieces), ""]),
        "opacity": 0.75,
        "line": {"width": 0},
    }
    hovers = [f"{row}: {scale.text(s)} (modelled)" for row, s in zip(rows, seconds, strict=True)]
    parts["data"].append(
        {
            "type": "bar",
            "name": "predicted",
            "orientation": "h",
            "y": list(rows),
            "x": [s / scale.divisor for s in seconds],
            "width": 0.82,
            "marker": marker,
            **_errors_behind(values, 0),
            "hovertext": hovers,
            "hoverinfo": "text",
            **panel.refs,
        }
    )


def _add_run_spans(
    parts: _Parts,
    panel: Panel,
    rows: Sequence[str],
    values: Sequence[Sequence[float]],
    scale: Scale,
    label: str,
) -> None:
    run = values[1] if len(values) > 1 else [0.0] * len(rows)
    errors = [_error(p, r) for p, r in zip(values[0], run, strict=True)]
    hovers = [
        f"{row}: {scale.text(s)} ({label})" + (f", prediction {e}" if e else "")
        for row, s, e in zip(rows, run, errors, strict=True)
    ]
    parts["data"].append(
        {
            "type": "bar",
            "name": "run for real",
            "orientation": "h",
            "y": list(rows),
            "x": [s / scale.divisor if label else None for s in run],
            "width": 0.3,
            "marker": {"color": INK, "line": {"width": 1, "color": "#ffffff"}},
            **_errors_behind(values, 1),
            "hovertext": hovers,
            "hoverinfo": "text",
            **panel.refs,
        }
    )


def _errors_behind(values: Sequence[Sequence[float]], which: int) -> dict[str, object]:
    """Each row's error behind the longer of its two bars, prediction and run, where the run's can be seen."""
    longest = max(map(max, values))
    texts = [
        _error(*row) if row[1] > _SEEN * longest and (row[1] > row[0]) == bool(which) else ""
        for row in (zip(*values, strict=True) if len(values) > 1 else ())
    ]
    return {
        "text": texts or [""] * len(values[0]),
        "textposition": "outside",
        "textfont": {"size": 12, "color": INK},
        "constraintext": "none",
        "cliponaxis": False,
    }


def _error(predicted: float, measured: float) -> str:
    return f"{(predicted - measured) / measured:+.0%}" if measured > 0 and predicted > 0 else ""


# ---- every split point


def _add_splits(
    parts: _Parts,
    panel: Panel,
    phase: str,
    order: Sequence[str],
    traces: Mapping[str, RequestTrace],
    chosen: str,
    unfit: Collection[str],
) -> tuple[dict[str, object], dict[str, object]]:
    """Stacks by `base`, because the figure's other bars lie over each other.

    Returns:
        The panel's heading, and the frame of the chosen split point.
    """
    waits = {name: wait_seconds(traces[name], phase) for name in order if name in traces}
    at = {name: i for i, name in enumerate(order) if name in waits}
    scale = Scale.seconds(max(waits.values(), default=0.0))
    spent = {name: waited_for(traces[name], phase) for name in waits}
    base = dict.fromkeys(waits, 0.0)
    for piece in (p for p in PIECES if p.title in _ALWAYS and p.title != "encode"):
        tops = {name: seconds.get(piece.title, 0.0) for name, seconds in spent.items()}
        parts["data"].append(_layer(panel, piece, at, tops, base, scale, unfit))
        base = {name: base[name] + tops[name] for name in base}
    parts["data"].append(_waits(panel, at, waits, scale, unfit))
    x = {**_ticks(order), "range": [-0.6, len(order) - 0.4], "tickangle": 0, "tickfont": {"size": 11}}
    x["title"] = {"text": "blocks on the edge", "standoff": 4}
    highest = max(waits.values(), default=0.0) / scale.divisor
    parts["layout"] |= panel.layout({**x, "showgrid": False}, {"range": [0, 1.08 * highest or 1]})
    cross = ", × does not fit" if unfit else ""
    return panel.heading(scale.unit + cross), _frame(panel, order.index(chosen))


def _ticks(order: Sequence[str]) -> dict[str, object]:
    """Both ends and a few between, so that labels stay level on a narrow panel.

    Places are numbers: a live figure that is given other categories forgets that they are no numbers.
    """
    last = len(order) - 1
    step = -(-(last - 1) // _TICKS)
    between = range(1 + step, last - 1, step) if step > 1 else range(1, last)
    shown = [0, *between, last]
    return {"tickvals": shown, "ticktext": [order[i].replace("-only", "<br>only") for i in shown]}


def _layer(
    panel: Panel,
    piece: Piece,
    at: Mapping[str, int],
    seconds: Mapping[str, float],
    base: Mapping[str, float],
    scale: Scale,
    unfit: Collection[str],
) -> dict[str, object]:
    return {
        "type": "bar",
        "name": piece.title,
        "x": list(at.values()),
        "y": [seconds[name] / scale.divisor for name in at],
        "base": [base[name] / scale.divisor for name in at],
        "width": 0.8,
        "marker": {**piece.marker, "opacity": [0.3 if name in unfit else 1.0 for name in at]},
        "hovertext": [f"{name}: {piece.title} {scale.text(seconds[name])} (modelled)" for name in at],
        "hoverinfo": "text",
        **panel.refs,
    }


def _waits(
    panel: Panel, at: Mapping[str, int], waits: Mapping[str, float], scale: Scale, unfit: Collection[str]
) -> dict[str, object]:
    return {
        "type": "scatter",
        "name": "wait",
        "mode": "markers",
        "x": list(at.values()),
        "y": [waits[name] / scale.divisor for name in at],
        "marker": {
            "symbol": ["x" if name in unfit else "line-ew-open" for name in at],
            "size": [9 if name in unfit else 12 for name in at],
            "color": INK,
            "line": {"width": 2, "color": INK},
        },
        "hovertext": [f"{name}: {scale.text(waits[name])} (modelled)" for name in at],
        "hoverinfo": "text",
        **panel.refs,
    }


def _frame(panel: Panel, at: int) -> dict[str, object]:
    return {
        "type": "rect",
        "xref": f"x{panel.axis}",
        "yref": f"y{panel.axis} domain",
        "x0": at - 0.5,
        "x1": at + 0.5,
        "y0": 0,
        "y1": 1,
        "line": {"width": 2, "dash": "dash", "color": PALETTE["vermilion"]},
    }


# ---- memory and accuracy: rows by number, a text over each


def _rows(names: Sequence[str]) -> dict[str, object]:
    ticks = [-float(i) for i in range(len(names))]
    return {"tickvals": ticks, "ticktext": list(names), "range": [-len(names) + 0.4, 0.6], "showgrid": False}


def _add_memory(
    parts: _Parts, trace: RequestTrace, devices: Mapping[str, DeviceProfile]
) -> dict[str, object]:
    """What each side holds as a share of what its device has; hatched where it does not fit.

    Returns:
        The line of the capacity.
    """
    used = [trace.memory_bytes.get(place, 0) for place in devices]
    has = [device.memory_bytes for device in devices.values()]
    shares = [100 * u / h for u, h in zip(used, has, strict=True)]
    marker = {
        "color": [PALETTE["vermilion" if s > 100 else "green"] for s in shares],
        "pattern": hatch(["x" if s > 100 else "" for s in shares]),
    }
    rows = [-float(i) for i in range(len(used))]
    texts = [_memory_text(u, h) for u, h in zip(used, has, strict=True)]
    common = {"hovertext": texts, "hoverinfo": "text", **_MEMORY.refs}
    bars = {"type": "bar", "orientation": "h", "width": 0.32, "marker": marker}
    parts["data"] += [
        {**bars, "y": [row - 0.2 for row in rows], "x": shares, **common},
        _texts(rows, 0.0, texts, common),
    ]
    reach = {"range": [0, 1.04 * max([100.0, *shares])]}
    parts["layout"] |= _MEMORY.layout(reach, _rows(list(devices)))
    return _capacity()


def _texts(
    rows: Sequence[float], x: float, texts: Sequence[str], common: Mapping[str, object]
) -> dict[str, object]:
    """A text over each row, from ``x`` on."""
    look = {"type": "scatter", "mode": "text", "textposition": "middle right"}
    return {**look, "y": [row + 0.24 for row in rows], "x": [x] * len(rows), "text": list(texts), **common}


def _capacity() -> dict[str, object]:
    line = {"width": 2, "dash": "dash", "color": PALETTE["vermilion"]}
    refs = {"xref": f"x{_MEMORY.axis}", "yref": f"y{_MEMORY.axis} domain"}
    return {"type": "line", **refs, "x0": 100, "x1": 100, "y0": 0, "y1": 1, "line": line}


def _memory_text(used: int, has: int) -> str:
    used_text, has_text = (Scale.bytes(n).text(n) for n in (used, has))
    return f"{used_text} of {has_text}" + (": does not fit" if used > has else "")


def _add_accuracy(parts: _Parts, accuracy: Accuracy | None, note: str) -> list[dict[str, object]]:
    shares = {} if accuracy is None else _shares(accuracy)
    rows = [-float(i) for i in range(len(shares))]
    texts = [f"{100 * s.value:.1f} % [{100 * s.low:.1f}, {100 * s.high:.1f}]" for s in shares.values()]
    common = {"hoverinfo": "text", **_ACCURACY.refs}
    parts["data"].append(_points(rows, shares, texts, common))
    low = _floor_of(shares)
    parts["data"].append(_texts(rows, low, texts, common))
    rows_of = _rows(list(shares) or ["", ""])
    parts["layout"] |= _ACCURACY.layout({"range": [low, 100.8]}, rows_of)
    return [_ACCURACY.heading("% right"), _note("" if shares else note)]


def _points(
    rows: Sequence[float], shares: Mapping[str, Share], texts: Sequence[str], common: Mapping[str, object]
) -> dict[str, object]:
    """Each share with its 95 % interval."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [100 * s.value for s in shares.values()],
        "y": [row - 0.2 for row in rows],
        "error_x": {
            "type": "data",
            "array": [100 * (s.high - s.value) for s in shares.values()],
            "arrayminus": [100 * (s.value - s.low) for s in shares.values()],
            "color": INK,
        },
        "marker": {"symbol": "diamond", "size": 9, "color": PALETTE["blue"]},
        "hovertext": [f"{text}, n = {s.n}" for text, s in zip(texts, shares.values(), strict=True)],
        **common,
    }


def _shares(accuracy: Accuracy) -> dict[str, Share]:
    return {"exact match": accuracy.mean_exact_match, "agreement": accuracy.agreement}


def _floor_of(shares: Mapping[str, Share]) -> float:
    """Where the axis begins: a few per cent below the lowest interval."""
    lowest = min((s.low for s in shares.values()), default=inf)
    return 0.0 if lowest == inf else max(0.0, 5.0 * floor((100 * lowest - 2) / 5))


def _note(text: str) -> dict[str, object]:
    x, y = _ACCURACY.x, _ACCURACY.y
    refs = {"xref": "paper", "yref": "paper", "showarrow": False}
    text = text.replace(": ", ":<br>", 1)
    return {"text": text, "x": sum(x) / 2, "y": sum(y) / 2, "font": {"size": 12}, **refs}
