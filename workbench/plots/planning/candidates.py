"""The best plan beside the best split and not splitting: where their time goes, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from workbench.planner.answer import Answer, Proposal
from workbench.planner.problem import Problem
from workbench.plots.axes import Panel
from workbench.plots.planning.look import Look, Parts, allowed_bytes, heading_of, places_of
from workbench.plots.request import PHASES, wait_seconds
from workbench.plots.style import INK, PALETTE, TEMPLATE, Scale, hatch
from workbench.trace import RequestTrace

__all__ = ["Part", "candidates", "candidates_parts", "parts_of", "spent"]

_PALE = 0.35  # opacity of what breaks a limit
_WIDEST = 2.0  # times a device's memory, beyond which a bar is cut off
_TEXT_ROOM = 1.5  # of what is all, for texts behind the longest bar


@dataclass(frozen=True)
class Part:
    """What a plan's time is spent on, and how it is drawn."""

    title: str
    colour: str
    pattern: str
    kinds: frozenset[str]  # of spans
    place: str = ""  # of spans; "" for any

    def takes(self, place: str, kind: str) -> bool:
        """Whether a span of that place and kind belongs here."""
        return kind in self.kinds and self.place in ("", place)


_OTHER = frozenset({"tokenize", "encode", "decode_wire", "sample", "stream", "wait"})
_PATTERNS = ("", ".", "|", "-")


def parts_of(problem: Problem) -> tuple[Part, ...]:
    """Computing by place, either way over the links, and the rest."""
    looks = places_of(problem)
    patterns = {
        place: _PATTERNS[i % len(_PATTERNS)]
        for i, place in enumerate([*list(looks)[:1], *list(looks)[:0:-1]])
    }
    computing = [
        Part(f"computing on {look.name}", look.colour, patterns[place], frozenset({"compute"}), place)
        for place, look in looks.items()
    ]
    links = [
        Part("uplink", "orange", "/", frozenset({"uplink"})),
        Part("downlink", "vermilion", "\\", frozenset({"downlink"})),
    ]
    return (*computing, *links, Part("encoding and the like", "grey", "", _OTHER))


def spent(trace: RequestTrace, phase: str, parts: Sequence[Part]) -> dict[str, float]:
    """Seconds of the way to the first token, or of a token after it, by part.

    Where tokens are on their way while others are computed, the link counts with what the user waits for.
    """
    steps = 1 if phase == "prefill" else max(1, trace.n_tokens - 1)
    found = dict.fromkeys((part.title for part in parts), 0.0)
    for (place, kind), seconds in trace.seconds_by(phase=phase).items():
        part = next(part for part in parts if part.takes(place, kind))
        found[part.title] += seconds / steps
    hidden = max(0.0, sum(found.values()) - wait_seconds(trace, phase))
    for title in ("downlink", "uplink"):
        covered = min(hidden, found[title])
        found[title], hidden = found[title] - covered, hidden - covered
    return found


def candidates(answer: Answer) -> go.Figure:
    """Time to the first token and per token by part, and memory of each device, a row for each plan.

    What breaks a limit is pale.

    Args:
        answer: of ``planner.plan`` or ``wb.decide``.
    """
    panels = (
        Panel("", (0.0, 0.27), (0.0, 1.0), "To the first token"),
        Panel("2", (0.33, 0.6), (0.0, 1.0), "Per token after it"),
        Panel("3", (0.66, 1.0), (0.0, 1.0), "Memory"),
    )
    parts = candidates_parts(answer, answer.problem, panels)
    rows = len(answer.plans)
    parts["layout"] |= {
        "template": TEMPLATE,
        "height": 240 + 52 * rows,
        "title": {"text": f"The plans beside each other<br><sup>{heading_of(answer.problem)}</sup>"},
        "margin": {"t": 104, "l": 128},
        "legend": {"orientation": "h", "x": 0, "y": -0.18, "yanchor": "top"},
    }
    return go.Figure(parts)


def candidates_parts(answer: Answer | None, problem: Problem, panels: tuple[Panel, Panel, Panel]) -> Parts:
    """Three panels as plain dicts: always the same traces for the same places."""
    plans = {} if answer is None else answer.plans
    layout: Parts = {"barmode": "overlay", "annotations": []}
    data: list[Parts] = []
    rows = _rows(plans)
    for panel, (phase, _) in zip(panels, PHASES, strict=False):
        bars, scale, longest = _time_bars(plans, problem, phase)
        data += [{**bar, **panel.refs, "showlegend": phase == "prefill"} for bar in bars]
        layout |= panel.layout(
            {"range": [0, 1.08 * longest or 1]}, {**rows, "showticklabels": panel is panels[0]}
        )
        layout["annotations"].append(panel.heading(scale.unit if plans else ""))
    data += [{**bar, **panels[2].refs} for bar in _memory_bars(plans, problem)]
    layout |= panels[2].layout(_memory_axis(plans, problem), {**rows, "showticklabels": False})
    layout["annotations"].append(panels[2].heading("% used"))
    layout["shapes"] = [_all_of_it(panels[2])]
    return {"data": data, "layout": layout}


