"""How close each kind of link comes to what it is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from workbench.plots.axes import axis_refs, log_axis
from workbench.plots.style import INK, PALETTE, TEMPLATE, Scale

__all__ = ["fidelity"]

_Parts = dict[str, Any]
_Span = tuple[float, float]


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
    connection, open ones a message after two others; the line is half a round trip and the bits at the
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
    axes = axis_refs(_axis(number))
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
        **axis_refs(_axis(number)),
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
    seconds = log_axis(found)
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
            **axis_refs(_axis(number)),
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
