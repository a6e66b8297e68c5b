"""Figures of links: a path over time, and how close each kind of link comes to what it is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from workbench.links.samples import LinkSample
from workbench.plots.style import INK, PALETTE, TEMPLATE, Scale

__all__ = ["fidelity", "link_series", "link_series_parts"]

_Parts = dict[str, Any]
"""``data``, a list of traces, and ``layout``, as plotly's JSON has them."""
_Span = tuple[float, float]

# ---- a path over time

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


def _asked(
    name: str, axis: str, x: list[float], y: Sequence[float | None], colour: str, dash: str
) -> _Parts:
    unit = "ms" if axis else "Mbit/s"
    return {
        "type": "scatter",
        "name": name,
        "mode": "lines",
        "x": x,
        "y": y,
        "line": {"color": colour, "width": 2, "shape": "hv", "dash": dash or "solid"},
        "hovertemplate": "%{y:.4g} " + unit + f" ({name})<extra></extra>",
        **_refs(axis),
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
        **_refs(axis),
    }


def _refs(axis: str) -> dict[str, str]:
    return {"xaxis": f"x{axis}", "yaxis": f"y{axis}"}


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
            **_log_axis([v * 1e3 for s in samples for v in (s.asked_rtt_s, s.rtt_s) if v]),
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


def _log_axis(values: Sequence[float]) -> _Parts:
    """A range of half a decade at least, with ticks at 1, 2 and 5."""
    low, high = (min(values), max(values)) if values else (10.0, 100.0)
    middle, half = math.log10(low * high) / 2, max(0.28, 0.56 * math.log10(high / low) + 0.08)
    decades = range(math.floor(middle - half), math.ceil(middle + half) + 1)
    ticks = [m * 10.0**d for d in decades for m in ((1, 2, 5) if half < 1.3 else (1,))]
    inside = [t for t in ticks if middle - half <= math.log10(t) <= middle + half]
    return {
        "range": [middle - half, middle + half],
        "tickvals": inside,
        "ticktext": [f"{t:g}" for t in inside],
    }


# ---- what each kind makes of a profile


@dataclass(frozen=True)
class _Kind:
    """How one kind of link is drawn."""

    name: str
    title: str
    colour: str
    symbol: str
    aside: float  # of a size's place, so that no marker covers another


_KINDS = (
    _Kind("netem", "netem (kernel)", "blue", "circle", -0.24),
    _Kind("proxy", "proxy (relay)", "orange", "square", 0.0),
    _Kind("simulated", "simulated (arithmetic)", "green", "diamond", 0.24),
)
_MOST_ACROSS = 3
_PANEL_PX, _ERRORS_PX, _HEAD_PX, _FOOT_PX, _GAP_PX = 170, 160, 140, 56, 62
_CHECKS = ("round trip", "rate up", "rate down")
_Case = Mapping[str, Any]


def fidelity(
    record: Mapping[str, Any], *, direction: str = "up", profiles: Sequence[str] | None = None
) -> go.Figure:
    """Transfer times over each kind of link beside what the profile asks for, and the error of its checks.

    One panel per profile: message sizes across, seconds up. Filled markers are the first message of a
    connection, open ones a message after three others; the line is half a round trip and the bits at the
    profile's rate, which but for jitter no connection beats. Below: round trip and rates found, as a
    difference from what was asked, a marker per profile.

    Args:
        record: ``host``, ``date`` and ``cases``, as `benchmarks/fidelity.py` writes them: transfers, as
            ``links.fidelity.Transfer.to_dict`` has them, and checks, as ``links.verify.Check``, with their
            profile and kind.
        direction: ``"up"``, edge to cloud, or ``"down"``.
        profiles: those to show, in order; None shows all.

    Raises:
        KeyError: the record has none of such a profile.
    """
    cases = [c for c in record["cases"] if c.get("direction") == direction]
    shown = _shown(cases, profiles)
    checks = [c for c in record["cases"] if c.get("check") in _CHECKS and c["asked"]]
    checks = [c for c in checks if c["profile"] in shown]
    grid = _Grid(len(shown), bool(checks))
    fig = go.Figure(layout={"template": TEMPLATE, "height": grid.height_px})
    for number, profile in enumerate(shown):
        own = [c for c in cases if c["profile"] == profile]
        fig.add_traces(list(_transfers(own, number)))
        fig.update_layout(_transfer_axes(grid, number, own))
    headings = [grid.heading(number, f"<b>{name}</b>") for number, name in enumerate(shown)]
    if checks:
        fig.add_traces(list(_errors(checks, len(shown))))
        fig.update_layout(_error_axes(grid, checks))
        below = "<b>Found, against what was asked</b> (a marker per profile)"
        headings.append(grid.heading(len(shown), below))
    above = {"x": 0, "y": 1 + 30 / grid.plot_px, "yanchor": "bottom"}
    legend = {"orientation": "h", **above, "font": {"size": 12}}
    margin = {"l": 60, "r": 16, "t": _HEAD_PX, "b": _FOOT_PX}
    title = {"text": _headline(record, direction)}
    return fig.update_layout(title=title, annotations=headings, legend=legend, margin=margin)


