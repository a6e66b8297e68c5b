"""A plan as a picture: what of each feature's model lies on the edge, what in the cloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from workbench.plan import CLOUD, DEFAULT_FEATURE, EDGE, QUEUE, Placement, Plan, Stage
from workbench.plots.axes import Panel
from workbench.plots.planning.look import Parts
from workbench.plots.style import INK, PALETTE, TEMPLATE, hatch

__all__ = ["plan_picture", "plan_picture_parts"]

_WHOLE = Panel("", (0.0, 1.0), (0.0, 1.0), "Where features run")
_ROW_PX, _FRAME_PX, _BELOW_PX = 30, 170, 92
_GAP = 0.26  # between both columns, as a share of one
_TAIL = 1.05  # room for texts to the right, likewise
_SHADE = "rgba(128,128,128,0.13)"
_COLOURS = {EDGE: "green", CLOUD: "blue"}


def plan_picture(plan: Plan) -> go.Figure:
    """Features in rows: blocks on the edge and in the cloud, exits, adapters, what crosses, and offline.

    A bar is as long as its blocks are many; a feature's pale ground is the whole of the plan's largest model.
    """
    parts = plan_picture_parts(plan, _WHOLE)
    bounds = "; ".join(map(str, plan.bounds))
    small = f"{plan.model}, {len(plan.features)} placements" + (f"; bound: {bounds}" if bounds else "")
    fig = go.Figure(parts["data"], layout=parts["layout"])
    return fig.update_layout(
        template=TEMPLATE,
        height=_FRAME_PX + _ROW_PX * len(plan.features),
        title={"text": f"Where features run<br><sup>{small}</sup>"},
        barmode="overlay",
        margin={"b": _BELOW_PX},
        legend={"orientation": "h", "x": 0, "y": -48 / (_ROW_PX * len(plan.features)), "yanchor": "top"},
    )


def plan_picture_parts(plan: Plan, panel: Panel) -> Parts:
    """The same as plain dicts, always in the same traces; bars lie over one another."""
    drawn = _Drawn(plan, panel)
    names = list(dict.fromkeys((DEFAULT_FEATURE, *plan.features)))
    notes = [note for i, name in enumerate(names) for note in drawn.notes(i, name)]
    across = {
        "range": [-0.02 * drawn.n, drawn.end],
        "tickvals": drawn.ticks,
        "ticktext": drawn.tick_texts,
        "title": {"text": "blocks, from the first to the last"},
        "showgrid": False,
        "zeroline": False,
    }
    up = {
        "range": [len(names) - 0.5, -0.5],
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "showgrid": False,
        "zeroline": False,
    }
    data = [drawn.ground(len(names)), *(drawn.bars(names, place) for place in (EDGE, CLOUD))]
    data += [drawn.crossings(names), drawn.exits(names)]
    heads = [drawn.head(0.0, "on the edge", EDGE), drawn.head(drawn.cloud, "in the cloud", CLOUD)]
    heads.append(drawn.head(drawn.after, "with no link", ""))
    return {"data": data, "layout": {**panel.layout(across, up), "annotations": [*heads, *notes]}}


@dataclass(frozen=True)
class _Drawn:
    """Two columns of blocks, the edge's and the cloud's."""

    plan: Plan
    panel: Panel

    @property
    def n(self) -> int:
        """Blocks of the largest model."""
        return max(p.partition.n_blocks for p in self.plan.features.values())

    @property
    def cloud(self) -> float:
        """Where the cloud's column begins."""
        return self.n * (1 + _GAP)

    @property
    def after(self) -> float:
        """Where it has ended and texts begin."""
        return self.cloud + self.n * 1.06

    @property
    def end(self) -> float:
        return self.cloud + self.n * (1 + _TAIL * 0.62)

    @property
    def ticks(self) -> list[float]:
        step = max(1, self.n // 4)
        marks = list(range(0, self.n + 1, step))
        return [*map(float, marks), *(self.cloud + mark for mark in marks)]

    @property
    def tick_texts(self) -> list[str]:
        half = [f"{tick:g}" for tick in self.ticks[: len(self.ticks) // 2]]
        return [*half, *half]

    def x(self, place: str, block: float) -> float:
        return block + (0.0 if place == EDGE else self.cloud)

    def ground(self, rows: int) -> dict[str, Any]:
        at = [row for row in range(rows) for _ in (EDGE, CLOUD)]
        base = [start for _ in range(rows) for start in (0.0, self.cloud)]
        marker = {"color": _SHADE, "line": {"width": 0}}
        return self._bar("ground", at, base, [self.n] * len(at), marker, [""] * len(at), shown=False)

    def bars(self, names: list[str], place: str) -> dict[str, Any]:
        """The blocks of one place; those with an adapter are hatched."""
        rows = [
            (i, stage, self.plan.features[name])
            for i, name in enumerate(names)
            for stage in self.plan.features[name].partition.on(place)
        ]
        marker = {
            "color": PALETTE[_COLOURS[place]],
            "line": {"width": 0},
            "pattern": hatch(["/" if placement.adapter else "" for _, _, placement in rows]),
        }
        base = [self.x(place, stage.start) for _, stage, _ in rows]
        hovers = [self._told(names[i], stage, placement) for i, stage, placement in rows]
        title = "blocks on the edge" if place == EDGE else "blocks in the cloud"
        return self._bar(title, [i for i, *_ in rows], base, [s.n_blocks for _, s, _ in rows], marker, hovers)

    def _bar(
        self,
        name: str,
        rows: list[int],
        base: list[float],
        lengths: list[int],
        marker: dict[str, Any],
        hovers: list[str],
        *,
        shown: bool = True,
    ) -> dict[str, Any]:
        return {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": rows,
            "base": base,
            "x": lengths,
            "width": [0.62] * len(rows),
            "marker": marker,
            "hovertext": hovers,
            "hoverinfo": "text" if shown else "skip",
            "textposition": "none",
            "showlegend": shown,
            **self.panel.refs,
        }

    def _told(self, name: str, stage: Stage, placement: Placement) -> str:
        model = self.plan.model_of(name)
        tuned = f" + {placement.adapter}" if placement.adapter else ""
        return f"<b>{name}</b><br>{model}{tuned}<br>{stage}"

    def crossings(self, names: list[str]) -> dict[str, Any]:
        """Where a boundary activation crosses the link, or a prompt and its tokens do."""
        x: list[float | None] = []
        y: list[float | None] = []
        for i, name in enumerate(names):
            partition = self.plan.features[name].partition
            for at in partition.split_points:
                x += [self.x(EDGE, at), self.x(CLOUD, at), None]
                y += [i, i, None]
            if partition.places == (CLOUD,):
                x += [self.n + 0.1 * self.n * _GAP, self.cloud, None]
                y += [i, i, None]
        line = {"color": PALETTE["orange"], "width": 2.5, "dash": "dot"}
        return self._points("over the link", x, y, {"mode": "lines", "line": line})

    def exits(self, names: list[str]) -> dict[str, Any]:
        """Where a model is left early: no block of it lies behind."""
        rows = [(i, self.plan.features[name]) for i, name in enumerate(names)]
        early = [(i, p) for i, p in rows if p.partition.n_blocks < self.n]
        x: list[float | None] = [self.x(p.partition.stages[-1].place, p.partition.n_blocks) for _, p in early]
        marker = {"symbol": "triangle-left", "size": 11, "color": PALETTE["vermilion"]}
        look = {"mode": "markers", "marker": marker}
        return self._points("left early (exit)", x, [float(i) for i, _ in early], look)

    def _points(
        self, name: str, x: list[float | None], y: list[float | None], look: dict[str, Any]
    ) -> dict[str, Any]:
        shown = {"hoverinfo": "name", "showlegend": bool(x), "cliponaxis": False}
        return {"type": "scatter", "name": name, "x": x, "y": y, **look, **shown, **self.panel.refs}

    def notes(self, row: int, name: str) -> list[dict[str, Any]]:
        """The module's name where there is room, the codec over the link, what happens offline."""
        placement = self.plan.features[name]
        found = [self._note(self.after, row, self._offline(name), INK)]
        if placement.partition.split_points:
            middle = self.n + self.n * _GAP / 2
            found.append(self._note(middle, row - 0.3, placement.wire, PALETTE["orange"], "center", 10))
        if (module := self._module(name)) and placement.place is not None:
            last = placement.partition.stages[-1]
            is_full = last.n_blocks > 0.75 * self.n  # then there is room in the other column
            other = CLOUD if last.place == EDGE else EDGE
            at = self.x(other, 0.15) if is_full else self.x(last.place, last.stop + 0.06 * self.n)
            found.append(self._note(at, row, module, INK, size=11))
        return found

    def _module(self, name: str) -> str:
        placement, bits = (
            self.plan.features[name],
            {s.bits for s in self.plan.features[name].partition.stages},
        )
        tuned = "" if placement.adapter is None else f" + {placement.adapter}"
        width = "" if bits == {16} else f", {'/'.join(map(str, sorted(bits)))} bit"
        return f"{self.plan.model_of(name)}{tuned}{width}"

    def _offline(self, name: str) -> str:
        placement, bound = self.plan.features[name], self.plan.bound_of(name)
        if placement.is_local:
            text = "goes on"
        else:
            text = {None: "refused", QUEUE: "waits"}.get(placement.fallback, f"→ {placement.fallback}")
        return text + (f" · bound: {bound.place}" if bound else "")

    def _note(
        self, x: float, row: float, text: str, colour: str, side: str = "left", size: int = 12
    ) -> dict[str, Any]:
        font = {"color": colour, "size": size}
        refs = {"xref": f"x{self.panel.axis}", "yref": f"y{self.panel.axis}"}
        look = {"showarrow": False, "xanchor": side, "yanchor": "middle", "font": font}
        return {"x": x, "y": row, "text": text, **refs, **look}

    def head(self, x: float, text: str, place: str) -> dict[str, Any]:
        """Over a column."""
        colour = PALETTE[_COLOURS[place]] if place else INK
        refs = {"xref": f"x{self.panel.axis}", "yref": "paper"}
        look = {
            "showarrow": False,
            "xanchor": "left",
            "yanchor": "bottom",
            "font": {"color": colour, "size": 12},
        }
        return {"x": x, "y": self.panel.y[1], "text": f"<b>{text}</b>", **refs, **look}
