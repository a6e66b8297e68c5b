"""A path over time: what is asked of it, and what it does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go

from workbench.links.samples import LinkSample
from workbench.plots.axes import axis_refs, log_axis
from workbench.plots.style import INK, PALETTE, TEMPLATE

__all__ = ["link_series", "link_series_parts"]

_Parts = dict[str, Any]
"""``data``, a list of traces, and ``layout``, as plotly's JSON has them."""
_Span = tuple[float, float]

_WINDOW_S = 60.0
_SHORTEST_S = 15.0  # of the axis, while little has been seen
_RATES, _TRIPS = (0.46, 1.0), (0.0, 0.32)  # rows of the figure
_NAMED_SHARE = 0.06  # of the axis: an outage that is narrower has no room for its name
_DOWN, _UP, _TRIP = PALETTE["blue"], PALETTE["vermilion"], PALETTE["green"]
_OUTAGE = "rgba(128,128,128,0.20)"
_HEIGHT = 540


def link_series(samples: Sequence[LinkSample], *, title: str = "A link over time") -> go.Figure:
    """The last minute of a path: what is found each way over what is asked for, and round trips.

    Lines are what is asked for, points what was found; outages are shaded. A round trip that an outage held
    up is drawn when it came back.

    Args:
        samples: of one watch, in order of time; none gives empty axes.
    """
    return go.Figure(link_series_parts(samples, title=title))


def link_series_parts(samples: Sequence[LinkSample], *, title: str = "A link over time") -> _Parts:
    """The same as plain dicts, for a live figure: traces and axes are always the same."""
    end_s = max(_SHORTEST_S, samples[-1].t_s if samples else 0.0)
    shown = [s for s in samples if s.t_s >= end_s - _WINDOW_S]
    start_s = max(0.0, end_s - _WINDOW_S)
    found = _found_word(shown)
    times = [s.t_s for s in shown]
    data = [
        _asked("down, asked", "", times, [_rate(s.asked_down_bps, s.down_outage) for s in shown], _DOWN, ""),
        _asked("up, asked", "", times, [_rate(s.asked_up_bps, s.up_outage) for s in shown], _UP, "dash"),
        _asked("round trip, asked", "2", times, _milli(_trip(s) for s in shown), _TRIP, ""),
        _found(f"down, {found}", "", times, _mega(s.down_bps for s in shown), _DOWN, "circle"),
        _found(f"up, {found}", "", times, _mega(s.up_bps for s in shown), _UP, "diamond-open"),
        _found(f"round trip, {found}", "2", times, _milli(s.rtt_s for s in shown), _TRIP, "x"),
    ]
    return {"data": data, "layout": _series_layout(shown, (start_s, end_s), title, found)}


def _found_word(samples: Sequence[LinkSample]) -> str:
    return samples[-1].label if samples else "measured"


def _rate(asked_bps: float, is_outage: bool) -> float:
    return 0.0 if is_outage else asked_bps / 1e6


def _trip(sample: LinkSample) -> float | None:
    return None if sample.up_outage or sample.down_outage else sample.asked_rtt_s


def _mega(values: Iterator[float | None]) -> list[float | None]:
    return [None if v is None else v / 1e6 for v in values]


def _milli(values: Iterator[float | None]) -> list[float | None]:
    return [None if v is None else v * 1e3 for v in values]


def _asked(name: str, axis: str, x: list[float], y: Sequence[float | None], colour: str, dash: str) -> _Parts:
    unit = "ms" if axis else "Mbit/s"
    return {
        "type": "scatter",
        "name": name,
        "mode": "lines",
        "x": x,
        "y": y,
        "line": {"color": colour, "width": 2, "shape": "hv", "dash": dash or "solid"},
        "hovertemplate": "%{y:.4g} " + unit + f" ({name})<extra></extra>",
        **axis_refs(axis),
    }


def _found(
    name: str, axis: str, x: list[float], y: Sequence[float | None], colour: str, symbol: str
) -> _Parts:
    unit = "ms" if axis else "Mbit/s"
    return {
        "type": "scatter",
        "name": name,
        "mode": "markers",
        "x": x,
        "y": y,
        "marker": {"color": colour, "size": 6, "symbol": symbol},
        "hovertemplate": "%{y:.4g} " + unit + f" ({name})<extra></extra>",
        **axis_refs(axis),
    }


def _series_layout(samples: Sequence[LinkSample], window: _Span, title: str, found: str) -> _Parts:
    largest = max((max(_rates_of(s)) for s in samples), default=1e7) / 1e6
    across = {"range": list(window), "showgrid": True, "automargin": False}
    outages = list(_outages(samples))
    narrow_s = _NAMED_SHARE * (window[1] - window[0])
    return {
        "template": TEMPLATE,
        "title": {
            "text": f"{title}<br><sup>lines: asked for; points: {found}; shaded: outage</sup>",
            "yref": "container",
            "y": 0.965,
        },
        "height": _HEIGHT,
        "margin": {"l": 64, "r": 16, "t": 118, "b": 52},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.03,
            "yanchor": "bottom",
            "font": {"size": 12},
            "entrywidthmode": "fraction",
            "entrywidth": 0.33,  # three in a row: what is asked above what was found
        },
        "hovermode": "closest",
        "xaxis": {**across, "domain": [0, 1], "anchor": "y", "showticklabels": False},
        "yaxis": {
            "domain": list(_RATES),
            "anchor": "x",
            "title": {"text": "Mbit/s"},
            "range": [-0.03 * largest, 1.08 * largest],
        },
        "xaxis2": {
            **across,
            "domain": [0, 1],
            "anchor": "y2",
            "title": {"text": "time since the link was started (s)"},
        },
        "yaxis2": {
            "domain": list(_TRIPS),
            "anchor": "x2",
            "title": {"text": "round trip (ms)"},
            "type": "log",
            **log_axis([v * 1e3 for s in samples for v in (s.asked_rtt_s, s.rtt_s) if v]),
        },
        "shapes": [shape for outage in outages for shape in _shades(outage)],
        "annotations": [_outage_name(o) for o in outages if o[1] - o[0] > narrow_s],
    }


def _rates_of(sample: LinkSample) -> tuple[float, ...]:
    return (sample.asked_down_bps, sample.asked_up_bps, sample.down_bps or 0.0, sample.up_bps or 0.0)


def _outages(samples: Sequence[LinkSample]) -> Iterator[_Span]:
    """From when to when nothing is to get through in some direction."""
    began_s: float | None = None
    for sample in samples:
        out = sample.up_outage or sample.down_outage
        if out and began_s is None:
            began_s = sample.t_s
        elif not out and began_s is not None:
            yield began_s, sample.t_s
            began_s = None
    if began_s is not None:
        yield began_s, samples[-1].t_s


def _shades(outage: _Span) -> Iterator[_Parts]:
    for axis in ("", "2"):
        yield {
            "type": "rect",
            "xref": f"x{axis}",
            "yref": f"y{axis} domain",
            "x0": outage[0],
            "x1": outage[1],
            "y0": 0,
            "y1": 1,
            "layer": "below",
            "line": {"width": 0},
            "fillcolor": _OUTAGE,
        }


def _outage_name(outage: _Span) -> _Parts:
    return {
        "text": "outage",
        "showarrow": False,
        "xref": "x",
        "yref": "y domain",
        "x": sum(outage) / 2,
        "y": 0.5,
        "textangle": -90,
        "font": {"size": 12, "color": INK},
    }