def _shown(cases: Sequence[_Case], asked: Sequence[str] | None) -> list[str]:
    known = list(dict.fromkeys(c["profile"] for c in cases))
    for name in asked or ():
        if name not in known:
            raise KeyError(f"the record has no transfers over {name!r}, but over {known}")
    return known if asked is None else list(asked)


def _headline(record: Mapping[str, Any], direction: str) -> str:
    way = {"up": "to the cloud", "down": "to the edge"}[direction]
    kinds = [k.name for k in _KINDS if any(case["kind"] == k.name for case in record["cases"])]
    sent = " and ".join(name for name in kinds if name != "simulated")
    parts = [f"{sent} measured on {_host(record['host'])}, {record['date']}"] if sent else []
    parts += ["simulated is modelled"] if "simulated" in kinds else []
    return f"A message {way}: asked and found<br><sup>{'; '.join(parts)}</sup>"


def _host(host: str | Mapping[str, Any]) -> str:
    """In a few words."""
    if isinstance(host, str):
        return host
    kernel = f"netem of Linux {host['netem kernel']}" if host.get("netem kernel", "none") != "none" else ""
    return ", ".join(filter(None, [f"{host['cpus']} processor threads", kernel]))


@dataclass(frozen=True)
class _Grid:
    """Where the panels lie: rows of profiles, and below them the errors."""

    n: int
    with_errors: bool

    @property
    def _across(self) -> int:
        return min(max(self.n, 1), _MOST_ACROSS)

    @property
    def _rows(self) -> int:
        return math.ceil(self.n / self._across)

    @property
    def plot_px(self) -> int:
        rows = self._rows * (_PANEL_PX + _GAP_PX) - _GAP_PX
        return max(1, rows + (_GAP_PX + _ERRORS_PX if self.with_errors else 0))

    @property
    def height_px(self) -> int:
        return self.plot_px + _HEAD_PX + _FOOT_PX

    def place(self, number: int) -> tuple[_Span, _Span]:
        """Where panel ``number`` lies across and up; the one after the last profile has the errors."""
        if number == self.n:
            return (0.0, 1.0), (0.0, _ERRORS_PX / self.plot_px)
        row, column = divmod(number, self._across)
        gap = 0.08  # for the ticks of all but the first
        width = (1 - (self._across - 1) * gap) / self._across
        left, top = column * (width + gap), 1 - row * (_PANEL_PX + _GAP_PX) / self.plot_px
        return (left, left + width), (max(0.0, top - _PANEL_PX / self.plot_px), top)

    def heading(self, number: int, text: str) -> _Parts:
        x, y = self.place(number)
        return {
            "text": text,
            "showarrow": False,
            "xref": "paper",
            "yref": "paper",
            "x": x[0],
            "xanchor": "left",
            "y": y[1],
            "yanchor": "bottom",
            "font": {"size": 13},
        }


def _axis(number: int) -> str:
    return "" if number == 0 else str(number + 1)


def _transfers(cases: Sequence[_Case], number: int) -> Iterator[go.Scatter]:
    sizes = sorted({case["n_bytes"] for case in cases})
    axes = _refs(_axis(number))
    asked = {case["n_bytes"]: case["asked_s"] for case in cases}
    yield go.Scatter(
        name="asked: delay and rate alone",
        legendgroup="asked",
        showlegend=number == 0,
        mode="lines",
        x=[v for i in range(len(sizes)) for v in (i - 0.42, i + 0.42, None)],
        y=[v for size in sizes for v in (asked[size], asked[size], None)],
        line={"color": INK, "width": 2},
        hovertemplate="%{y:.4g} s asked<extra></extra>",
        **axes,
    )
    for kind in [k for k in _KINDS if any(case["kind"] == k.name for case in cases)]:
        for connection in ("cold", "warm"):
            yield _kind_points(kind, connection, cases, sizes, number)


