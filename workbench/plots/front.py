"""The front of a study: every plan by two of its numbers, the best joined by steps, the baselines named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from workbench.planner.pareto import non_dominated
from workbench.plots.style import INK, PALETTE, SEQUENTIAL, Scale, figure
from workbench.records import BASELINES, OBJECTIVES, Objective, TrialRecord

__all__ = [
    "View",
    "edge_blocks",
    "front",
    "front_subtitle",
    "front_traces",
    "other_front",
    "ring",
    "usual_axes",
]

_WIRE_SYMBOLS: Mapping[str | None, str] = {
    "fp32": "hexagon",
    "bf16": "pentagon",
    "fp16": "circle",
    "int8": "square",
    "int4": "diamond",
    None: "star",
}
_BASELINE_LOOKS = {
    "edge-only": ("triangle-up", "orange", "top"),
    "cloud-only": ("triangle-down", "blue", "bottom"),
}
_LOG_FROM = 10  # times between the smallest and the largest value
_BLOCKS = "edge_blocks"


def edge_blocks(record: TrialRecord) -> int:
    """How many blocks a plan puts on the edge."""
    return sum(stage.n_blocks for stage in record.plan.partition.on("edge"))


def usual_axes(goals: Sequence[Objective]) -> tuple[str, str, str]:
    """What is drawn across, up and as colour: the goals in order.

    One goal alone is drawn against memory, or latency where it is memory; without a third, the colour is the
    number of blocks on the edge.
    """
    x, *others = [goal.name for goal in goals]
    y = others[0] if others else "latency" if x == "memory" else "memory"
    return x, y, others[1] if len(others) > 1 else _BLOCKS


@dataclass(frozen=True)
class View:
    """Two objectives as axes and a number as colour, each in a unit that keeps its numbers readable."""

    across: Objective
    up: Objective
    colour: str  # "edge_blocks" or an objective's name
    shown: tuple[TrialRecord, ...]  # the plans to draw
    beside: tuple[TrialRecord, ...]  # of other studies, which the axes have to hold too
    scales: Mapping[str, Scale]  # by objective

    @classmethod
    def of(
        cls, records: Sequence[TrialRecord], x: str, y: str, colour: str, beside: Sequence[TrialRecord] = ()
    ) -> View:
        """A view that holds those of the records that have both numbers.

        Raises:
            KeyError: no objective is called so.
        """
        drawn = [r for r in records if r.state == "complete" or (r.baseline and r.state == "infeasible")]
        shown, other = (tuple(r for r in s if {x, y} <= set(r.values)) for s in (drawn, beside))
        named = [OBJECTIVES[name] for name in (x, y, *([] if colour == _BLOCKS else [colour]))]
        scales = {objective.name: _scale([*shown, *other], objective) for objective in named}
        return cls(OBJECTIVES[x], OBJECTIVES[y], colour, shown, other, scales)

    def holds(self, record: TrialRecord) -> bool:
        """Whether a record has both numbers."""
        return {self.across.name, self.up.name} <= set(record.values)

    def point(self, record: TrialRecord) -> tuple[float, float]:
        """Where a record is drawn."""
        x, y = (record.values[o.name] / self.scales[o.name].divisor for o in (self.across, self.up))
        return x, y

    def steps(self, best: Sequence[TrialRecord]) -> list[tuple[float, float]]:
        """Those of a front's plans, from left to right, that are on the front of these two objectives.

        A front of three objectives goes back and forth in any two of them.
        """
        signs = [1 if o.direction == "minimize" else -1 for o in (self.across, self.up)]
        points = [self.point(record) for record in best if self.holds(record)]
        return sorted(points[i] for i in non_dominated([(x * signs[0], y * signs[1]) for x, y in points]))

    @property
    def shape(self) -> str:
        """Of the line: steps, because nothing between two plans of a front has been shown to exist."""
        return "hv" if self.across.direction == "minimize" else "vh"

    def shade(self, record: TrialRecord) -> float:
        """The number behind a record's colour."""
        if self.colour == _BLOCKS:
            return edge_blocks(record)
        third = OBJECTIVES[self.colour]
        return record.values.get(third.name, float("nan")) / self.scales[third.name].divisor

    @property
    def colour_title(self) -> str:
        """What the colour means, with its unit and label."""
        if self.colour == _BLOCKS:
            return "blocks on the edge"
        third = OBJECTIVES[self.colour]
        return f"{third.title} ({self.scales[third.name].unit}, {third.label})"

    @property
    def axes(self) -> tuple[dict[str, object], dict[str, object]]:
        """Title and kind of the horizontal and of the vertical axis."""
        return self._axis(self.across), self._axis(self.up)

    def _axis(self, objective: Objective) -> dict[str, object]:
        better = "↓" if objective.direction == "minimize" else "↑"
        text = f"{objective.title} ({self.scales[objective.name].unit}, {better} is better)"
        return {"title": {"text": text}, **self._spread(objective)}

    def _spread(self, objective: Objective) -> dict[str, object]:
        """Logarithmic where the largest value would otherwise press all others into a corner."""
        values = [record.values[objective.name] for record in (*self.shown, *self.beside)]
        far = bool(values) and min(values) > 0 and max(values) / min(values) > _LOG_FROM
        return {"type": "log", "dtick": "D2"} if far else {"type": "linear", "dtick": None}

    def hover(self, record: TrialRecord) -> str:
        """The plan and its numbers, each with its interval and label."""
        third = [OBJECTIVES[self.colour]] if self.colour in record.values else []
        lines = [f"<b>{record.title}</b>", f"trial {record.number}"]
        lines += [_number(record, objective) for objective in (self.across, self.up, *third)]
        return "<br>".join([*lines, *filter(None, [record.obstacle])])


