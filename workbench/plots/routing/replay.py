"""A replay over time: when each request came, how it waited, where it was computed, what became of it."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go

from workbench.plan import CLOUD, EDGE
from workbench.plots.planning.look import tinted
from workbench.plots.style import INK, PALETTE, Scale, figure, hatch
from workbench.routing import Report, Served
from workbench.trace import Span

__all__ = ["MARKS", "Mark", "mark_of", "outcome_counts", "replay_timeline"]

_ROW_PX, _FRAME_PX, _TOP_PX = 17, 160, 92
_LINK = "link"
_LANES = {
    EDGE: ("on the edge", "green", ""),
    CLOUD: ("in the cloud", "blue", ""),
    _LINK: ("link", "orange", "/"),
}
_THIN = {EDGE: 0.7, CLOUD: 0.7, _LINK: 0.34}  # of a row: a transfer may overlap computing
_ON_LINK = ("uplink", "downlink")
_NEAR = 1 / 800  # spans nearer than this share of the whole are drawn as one
_LONGEST_HOVER, _LINE = 90, 96  # characters


@dataclass(frozen=True)
class Mark:
    """How an outcome is marked."""

    title: str
    colour: str
    symbol: str


MARKS = {
    "escalated": Mark("asked again in the cloud", "sky", "triangle-up"),
    "moved": Mark("moved by a bound", "purple", "diamond"),
    "queued": Mark("waited for a link", "orange", "circle"),
    "degraded": Mark("degraded: no link", "yellow", "square"),
    "refused": Mark("refused", "vermilion", "x"),
}


def mark_of(served: Served) -> str:
    """The name of what marks a request in ``MARKS``; empty where it went as routed and at once."""
    if served.outcome in MARKS:
        return served.outcome
    if served.ready_s > served.request.arrival_s:
        return "queued"
    return "escalated" if served.escalated else ""


def outcome_counts(report: Report) -> dict[str, int]:
    """How many requests went as routed, and how many each other way; none that is 0."""
    counts = Counter(mark_of(one) or "as routed" for one in report.served)
    return {name: counts[name] for name in ("as routed", *MARKS) if counts[name]}


def replay_timeline(report: Report, outages: Sequence[tuple[float, float]] = ()) -> go.Figure:
    """One row per request, in order of arrival.

    Grey is waiting: for a slot, for the link, for another request. Within a request that waited in the middle
    its spans are drawn together.

    Args:
        outages: (from, to) in seconds, shaded: no link.
    """
    served = sorted(report.served, key=lambda one: one.request.arrival_s)
    whole_s = max([one.finished_s for one in served] + [end for _, end in outages], default=0.0)
    scale = Scale.seconds(whole_s)
    height = _FRAME_PX + _ROW_PX * max(4, len(served))
    fig = figure("The replay, request by request", _heading(report), height=height)
    fig.add_trace(_waiting(served, scale))
    for lane in _LANES:
        fig.add_trace(_lane(lane, served, scale, whole_s * _NEAR))
    for name, mark in MARKS.items():
        fig.add_trace(_marks(mark, [(i, one) for i, one in enumerate(served) if mark_of(one) == name], scale))
    for begins_s, ends_s in outages:
        _shade(fig, begins_s / scale.divisor, ends_s / scale.divisor)
    names = [f"{i + 1} {one.request.truth or 'untagged'}" for i, one in enumerate(served)]
    fig.update_yaxes(range=[max(4, len(served)) - 0.4, -0.8], showgrid=False, zeroline=False)
    fig.update_yaxes(tickvals=list(range(len(served))), ticktext=names, tickfont={"size": 10})
    fig.update_xaxes(title_text=f"time since the replay began ({scale.unit})", rangemode="tozero")
    legend = {
        "orientation": "h",
        "x": 0,
        "y": 1.0,
        "yanchor": "bottom",
        "font": {"size": 11},
        "itemwidth": 30,
    }
    fig.update_layout(title={"y": 1, "yref": "container", "pad": {"t": 14}})
    return fig.update_layout(barmode="overlay", legend=legend, margin={"t": _TOP_PX})


def _heading(report: Report) -> str:
    counts = ", ".join(f"{n} {name}" for name, n in outcome_counts(report).items())
    latency = report.latency_s
    mean, p95 = (_seconds(latency[name]) if latency else "" for name in ("mean", "p95"))
    times = f"; mean latency {mean}, slowest 5 % {p95}" if latency else ""
    said = f"{report.label}; {report.n} requests: {counts or 'none'}{times}"
    return "<br>".join(textwrap.wrap(said, _LINE))


def _seconds(seconds: float) -> str:
    return Scale.seconds(seconds).text(seconds)


def _waiting(served: Sequence[Served], scale: Scale) -> go.Bar:
    """From arrival to the end: what no span covers is waiting."""
    return go.Bar(
        name="waiting",
        orientation="h",
        y=list(range(len(served))),
        base=[one.request.arrival_s / scale.divisor for one in served],
        x=[max(0.0, one.finished_s - one.request.arrival_s) / scale.divisor for one in served],
        width=0.5,
        marker={"color": tinted("grey", 0.45), "line": {"width": 0}},
        hovertext=[_told(one) for one in served],
        hoverinfo="text",
    )


def _lane(lane: str, served: Sequence[Served], scale: Scale, near_s: float) -> go.Bar:
    title, colour, pattern = _LANES[lane]
    rows = [(i, start, end) for i, one in enumerate(served) for start, end in _runs(one, lane, near_s)]
    return go.Bar(
        name=title,
        orientation="h",
        y=[i for i, *_ in rows],
        base=[start / scale.divisor for _, start, _ in rows],
        x=[(end - start) / scale.divisor for _, start, end in rows],
        width=_THIN[lane],
        marker={"color": PALETTE[colour], "line": {"width": 0}, "pattern": hatch(pattern)},
        hovertext=[_told(served[i]) for i, *_ in rows],
        hoverinfo="text",
    )


def _runs(one: Served, lane: str, near_s: float) -> Iterator[tuple[float, float]]:
    """From when to when a request kept a lane busy."""
    begun: tuple[float, float] | None = None
    for span, shift in _spans(one):
        if _lane_of(span) != lane or span.duration_s <= 0:
            continue
        start, end = span.start_s + shift, span.end_s + shift
        if begun and start - begun[1] <= near_s:
            begun = begun[0], max(begun[1], end)
            continue
        if begun:
            yield begun
        begun = start, end
    if begun:
        yield begun


def _spans(one: Served) -> Iterator[tuple[Span, float]]:
    """Each with what its times are moved by: the first trace begins, the last ends as the request does."""
    for i, trace in enumerate(one.traces):
        last = i > 0 and i == len(one.traces) - 1
        shift = one.finished_s - trace.total_s if last else one.started_s
        for span in sorted(trace.spans, key=lambda s: s.start_s):
            yield span, shift


def _lane_of(span: Span) -> str:
    if span.kind in _ON_LINK:
        return _LINK
    return span.place if span.kind != "wait" else ""


def _told(one: Served) -> str:
    text = escape(one.request.prompt[:_LONGEST_HOVER].replace("\n", " "))
    if one.refused is not None:
        return f"<b>{text}</b><br>refused: {escape(one.refused[:_LONGEST_HOVER])}"
    taken = f"taken for {one.taken}, answered by {one.module}" if one.taken else f"answered by {one.module}"
    latency, waited = _seconds(one.latency_s or 0.0), _seconds(one.queued_s)
    label = one.trace.label if one.trace else ""
    return f"<b>{text}</b><br>{escape(taken)}, {one.outcome}<br>{latency}, of that waiting {waited} ({label})"


def _marks(mark: Mark, rows: Sequence[tuple[int, Served]], scale: Scale) -> go.Scatter:
    return go.Scatter(
        name=mark.title,
        mode="markers",
        x=[max(one.finished_s, one.request.arrival_s) / scale.divisor for _, one in rows],
        y=[i for i, _ in rows],
        marker={
            "symbol": mark.symbol,
            "size": 9,
            "color": PALETTE[mark.colour],
            "line": {"width": 1, "color": INK},
        },
        hovertext=[_told(one) for _, one in rows],
        hoverinfo="text",
        showlegend=bool(rows),
        cliponaxis=False,
    )


def _shade(fig: go.Figure, start: float, end: float) -> None:
    """An outage, behind everything else."""
    box: dict[str, Any] = {"type": "rect", "x0": start, "x1": end, "y0": 0, "y1": 1, "yref": "y domain"}
    fig.add_shape(**box, layer="below", fillcolor=tinted("vermilion", 0.14), line={"width": 0})
    look = {
        "showarrow": False,
        "xanchor": "left",
        "yanchor": "bottom",
        "font": {"color": PALETTE["vermilion"]},
    }
    fig.add_annotation(x=start, y=0, yref="y domain", text="no link", **look)
