"""Figures of requests: when what happened, predicted against measured, every split point, memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import plotly.graph_objects as go

from workbench.plots.style import (
    INK,
    PALETTE,
    PIECES,
    TEMPLATE,
    Piece,
    Scale,
    figure,
    hatch,
    label_of,
    pieces_in,
    wrapped,
)
from workbench.profiles import DeviceProfile
from workbench.trace import RequestTrace, Span

__all__ = [
    "PHASES",
    "compare",
    "memory",
    "per_split",
    "phase_seconds",
    "runs",
    "timeline",
    "wait_seconds",
    "waited_for",
]

PHASES = (("prefill", "to the first token"), ("decode", "per output token"))
_LANES = {"downlink": "down", "uplink": "up"}
_TELLING = 0.02  # a piece below this share of the longest is too short for its error to say anything


def timeline(trace: RequestTrace, *, tokens: int | None = 4) -> go.Figure:
    """When each device and the link were busy.

    Args:
        trace: a request, predicted or run.
        tokens: how many output tokens to show from the start; None shows all.
    """
    last = trace.n_tokens if tokens is None else tokens
    spans = [s for s in trace.spans if s.token < last]
    scale = Scale.seconds(max((s.end_s for s in spans), default=0.0))
    shown = f"the first {last} of {trace.n_tokens} tokens" if last < trace.n_tokens else "all tokens"
    fig = figure("Timeline of the request", f"{label_of(trace)}; {shown}", height=330)
    for piece in PIECES:
        own = [s for s in spans if s.kind == piece.kind and piece.place in ("", s.place)]
        if own:
            fig.add_trace(_lane_bars(piece, own, scale))
    for number, time_s in enumerate(trace.token_times_s[:last], start=1):
        _mark_token(fig, number, time_s / scale.divisor)
    fig.update_layout(barmode="overlay", xaxis_title=f"time since the request began ({scale.unit})")
    return fig.update_yaxes(categoryorder="array", categoryarray=["cloud", "link down", "link up", "edge"])


def _lane(span: Span) -> str:
    return f"link {_LANES[span.kind]}" if span.kind in _LANES else span.place


def _lane_bars(piece: Piece, spans: list[Span], scale: Scale) -> go.Bar:
    hovers = [
        f"{piece.title}, token {s.token + 1}<br>{scale.text(s.duration_s)} ({s.label})"
        + (f"<br>{s.n_bytes:,} B" if s.n_bytes else "")
        for s in spans
    ]
    return go.Bar(
        name=piece.title,
        orientation="h",
        y=[_lane(s) for s in spans],
        base=[s.start_s / scale.divisor for s in spans],
        x=[s.duration_s / scale.divisor for s in spans],
        marker=piece.marker,
        hovertext=hovers,
        hoverinfo="text",
    )


def _mark_token(fig: go.Figure, number: int, at: float) -> None:
    text = "first token" if number == 1 else str(number)
    line = {"dash": "dot", "width": 1.5, "color": PALETTE["grey"]}
    fig.add_vline(at, line=line, annotation={"text": text, "yanchor": "bottom", "y": 1, "xanchor": "center"})


def compare(predicted: RequestTrace, measured: RequestTrace) -> go.Figure:
    """Predicted beside measured time, by piece, with the error of the prediction in per cent.

    The last row is what the user waits for: TTFT in one panel, TPOT in the other. Pieces that overlap in
    time add up to more; the error of a piece that is hardly there is in its hover.
    """
    pieces = pieces_in([predicted, measured])
    fig = figure("Predicted and measured", f"{label_of(predicted)}  |  {label_of(measured)}", height=440)
    titles = [title for _, title in PHASES]
    fig.set_subplots(rows=1, cols=2, column_titles=titles, shared_yaxes=True, horizontal_spacing=0.08)
    for col, (phase, _) in enumerate(PHASES, start=1):
        both = (predicted, measured)
        rows = {p.title: (phase_seconds(p, both[0], phase), phase_seconds(p, both[1], phase)) for p in pieces}
        rows["total wait"] = (wait_seconds(predicted, phase), wait_seconds(measured, phase))
        _compare_panel(fig, col, rows)
    legend = {"orientation": "h", "y": -0.2, "x": 0, "yanchor": "top", "traceorder": "normal"}
    return fig.update_layout(template=TEMPLATE, barmode="group", margin_t=104, legend=legend)


def runs(kept: Mapping[str, tuple[RequestTrace, RequestTrace]]) -> go.Figure:
    """Several runs side by side: TTFT and TPOT as predicted (wide) and as run (narrow), with the error.

    Args:
        kept: predicted and run request, by name of the run, in the order to draw.
    """
    labels = sorted({label_of(run) for _, run in kept.values()})
    subtitle = f"wide bars modelled; narrow bars {'; '.join(labels) or 'run for real'}"
    fig = figure("Runs side by side", subtitle, height=170 + 48 * max(1, len(kept)))
    titles = [title for _, title in PHASES]
    fig.set_subplots(rows=1, cols=2, column_titles=titles, shared_yaxes=True, horizontal_spacing=0.08)
    for col, (phase, _) in enumerate(PHASES, start=1):
        waits = {n: (wait_seconds(p, phase), wait_seconds(r, phase)) for n, (p, r) in kept.items()}
        _runs_panel(fig, col, waits)
    legend = {"orientation": "h", "y": -0.25, "x": 0, "yanchor": "top"}
    return fig.update_layout(template=TEMPLATE, barmode="overlay", margin_t=104, legend=legend)


def _runs_panel(fig: go.Figure, col: int, waits: Mapping[str, tuple[float, float]]) -> None:
    longest = max((max(pair) for pair in waits.values()), default=0.0)
    scale = Scale.seconds(longest)
    looks = (("predicted", PALETTE["sky"], "/", 0.8), ("run", PALETTE["blue"], "", 0.35))
    for which, (name, colour, pattern, width) in enumerate(looks):
        bar = go.Bar(
            name=name,
            legendgroup=name,
            showlegend=col == 1,
            orientation="h",
            y=list(waits),
            x=[pair[which] / scale.divisor for pair in waits.values()],
            width=width,
            text=[_error(*pair) for pair in waits.values()] if which else None,
            textposition="outside",
            cliponaxis=False,
            marker={"color": colour, "pattern": hatch(pattern), "line": {"width": 1, "color": "#ffffff"}},
            hovertemplate="%{y}: %{x:.3g} " + scale.unit + f" ({name})<extra></extra>",
        )
        fig.add_trace(bar, row=1, col=col)
    reach = 1.2 * longest / scale.divisor or 1
    fig.update_xaxes(title_text=f"time ({scale.unit})", range=[0, reach], row=1, col=col)
    fig.update_yaxes(autorange="reversed", row=1, col=col)


def wait_seconds(trace: RequestTrace, phase: str) -> float:
    """What the user waits for in a phase: TTFT or TPOT."""
    return trace.ttft_s if phase == "prefill" else trace.tpot_s


def phase_seconds(piece: Piece, trace: RequestTrace, phase: str) -> float:
    """Seconds of the prefill, or mean seconds of a decoded token."""
    return piece.seconds(trace, phase) / (1 if phase == "prefill" else max(1, trace.n_tokens - 1))


def _compare_panel(fig: go.Figure, col: int, rows: Mapping[str, tuple[float, float]]) -> None:
    longest = max((max(pair) for pair in rows.values()), default=0.0)
    scale = Scale.seconds(longest)
    errors = {title: _error(*pair) for title, pair in rows.items()}
    shown = [errors[title] if max(pair) >= _TELLING * longest else "" for title, pair in rows.items()]
    looks = (("predicted", PALETTE["sky"], "/"), ("measured", PALETTE["blue"], ""))
    for which, (name, colour, pattern) in enumerate(looks):
        bar = go.Bar(
            name=name,
            legendgroup=name,
            showlegend=col == 1,
            orientation="h",
            y=list(rows),
            x=[pair[which] / scale.divisor for pair in rows.values()],
            text=shown if which else None,
            textposition="outside",
            cliponaxis=False,
            customdata=[f", error {error}" if error else "" for error in errors.values()],
            marker={"color": colour, "pattern": hatch(pattern)},
            hovertemplate="%{y}: %{x:.3g} " + scale.unit + f" ({name}%{{customdata}})<extra></extra>",
        )
        fig.add_trace(bar, row=1, col=col)
    reach = 1.15 * longest / scale.divisor
    fig.update_xaxes(title_text=f"time ({scale.unit})", range=[0, reach], row=1, col=col)
    fig.update_yaxes(autorange="reversed", row=1, col=col)


def _error(predicted: float, measured: float) -> str:
    return f"{(predicted - measured) / measured:+.0%}" if measured > 0 else ""


def per_split(
    traces: Mapping[str, RequestTrace], *, chosen: str | None = None, unfit: Collection[str] = ()
) -> go.Figure:
    """Where the time goes at every split point, to the first token and per token after it.

    Stacks are as high as the wait: where a cloud streams tokens, one is computed while others are still on
    their way, and that part of the link's time is left out.

    Args:
        traces: by split point as text, in the order to draw; cloud-only and edge-only at the ends.
        chosen: the split point to mark.
        unfit: split points whose plan does not fit a device's memory: drawn pale, with a cross.
    """
    labels = sorted({label_of(t) for t in traces.values()})
    fig = figure("Time at every split point", "; ".join(labels), height=480)
    fig.set_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.09)
    for row, (phase, title) in enumerate(PHASES, start=1):
        waits = {name: wait_seconds(t, phase) for name, t in traces.items()}
        _split_row(fig, row, traces, waits, phase, set(unfit))
        fig.update_yaxes(title_text=f"{title} ({_unit_of(waits)})", row=row, col=1)
        if chosen in traces:
            _mark_chosen(fig, row, list(traces), str(chosen))
    fig.update_layout(template=TEMPLATE, barmode="stack", bargap=0.2)
    ticks = list(traces)[:: max(1, len(traces) // 20)]
    fig.update_xaxes(type="category", categoryorder="array", categoryarray=list(traces), tickangle=0)
    fig.update_xaxes(tickvals=ticks, ticktext=[wrapped(t) for t in ticks])
    return fig.update_xaxes(title_text="blocks on the edge", row=2, col=1)


def _unit_of(seconds: Mapping[str, float]) -> str:
    return Scale.seconds(max(seconds.values(), default=0.0)).unit


def _split_row(
    fig: go.Figure,
    row: int,
    traces: Mapping[str, RequestTrace],
    waits: Mapping[str, float],
    phase: str,
    unfit: set[str],
) -> None:
    scale = Scale.seconds(max(waits.values(), default=0.0))
    waited = [waited_for(t, phase) for t in traces.values()]
    for piece in pieces_in(traces.values()):
        values = [seconds.get(piece.title, 0.0) / scale.divisor for seconds in waited]
        opacity = [0.3 if name in unfit else 1.0 for name in traces]
        bar = go.Bar(
            name=piece.title,
            legendgroup=piece.title,
            showlegend=row == 1,
            x=list(traces),
            y=values,
            marker={**piece.marker, "opacity": opacity},
            hovertemplate="%{x}: " + piece.title + " %{y:.3g} " + scale.unit + "<extra></extra>",
        )
        fig.add_trace(bar, row=row, col=1)
    fig.add_trace(_wait_marks(waits, scale, unfit, phase, row), row=row, col=1)


def waited_for(trace: RequestTrace, phase: str) -> dict[str, float]:
    """Seconds by piece's title, without the link's time that other work hides."""
    pieces = pieces_in([trace])
    seconds = {p.title: phase_seconds(p, trace, phase) for p in pieces}
    hidden = max(0.0, sum(seconds.values()) - wait_seconds(trace, phase))
    for piece in sorted((p for p in pieces if p.kind in _LANES), key=lambda p: p.kind):
        covered = min(hidden, seconds[piece.title])
        seconds[piece.title] -= covered
        hidden -= covered
    return seconds


def _wait_marks(
    waits: Mapping[str, float], scale: Scale, unfit: set[str], phase: str, row: int
) -> go.Scatter:
    """What the user waits: higher than its stack by the time in which nothing is known to happen."""
    name = "TTFT" if phase == "prefill" else "TPOT"
    return go.Scatter(
        name="what the user waits (× does not fit)" if unfit else "what the user waits",
        legendgroup="wait",
        showlegend=row == 1,
        mode="markers",
        x=list(waits),
        y=[v / scale.divisor for v in waits.values()],
        marker={
            "symbol": ["x" if n in unfit else "line-ew-open" for n in waits],
            "size": [11 if n in unfit else 22 for n in waits],
            "color": INK,
            "line": {"width": 2.5, "color": INK},
        },
        hovertemplate="%{x}: " + name + " %{y:.3g} " + scale.unit + "<extra></extra>",
    )


def _mark_chosen(fig: go.Figure, row: int, names: list[str], chosen: str) -> None:
    at = names.index(chosen)
    fig.add_vrect(
        at - 0.5,
        at + 0.5,
        row=row,
        col=1,
        line={"width": 2, "dash": "dash", "color": PALETTE["vermilion"]},
        annotation={"text": "chosen" if row == 1 else "", "yanchor": "bottom", "y": 1, "xanchor": "center"},
        annotation_position="top",
    )


def memory(trace: RequestTrace, devices: Mapping[str, DeviceProfile]) -> go.Figure:
    """What each side holds at the peak, as a share of what its device has; what does not fit is hatched.

    Args:
        trace: a request, predicted or run.
        devices: by place, as in the trace's ``memory_bytes``.
    """
    places = [p for p in trace.memory_bytes if p in devices]
    fig = figure("Memory of each side", trace.memory_label, height=130 + 55 * max(1, len(places)))
    shares = [100 * trace.memory_bytes[p] / devices[p].memory_bytes for p in places]
    over = [share > 100 for share in shares]
    marker = {
        "color": [PALETTE["vermilion" if o else "green"] for o in over],
        "pattern": hatch(["x" if o else "" for o in over]),
    }
    texts = [_memory_text(trace.memory_bytes[p], devices[p]) for p in places]
    names = [f"{p} – {devices[p].title}" for p in places]
    fig.add_trace(
        go.Bar(orientation="h", x=shares, y=names, marker=marker, text=texts, textposition="outside")
    )
    fig.add_vline(100, line={"dash": "dash", "width": 2, "color": PALETTE["vermilion"]})
    fig.update_traces(cliponaxis=False, hovertemplate="%{text}<extra></extra>")
    return fig.update_xaxes(
        title_text="share of the device's memory (%)", range=[0, max([100, *shares]) * 1.6]
    )


def _memory_text(used: int, device: DeviceProfile) -> str:
    share = used / device.memory_bytes
    fits = "" if share <= 1 else ": does not fit"
    used_text, has = (Scale.bytes(n).text(n) for n in (used, device.memory_bytes))
    return (
        f"{used_text} of {has} ({share:.2g} ×){fits}" if share > 1 else f"{used_text} of {has} ({share:.1%})"
    )