def _scale(records: Sequence[TrialRecord], objective: Objective) -> Scale:
    known = [abs(r.values[objective.name]) for r in records if objective.name in r.values]
    return Scale.of(objective.unit, max(known, default=1.0))


def _number(record: TrialRecord, objective: Objective) -> str:
    value, interval = record.values[objective.name], record.intervals.get(objective.name)
    between = f" [{interval[0]:.3g}, {interval[1]:.3g}]" if interval else ""
    text = Scale.of(objective.unit, abs(value)).text(value)
    return f"{objective.title}: {text}{between} ({objective.label})"


def front(
    records: Sequence[TrialRecord],
    best: Sequence[TrialRecord],
    *,
    x: str = "latency",
    y: str = "accuracy",
    colour: str = _BLOCKS,
) -> go.Figure:
    """All plans tried, the front among them joined by steps, and the baselines by name.

    Shapes are wire codecs; colours the number of blocks on the edge, or a third objective.

    Args:
        records: what a study tried; what has not both numbers is counted in the subtitle, not drawn.
        best: the records on the front.
        x: objective of the horizontal axis, by name.
        y: objective of the vertical axis, by name.
        colour: ``"edge_blocks"`` or a third objective's name.

    Raises:
        KeyError: no objective is called so.
    """
    view = View.of(records, x, y, colour)
    title = f"{view.up.title} against {view.across.title.lower()}"
    fig = figure(title, front_subtitle(records, view), height=500)
    fig.add_traces(front_traces(best, view))
    bar = {"title": {"text": view.colour_title.replace("blocks on ", "blocks on<br>").replace(" (", "<br>(")}}
    fig.update_layout(coloraxis={"colorscale": SEQUENTIAL, "colorbar": bar})
    across, up = view.axes
    fig.update_layout(xaxis=across, yaxis=up, legend={"orientation": "h", "y": -0.2, "x": 0})
    return fig


def front_subtitle(records: Sequence[TrialRecord], view: View) -> str:
    """How many plans there are, and where both axes' numbers come from."""
    n_drawn = sum(record.state == "complete" for record in view.shown)
    obstacles = Counter(record.obstacle for record in records if record.obstacle)
    counts = ", ".join([f"{n_drawn} plans", *(f"{n} × {obstacle}" for obstacle, n in obstacles.items())])
    across, up = view.across, view.up
    return f"{counts}; {across.title.lower()} is {across.label}, {up.title.lower()} is {up.label}"