def _rows(plans: Mapping[str, Proposal]) -> dict[str, object]:
    """Best on top. A plan that breaks a limit says so."""
    texts = [f"{title}<br>breaks a limit" if p.broken else title for title, p in plans.items()]
    ticks = [-float(i) for i in range(len(plans))]
    return {"tickvals": ticks, "ticktext": texts, "range": [0.4 - max(1, len(plans)), 0.6], "showgrid": False}


def _time_bars(
    plans: Mapping[str, Proposal], problem: Problem, phase: str
) -> tuple[list[Parts], Scale, float]:
    """Stacks by ``base``, because a figure's other bars may lie over each other; and the longest stack."""
    parts = parts_of(problem)
    rows = [spent(p.trace, phase, parts) for p in plans.values()]
    scale = Scale.seconds(max((sum(row.values()) for row in rows), default=0.0))
    base, bars = [0.0] * len(rows), []
    for part in parts:
        lengths = [row[part.title] / scale.divisor for row in rows]
        bars.append(_bar(part, lengths, list(base), list(plans.values()), scale))
        base = [a + b for a, b in zip(base, lengths, strict=True)]
    return bars, scale, max(base, default=0.0)


def _bar(part: Part, lengths: list[float], base: list[float], plans: list[Proposal], scale: Scale) -> Parts:
    return {
        "type": "bar",
        "name": part.title,
        "legendgroup": part.title,
        "orientation": "h",
        "y": [-float(i) for i in range(len(plans))],
        "x": lengths,
        "base": base,
        "width": 0.7,
        "marker": {
            "color": PALETTE[part.colour],
            "pattern": hatch(part.pattern),
            "opacity": [_PALE if p.broken else 1.0 for p in plans],
            "line": {"width": 0},
        },
        "hovertext": [
            f"{p.title}: {part.title} {length:.3g} {scale.unit} (modelled)<br><i>{p.plan.partition}</i>"
            for p, length in zip(plans, lengths, strict=True)
        ],
        "hoverinfo": "text",
    }


def _shares(plans: Mapping[str, Proposal], problem: Problem, place: str) -> list[float]:
    """Of what a place's device may use, as far as bars reach."""
    allowed = allowed_bytes(problem, place)
    return [100 * min(_WIDEST, _held(p, place) / allowed) for p in plans.values()]


def _memory_bars(plans: Mapping[str, Proposal], problem: Problem) -> list[Parts]:
    """A thin bar for each place within a plan's row, and what it says behind it."""
    bars, texts = [], []
    places = places_of(problem)
    height = 0.76 / len(places)
    for i, look in enumerate(places.values()):
        at = [0.38 - (i + 0.5) * height - row for row in range(len(plans))]
        bars.append(_memory_bar(plans, problem, look, at, 0.86 * height))
        texts.append(_memory_text(plans, problem, look.name, at))
    return [*bars, *texts]


def _memory_bar(
    plans: Mapping[str, Proposal], problem: Problem, look: Look, at: list[float], width: float
) -> Parts:
    over = [_held(p, look.name) > allowed_bytes(problem, look.name) for p in plans.values()]
    return {
        "type": "bar",
        "name": f"memory of {look.name}",
        "orientation": "h",
        "y": at,
        "x": _shares(plans, problem, look.name),
        "base": [0.0] * len(plans),
        "width": width,
        "marker": {"color": look.css, "pattern": hatch(["x" if o else "" for o in over])},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _memory_text(plans: Mapping[str, Proposal], problem: Problem, place: str, at: list[float]) -> Parts:
    """Behind the bar and the line of all that there is."""
    allowed = allowed_bytes(problem, place)
    return {
        "type": "scatter",
        "name": f"memory of {place}, text",
        "mode": "text",
        "x": [max(100.0, share) + 3 for share in _shares(plans, problem, place)],
        "y": at,
        "text": [_held_text(_held(p, place), allowed, place) for p in plans.values()],
        "textposition": "middle right",
        "textfont": {"size": 11, "color": INK},
        "cliponaxis": False,
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _held(proposal: Proposal, place: str) -> int:
    return proposal.trace.memory_bytes.get(place, 0)


def _held_text(n_bytes: float, allowed: float, place: str) -> str:
    if not n_bytes:
        return f"{place}: –"
    scale = Scale.bytes(allowed)
    times = f" ({n_bytes / allowed:.2g} ×)" if n_bytes > allowed else ""
    return f"{place}: {n_bytes / scale.divisor:.3g} of {scale.text(allowed)}{times}"


def _memory_axis(plans: Mapping[str, Proposal], problem: Problem) -> dict[str, object]:
    widest = max(
        (share for place in problem.devices for share in _shares(plans, problem, place)), default=0.0
    )
    ticks = [0, 50, 100, *([150, 200] if widest > 100 else [])]
    return {
        "range": [0, max(100.0, widest) + 100 * _TEXT_ROOM],
        "tickvals": ticks,
        "ticktext": [str(t) for t in ticks],
    }


def _all_of_it(panel: Panel) -> dict[str, object]:
    refs = {"xref": f"x{panel.axis}", "yref": f"y{panel.axis} domain"}
    line = {"width": 2, "dash": "dash", "color": PALETTE["vermilion"]}
    return {"type": "line", **refs, "x0": 100, "x1": 100, "y0": 0, "y1": 1, "line": line}
