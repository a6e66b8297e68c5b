"""How predictions held: what was predicted over what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import plotly.graph_objects as go

from workbench.plots.axes import Panel, log_axis
from workbench.plots.planning.look import Parts
from workbench.plots.style import INK, PALETTE, TEMPLATE, Scale

__all__ = ["predicted_over_measured"]

_WITHIN = 0.15  # half of the band around what was measured
_COLOURS = ("blue", "orange", "green", "vermilion", "purple", "sky", "yellow", "grey")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "star", "pentagon")
_TITLES = {"ttft": "TTFT", "tpot": "TPOT"}
_PANELS = {
    "ttft": Panel("", (0.0, 0.45), (0.0, 1.0), "To the first token"),
    "tpot": Panel("2", (0.57, 1.0), (0.0, 1.0), "Per token after it"),
}
_Case = Mapping[str, Any]


def predicted_over_measured(cases: Sequence[_Case]) -> go.Figure:
    """Predicted against measured seconds of requests that ran, to the first token and per token after it.

    On the line a prediction held; dashed lines are 15 % away from it. Colours are links, shapes throttles.

    Args:
        cases: each with ``link``, ``throttle``, ``split``, ``bits``, ``wire``, ``measured_ttft_s``,
            ``predicted_ttft_s``, ``measured_tpot_s`` and ``predicted_tpot_s``.
    """
    layout: Parts = {"template": TEMPLATE, "height": 470, "title": {"text": _title(cases)}, "annotations": []}
    data: list[Parts] = []
    for which, panel in _PANELS.items():
        known = [case for case in cases if case[f"measured_{which}_s"] and case[f"predicted_{which}_s"]]
        axis = _axis(known, which)
        data += [{**trace, **panel.refs} for trace in [*_guides(axis), *_points(known, which)]]
        layout |= panel.layout(
            {**axis, "title": {"text": "measured"}}, {**axis, "title": {"text": "predicted (modelled)"}}
        )
        layout["annotations"].append(panel.heading())
    layout |= {
        "margin": {"t": 100, "l": 78},
        "legend": {"orientation": "h", "x": 0, "y": -0.17, "yanchor": "top"},
    }
    return go.Figure({"data": data, "layout": layout})


def _title(cases: Sequence[_Case]) -> str:
    told = []
    for which, name in _TITLES.items():
        errors = [abs(_error(case, which)) for case in cases if case[f"measured_{which}_s"]]
        if errors:
            told.append(f"{name} off by {median(errors):.1%} (median)")
    small = "; ".join([f"{len(cases)} requests, modelled against measured", *told])
    return f"Predicted over measured<br><sup>{small}</sup>"


def _error(case: _Case, which: str) -> float:
    return float(case[f"predicted_{which}_s"] / case[f"measured_{which}_s"] - 1)


def _axis(cases: Sequence[_Case], which: str) -> dict[str, Any]:
    values = [case[f"{how}_{which}_s"] for case in cases for how in ("measured", "predicted")]
    axis = log_axis(values)
    return {"type": "log", **axis, "ticktext": [Scale.seconds(t).text(t) for t in axis["tickvals"]]}


def _guides(axis: Mapping[str, Any]) -> Iterator[Parts]:
    """The line on which predictions hold, and the band around it."""
    low, high = (10.0**end for end in axis["range"])
    for factor, dash, width in ((1.0, "solid", 1.8), (1 + _WITHIN, "dash", 1.2), (1 - _WITHIN, "dash", 1.2)):
        yield {
            "type": "scatter",
            "name": "as measured" if factor == 1 else f"{factor - 1:+.0%}",
            "mode": "lines",
            "x": [low, high],
            "y": [low * factor, high * factor],
            "line": {"color": INK, "width": width, "dash": dash},
            "hoverinfo": "skip",
            "showlegend": False,
        }


def _points(cases: Sequence[_Case], which: str) -> Iterator[Parts]:
    """A trace for each link and throttle."""
    links, throttles = (list(dict.fromkeys(case[key] for case in cases)) for key in ("link", "throttle"))
    for i, link in enumerate(links):
        for j, throttle in enumerate(throttles):
            own = [case for case in cases if (case["link"], case["throttle"]) == (link, throttle)]
            if own:
                yield {
                    "type": "scatter",
                    "name": f"{link}, {throttle}" if len(throttles) > 1 else str(link),
                    "legendgroup": f"{link} {throttle}",
                    "mode": "markers",
                    "x": [case[f"measured_{which}_s"] for case in own],
                    "y": [case[f"predicted_{which}_s"] for case in own],
                    "marker": {
                        "size": 9,
                        "color": PALETTE[_COLOURS[i % len(_COLOURS)]],
                        "symbol": _SYMBOLS[j % len(_SYMBOLS)],
                        "line": {"width": 1, "color": "#ffffff"},
                    },
                    "hovertext": [_told(case, which) for case in own],
                    "hoverinfo": "text",
                    "showlegend": which == "ttft",
                }


def _told(case: _Case, which: str) -> str:
    measured, predicted = (case[f"{how}_{which}_s"] for how in ("measured", "predicted"))
    times = [
        f"{how} {Scale.seconds(s).text(s)}" for how, s in (("measured", measured), ("predicted", predicted))
    ]
    plan = f"split {case['split']}, {case['bits']} bit, {case['wire']}"
    said = f"{_TITLES[which]} {', '.join(times)} ({_error(case, which):+.1%})"
    return f"{case['link']}, {case['throttle']}: {plan}<br>{said}"