def front_traces(best: Sequence[TrialRecord], view: View) -> list[go.Scatter]:
    """What a front consists of: the same traces in the same order whatever has been tried."""
    tried = {wire: [r for r in view.shown if not r.baseline and r.wire == wire] for wire in _WIRE_SYMBOLS}
    front_numbers = {record.number for record in best}
    points, line = view.steps(best), {"dash": "dash", "width": 2, "color": PALETTE["vermilion"]}
    return [
        *(_symbol_key(wire, bool(own)) for wire, own in tried.items()),
        *(_trials(wire, own, front_numbers, view) for wire, own in tried.items()),
        _step_line("front", points, view, line),
        *(_baseline(role, view) for role in BASELINES),
    ]


def _symbol_key(wire: str | None, used: bool) -> go.Scatter:
    """A legend entry of its own: one that takes its colour from an axis is invisible on a dark ground."""
    return go.Scatter(
        name=f"wire {wire}" if wire else "unsplit",
        legendgroup=str(wire),
        showlegend=used,
        mode="markers",
        x=[None],
        y=[None],
        marker={"symbol": _WIRE_SYMBOLS[wire], "size": 9, "color": INK},
    )


def _trials(wire: str | None, own: Sequence[TrialRecord], best: set[int], view: View) -> go.Scatter:
    points = [view.point(record) for record in own]
    on_front = [record.number in best for record in own]
    return go.Scatter(
        legendgroup=str(wire),
        showlegend=False,
        mode="markers",
        x=[x for x, _ in points],
        y=[y for _, y in points],
        marker={
            "symbol": _WIRE_SYMBOLS[wire],
            "size": [13 if b else 8 for b in on_front],
            "opacity": [1.0 if b else 0.55 for b in on_front],
            "line": {"width": [2 if b else 0.5 for b in on_front], "color": INK},
            "color": [view.shade(record) for record in own],
            "coloraxis": "coloraxis",
        },
        **_told(own, view),
    )


def _told(records: Sequence[TrialRecord], view: View) -> dict[str, object]:
    """What a marker says when it is clicked and when the pointer is over it."""
    return {
        "customdata": [[record.number] for record in records],
        "hovertext": [view.hover(record) for record in records],
        "hoverinfo": "text",
    }


def _step_line(
    name: str, points: Sequence[tuple[float, float]], view: View, line: Mapping[str, object]
) -> go.Scatter:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return go.Scatter(
        name=name, mode="lines", x=xs, y=ys, line={"shape": view.shape, **line}, hoverinfo="skip"
    )


def _baseline(role: str, view: View) -> go.Scatter:
    """Open where it does not fit or breaks a limit."""
    own = [record for record in view.shown if record.baseline and record.role == role]
    points = [view.point(record) for record in own]
    symbol, colour, side = _BASELINE_LOOKS[role]
    obstacles = [record.obstacle for record in own]
    return go.Scatter(
        name=f"{role} (baseline)",
        mode="markers+text",
        x=[x for x, _ in points],
        y=[y for _, y in points],
        text=[", ".join(filter(None, [role, obstacle])) for obstacle in obstacles],
        textposition=f"{side} center",
        cliponaxis=False,
        marker={
            "symbol": [f"{symbol}-open" if obstacle else symbol for obstacle in obstacles],
            "size": 17,
            "color": PALETTE[colour],
            "line": {"width": 1.5, "color": INK},
        },
        **_told(own, view),
    )


def other_front(
    name: str, best: Sequence[TrialRecord], view: View, *, symbol: str, line: Mapping[str, object]
) -> go.Scatter:
    """The front of another study, as steps with its own marks."""
    points = view.steps(best)
    trace = _step_line(name, points, view, line)
    by_point = {view.point(record): record for record in best if view.holds(record)}
    hovers = [f"{name}<br>{view.hover(by_point[point])}" for point in points]
    marker = {"symbol": symbol, "size": 8, "color": line["color"]}
    return trace.update(mode="lines+markers", marker=marker, hovertext=hovers, hoverinfo="text")


def ring(chosen: int | None, view: View) -> go.Scatter:
    """A ring around one trial; around none where it is not drawn."""
    points = [view.point(record) for record in view.shown if record.number == chosen]
    return go.Scatter(
        name="chosen",
        showlegend=False,
        mode="markers",
        x=[x for x, _ in points],
        y=[y for _, y in points],
        marker={"symbol": "circle-open", "size": 24, "color": PALETTE["vermilion"], "line": {"width": 3}},
        hoverinfo="skip",
    )
