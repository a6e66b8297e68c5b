"""How a plan shares a model among devices in a row: blocks, messages, time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import plotly.graph_objects as go

from workbench.plan import Stage
from workbench.planner.answer import Answer, Proposal
from workbench.plots.axes import Panel
from workbench.plots.planning.look import Parts, allowed_bytes, heading_of, places_of
from workbench.plots.style import INK, PALETTE, TEMPLATE, Scale, hatch
from workbench.trace import RequestTrace

__all__ = ["chain"]

_COLUMNS = ((0.0, 0.36), (0.41, 0.56), (0.61, 0.76), (0.81, 1.0))
_FEW = {"nticks": 4, "tickangle": 0}  # ticks of a narrow panel
_ROW_PX, _FRAME_PX = 52, 190


def chain(answer: Answer, *, split: bool = False) -> go.Figure:
    """A plan along its devices: which blocks lie where, what crosses, how long each takes, what each holds.

    Rows are the places from the user's outward, with the links between them.

    Args:
        answer: of ``planner.plan`` or ``wb.decide``.
        split: show the best split, where not splitting is better.

    Raises:
        ValueError: no split keeps the limits, and one is asked for.
    """
    proposal = answer.best_split if split else answer.best
    if proposal is None:
        raise ValueError(f"no split keeps the limits: {answer.verdict}")
    figure = _Chain(proposal)
    parts: Parts = {"data": figure.data(), "layout": figure.layout()}
    return go.Figure(parts)


@dataclass(frozen=True)
class _Chain:
    """The figure of one proposal. Row 0 is on top."""

    proposal: Proposal

    @property
    def panels(self) -> tuple[Panel, ...]:
        titles = ("Blocks along the model", "First token", "Per token", "Memory")
        return tuple(
            Panel(str(i + 1) if i else "", x, (0.0, 1.0), t)
            for i, (x, t) in enumerate(zip(_COLUMNS, titles, strict=True))
        )

    @property
    def places(self) -> tuple[str, ...]:
        return self.proposal.problem.chain.places

    @property
    def rows(self) -> list[str]:
        """Places, and the links between."""
        chain = self.proposal.problem.chain
        names = [self.places[0]]
        for i, place in enumerate(self.places[1:]):
            names += [chain.link_name(i), place]
        return names

    def at(self, row: str) -> float:
        return -float(self.rows.index(row))

    # ---- traces

    def data(self) -> list[Parts]:
        bars = [self._blocks(place) for place in self.places]
        bars.append(self._messages())
        scales = self._scales()
        for panel, phase, scale in zip(self.panels[1:3], ("prefill", "decode"), scales, strict=True):
            bars.append(self._times(panel, phase, scale))
        return [*bars, self._memory(), self._memory_texts()]

    def _stages(self, place: str) -> list[Stage]:
        return [stage for stage in self.proposal.plan.partition.stages if stage.place == place]

    def _blocks(self, place: str) -> Parts:
        stages = self._stages(place)
        colour = places_of(self.proposal.problem)[place].css
        return {
            "type": "bar",
            "name": place,
            "orientation": "h",
            "y": [self.at(place)] * len(stages),
            "x": [stage.stop - stage.start for stage in stages],
            "base": [stage.start for stage in stages],
            "width": 0.74,
            "marker": {"color": colour, "line": {"width": 1, "color": "#ffffff"}},
            "hovertext": [_stage_text(stage) for stage in stages],
            "hoverinfo": "text",
            "showlegend": False,
        }

    @property
    def _n(self) -> int:
        return self.proposal.problem.model.n_blocks

    def _messages(self) -> Parts:
        """At each link that is passed, where the model is cut and what crosses."""
        points = [(row, cut, text) for row, cut, text in self._crossed()]
        return {
            "type": "scatter",
            "name": "messages",
            "mode": "markers+text",
            "x": [cut for _, cut, _ in points],
            "y": [self.at(row) for row, _, _ in points],
            "text": [text for _, _, text in points],
            "textposition": [
                "middle left" if cut > 0.55 * self._n else "middle right" for _, cut, _ in points
            ],
            "textfont": {"size": 11, "color": INK},
            "marker": {"symbol": "triangle-down", "size": 11, "color": PALETTE["orange"]},
            "hoverinfo": "skip",
            "showlegend": False,
        }

    def _crossed(self) -> list[tuple[str, int, str]]:
        plan, chain = self.proposal.plan, self.proposal.problem.chain
        stages = plan.partition.stages
        found = []
        for before, after in pairwise(stages):
            for index, _ in chain.hops(before.place, after.place):
                row = chain.link_name(index)
                found.append((row, before.stop, f"{plan.wire}, {self._bytes_a_token(row)} a token"))
        return found

    def _bytes_a_token(self, row: str) -> str:
        spans = [
            s
            for s in self.proposal.trace.spans
            if s.place == row and s.phase == "decode" and s.kind == "uplink"
        ]
        n_bytes = sum(span.n_bytes for span in spans) / max(1, self.proposal.trace.n_tokens - 1)
        return Scale.bytes(n_bytes).text(n_bytes)

    def _seconds(self, row: str, phase: str) -> float:
        """Of a place's computing with all that belongs to it, or of a link both ways."""
        trace = self.proposal.trace
        sums = trace.seconds_by(phase=phase)
        steps = 1 if phase == "prefill" else max(1, trace.n_tokens - 1)
        return sum(s for (place, _), s in sums.items() if place == row) / steps

    def _scales(self) -> list[Scale]:
        longest = [max(self._seconds(row, phase) for row in self.rows) for phase in ("prefill", "decode")]
        return [Scale.seconds(value) for value in longest]

    def _times(self, panel: Panel, phase: str, scale: Scale) -> Parts:
        seconds = [self._seconds(row, phase) for row in self.rows]
        looks = places_of(self.proposal.problem)
        return {
            "type": "bar",
            "name": panel.title,
            "orientation": "h",
            "y": [self.at(row) for row in self.rows],
            "x": [s / scale.divisor for s in seconds],
            "width": 0.6,
            "marker": {
                "color": [looks[row].css if row in looks else PALETTE["orange"] for row in self.rows],
                "pattern": hatch(["" if row in looks else "/" for row in self.rows]),
            },
            "text": [f"{s / scale.divisor:.3g}" for s in seconds],
            "textposition": "outside",
            "textfont": {"size": 11, "color": INK},
            "cliponaxis": False,
            "hoverinfo": "text",
            "showlegend": False,
            **panel.refs,
        }

    def _memory(self) -> Parts:
        problem, held = self.proposal.problem, self.proposal.trace.memory_bytes
        looks = places_of(problem)
        shares = [held.get(place, 0) / allowed_bytes(problem, place) for place in self.places]
        return {
            "type": "bar",
            "name": "memory",
            "orientation": "h",
            "y": [self.at(place) for place in self.places],
            "x": [100 * min(1.5, share) for share in shares],
            "width": 0.6,
            "marker": {
                "color": [looks[place].css for place in self.places],
                "pattern": hatch(["x" if share > 1 else "" for share in shares]),
            },
            "hoverinfo": "text",
            "showlegend": False,
            **self.panels[3].refs,
        }

    def _memory_texts(self) -> Parts:
        """Behind the bar and the line of all that there is."""
        problem, held = self.proposal.problem, self.proposal.trace.memory_bytes
        return {
            "type": "scatter",
            "name": "memory, text",
            "mode": "text",
            "x": [106 + 50 * (held.get(p, 0) > allowed_bytes(problem, p)) for p in self.places],
            "y": [self.at(place) for place in self.places],
            "text": [_used(held.get(p, 0), allowed_bytes(problem, p)) for p in self.places],
            "textposition": "middle right",
            "textfont": {"size": 11, "color": INK},
            "cliponaxis": False,
            "hoverinfo": "skip",
            "showlegend": False,
            **self.panels[3].refs,
        }

    # ---- layout

    def layout(self) -> Parts:
        blocks, *times, memory = self.panels
        rows = {"tickvals": [self.at(row) for row in self.rows], "ticktext": self._row_titles()}
        y = {**rows, "range": [0.5 - len(self.rows), 0.5], "showgrid": False}
        bare = {**y, "showticklabels": False}
        layout = blocks.layout({"range": [-0.02 * self._n, 1.02 * self._n], "title": {"text": "block"}}, y)
        longest = {
            phase: max(self._seconds(row, phase) for row in self.rows) for phase in ("prefill", "decode")
        }
        scales = self._scales()
        for panel, scale, value in zip(times, scales, longest.values(), strict=True):
            layout |= panel.layout({"range": [0, 1.5 * value / scale.divisor or 1], **_FEW}, bare)
        layout |= memory.layout({"range": [0, 330], "tickvals": [0, 100]}, bare)
        units = ("", *(scale.unit for scale in scales), "%")
        headings = [panel.heading(unit) for panel, unit in zip(self.panels, units, strict=True)]
        return {
            **layout,
            "template": TEMPLATE,
            "height": _FRAME_PX + _ROW_PX * len(self.rows),
            "title": {"text": self._title()},
            "margin": {"l": 205, "t": 104},
            "barmode": "overlay",
            "annotations": headings,
            "shapes": [self._full(memory)],
        }

    def _row_titles(self) -> list[str]:
        problem = self.proposal.problem
        titles = {place: self._place_title(place) for place in self.places}
        links = {problem.chain.link_name(i): _short(link.title) for i, link in enumerate(problem.links)}
        return [titles.get(row) or links[row] for row in self.rows]

    def _place_title(self, place: str) -> str:
        held = [_stage_text(stage) for stage in self._stages(place)] or ["nothing"]
        return "<br>".join([f"<b>{place}</b>", _short(self.proposal.problem.devices[place].title), *held])

    def _title(self) -> str:
        trace: RequestTrace = self.proposal.trace
        times = [
            f"{name} {Scale.seconds(s).text(s)}"
            for name, s in (("TTFT", trace.ttft_s), ("TPOT", trace.tpot_s))
        ]
        says = f"{self.proposal.title[0].upper()}{self.proposal.title[1:]}: {', '.join(times)}"
        return f"{says}<br><sup>{heading_of(self.proposal.problem)}</sup>"

    def _full(self, panel: Panel) -> dict[str, object]:
        refs = {
            "xref": f"x{panel.axis}",
            "yref": f"y{panel.axis} domain",
            "x0": 100,
            "x1": 100,
            "y0": 0,
            "y1": 1,
        }
        return {"type": "line", **refs, "line": {"width": 1.5, "dash": "dash", "color": PALETTE["vermilion"]}}


def _stage_text(stage: Stage) -> str:
    bits = "/".join(map(str, sorted(set(stage.widths), reverse=True))) or str(stage.bits)
    own: Sequence[str] = ["embedding"] * stage.embedding + ["head"] * stage.head
    blocks = f"blocks {stage.start}–{stage.stop - 1}" if stage.stop > stage.start else "no block"
    return f"{blocks}, {bits} bit" + (f" + {', '.join(own)}" if own else "")


def _used(n_bytes: float, has: float) -> str:
    if not n_bytes:
        return "nothing"
    return f"{Scale.bytes(n_bytes).text(n_bytes)}<br>of {Scale.bytes(has).text(has)}"


def _short(title: str) -> str:
    """Without what stands in brackets, and not too long for a row."""
    plain = title.partition(" (")[0].partition(",")[0]
    return plain if len(plain) <= 24 else plain[:23] + "…"