def _kind_points(
    kind: _Kind, connection: str, cases: Sequence[_Case], sizes: Sequence[int], number: int
) -> go.Scatter:
    own = [c for c in cases if c["kind"] == kind.name and c["connection"] == connection]
    return go.Scatter(
        name=f"{kind.title}, {connection}",
        legendgroup=f"{kind.name} {connection}",
        showlegend=number == 0,
        mode="markers",
        x=[sizes.index(c["n_bytes"]) + kind.aside for c in own],
        y=[c["seconds"] for c in own],
        marker={
            "color": PALETTE[kind.colour],
            "symbol": kind.symbol + ("" if connection == "cold" else "-open"),
            "size": 9,
        },
        hovertext=[_case_text(kind, c) for c in own],
        hoverinfo="text",
        **_refs(_axis(number)),
    )


def _case_text(kind: _Kind, case: _Case) -> str:
    found, asked = (Scale.seconds(s).text(s) for s in (case["seconds"], case["asked_s"]))
    over = f"{case['seconds'] / case['asked_s'] - 1:+.0%}" if case["asked_s"] else "–"
    return (
        f"{kind.title}, {case['connection']}, {_size(case['n_bytes'])}<br>{found} ({case['label']}, "
        f"{case['repeats']} times)<br>asked {asked} ({over})"
    )


def _size(n_bytes: int) -> str:
    if n_bytes and n_bytes % 1024 == 0:
        return f"{n_bytes // 1024} KiB"
    return Scale.bytes(n_bytes).text(n_bytes)


def _transfer_axes(grid: _Grid, number: int, cases: Sequence[_Case]) -> _Parts:
    x, y = grid.place(number)
    axis, sizes = _axis(number), sorted({case["n_bytes"] for case in cases})
    found = [v for case in cases for v in (case["seconds"], case["asked_s"]) if v > 0]
    seconds = _log_axis(found)
    texts = [Scale.seconds(t).text(t) for t in seconds["tickvals"]]
    return {
        f"xaxis{axis}": {
            "domain": x,
            "anchor": f"y{axis}",
            "range": [-0.5, len(sizes) - 0.5],
            "tickvals": list(range(len(sizes))),
            "ticktext": [_size(size) for size in sizes],
            "showgrid": False,
            "tickangle": 0,
            "tickfont": {"size": 11},
        },
        f"yaxis{axis}": {
            "domain": y,
            "anchor": f"x{axis}",
            "type": "log",
            **seconds,
            "ticktext": texts,
            "tickfont": {"size": 11},
        },
    }


def _errors(checks: Sequence[_Case], number: int) -> Iterator[go.Scatter]:
    for kind in _KINDS:
        own = [c for c in checks if c["kind"] == kind.name]
        yield go.Scatter(
            name=kind.title,
            showlegend=False,
            mode="markers",
            x=[_CHECKS.index(c["check"]) + place for c, place in _spread(own, kind)],
            y=[100 * (c["found"] / c["asked"] - 1) for c in own],
            marker={"color": PALETTE[kind.colour], "symbol": kind.symbol, "size": 8},
            hovertext=[_check_text(kind, c) for c in own],
            hoverinfo="text",
            **_refs(_axis(number)),
        )


def _spread(checks: Sequence[_Case], kind: _Kind) -> Iterator[tuple[_Case, float]]:
    """Each with its place beside the others of its kind."""
    profiles = list(dict.fromkeys(c["profile"] for c in checks))
    width = 0.16 / max(1, len(profiles) - 1)
    for check in checks:
        yield check, kind.aside + (profiles.index(check["profile"]) - (len(profiles) - 1) / 2) * width


def _check_text(kind: _Kind, check: _Case) -> str:
    error = f"{check['found'] / check['asked'] - 1:+.2%}"
    return (
        f"{check['profile']}, {kind.title}, {check['check']}<br>asked {check['asked']:.4g} {check['unit']}, "
        f"found {check['found']:.4g} ({error})"
    )


def _error_axes(grid: _Grid, checks: Sequence[_Case]) -> _Parts:
    (x, y), axis = grid.place(grid.n), _axis(grid.n)
    largest = max(1.0, 1.15 * max(100 * abs(c["found"] / c["asked"] - 1) for c in checks))
    return {
        f"xaxis{axis}": {
            "domain": x,
            "anchor": f"y{axis}",
            "range": [-0.5, len(_CHECKS) - 0.5],
            "tickvals": list(range(len(_CHECKS))),
            "ticktext": list(_CHECKS),
            "showgrid": False,
        },
        f"yaxis{axis}": {
            "domain": y,
            "anchor": f"x{axis}",
            "title": {"text": "error (%)"},
            "range": [-largest, largest],
            "zeroline": True,
            "zerolinecolor": INK,
        },
    }
