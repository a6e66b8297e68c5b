"""A live figure shows the last of whatever it was told to show, with no more messages than it needs."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plots.conftest import make_records, make_trace
from workbench import plots
from workbench.plots.explorer import explorer_parts
from workbench.plots.live import LiveFigure
from workbench.profiles import device
from workbench.records import OBJECTIVES, Accuracy, Share

ACCURACY = Accuracy(1.5, {"copy": Share.of(30, 32)}, Share.of(990, 1000), "quick", 9000)
DEVICES = {"edge": device("raspberry-pi-5"), "cloud": device("h100-sxm")}


@dataclass(frozen=True)
class Explorer:
    """An explorer's figure: chosen split, with or without accuracy, run, and what does not fit."""

    chosen: int
    slower: float
    known: bool
    ran: bool
    n: int
    unfit: bool

    def make(self) -> dict[str, Any]:
        traces = {str(k): make_trace(k, slower=self.slower) for k in range(self.n)}
        return explorer_parts(
            traces,
            str(min(self.chosen, self.n - 1)),
            DEVICES,
            unfit={"0"} if self.unfit else (),
            accuracy=ACCURACY if self.known else None,
            accuracy_note="" if self.known else "being measured …",
            run=make_trace(self.chosen, measured=True, slower=1.3) if self.ran else None,
        )


@dataclass(frozen=True)
class Other:
    """A figure of another kind and size."""

    kind: str
    n: int

    def make(self) -> go.Figure:
        if self.kind == "runs":
            pairs = {f"run {i}": (make_trace(i), make_trace(i, measured=True)) for i in range(self.n)}
            return plots.runs(pairs)
        y = list(range(self.n))
        title = {"title": {"text": "bars"}}
        return go.Figure(go.Bar(y=y), title) if self.kind == "bars" else go.Figure(go.Scatter(y=y))


@dataclass(frozen=True)
class Board:
    """A study's figure as it grows: other symbols come, and a legend with them."""

    n: int
    chosen: int | None

    def make(self) -> go.Figure:
        some = make_records()[: self.n]
        best = [r for r in some if r.state == "complete"][:3]
        goals = [OBJECTIVES[name] for name in ("latency", "accuracy")]
        return plots.board(some, best, goals, history={"this": [0.1] * self.n}, chosen=self.chosen)


FLAG = st.booleans()
EXPLORERS = st.builds(
    Explorer, st.integers(0, 8), st.sampled_from([1, 1e-4, 50]), FLAG, FLAG, st.integers(1, 9), FLAG
)
OTHERS = st.builds(Other, st.sampled_from(["runs", "bars", "line"]), st.integers(0, 3))
BOARDS = st.builds(Board, st.integers(0, len(make_records())), st.sampled_from([None, 0, 5]))


def plain(figure: go.Figure | dict[str, Any]) -> dict[str, Any]:
    """Data and layout as JSON has them: without ids, empty properties and the template."""
    found = go.Figure(figure).to_plotly_json()
    layout = {key: value for key, value in found["layout"].items() if key != "template"}
    return {"data": [_cleared(trace) for trace in found["data"]], "layout": _cleared(layout)}


def _cleared(value: Any) -> Any:
    if isinstance(value, dict):
        cleared = {key: _cleared(item) for key, item in value.items() if key != "uid"}
        return {key: item for key, item in cleared.items() if item not in (None, {}, [])}
    return [_cleared(item) for item in value] if isinstance(value, (list, tuple)) else value


class Screen:
    """A browser's figure that follows a widget's messages as plotly's own code there does."""

    def __init__(self, live: LiveFigure) -> None:
        self._widget = live.widget
        self.data, self.layout = (deepcopy(getattr(self._widget, f"_widget_{p}")) for p in ("data", "layout"))
        for message in ("update", "addTraces", "deleteTraces", "relayout", "removeLayoutProps"):
            self._widget.observe(getattr(self, f"_{message}"), f"_py2js_{message}")

    def _update(self, change: dict[str, Any]) -> None:
        if told := change["new"]:
            assert "_undefined_" not in json.dumps(self._widget.get_state("_py2js_update"))
            for path, values in told["style_data"].items():
                for i, value in zip(told["style_traces"], values, strict=True):
                    _set(self.data[i], path, value)
            self._set_layout(told["layout_data"])

    def _addTraces(self, change: dict[str, Any]) -> None:
        if change["new"]:
            self.data += deepcopy(change["new"]["trace_data"])

    def _deleteTraces(self, change: dict[str, Any]) -> None:
        if change["new"]:
            gone = set(change["new"]["delete_inds"])
            self.data = [trace for i, trace in enumerate(self.data) if i not in gone]

    def _relayout(self, change: dict[str, Any]) -> None:
        if change["new"]:
            self._set_layout(change["new"]["relayout_data"])

    def _removeLayoutProps(self, change: dict[str, Any]) -> None:
        if change["new"]:
            for path in change["new"]["remove_props"]:
                _set(self.layout, ".".join(map(str, path)), None)

    def _set_layout(self, changes: dict[str, Any]) -> None:
        for path, value in changes.items():
            _set(self.layout, path, value)

    @property
    def shown(self) -> dict[str, Any]:
        return {"data": self.data, "layout": self.layout}


def _set(target: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split(".")
    for key in above:
        if value is None and key not in target:
            return
        target = target.setdefault(key, {})
    if value is None:
        target.pop(last, None)
    else:
        target[last] = deepcopy(value)


@settings(max_examples=40)
@given(st.lists(EXPLORERS | OTHERS | BOARDS, min_size=2, max_size=4))
def test_after_any_sequence_it_shows_the_last(wanted: list[Explorer | Other | Board]) -> None:
    figures = [one.make() for one in wanted]
    live = LiveFigure(figures[0])
    screen = Screen(live)
    for figure in figures[1:]:
        live.show(figure)
    assert plain(screen.shown) == plain(figures[-1])
    assert plain(live.widget) == plain(figures[-1])
    assert plain(live.shown) == plain(figures[-1])
    assert live.redraws == len(figures) - 1


@settings(max_examples=20)
@given(EXPLORERS, EXPLORERS)
def test_explorers_replace_no_trace_and_send_one_message(first: Explorer, second: Explorer) -> None:
    live = LiveFigure(first.make())
    before = [trace.uid for trace in live.widget.data]
    sent: list[Any] = []
    live.widget.observe(lambda change: sent.append(change["new"]), "_py2js_update")
    live.show(second.make())
    assert [trace.uid for trace in live.widget.data] == before
    assert len([message for message in sent if message]) <= 1


def test_the_same_figure_again_sends_nothing() -> None:
    traces = {"3": make_trace(3)}
    live = LiveFigure(explorer_parts(traces, "3", DEVICES))
    sent: list[Any] = []
    live.widget.observe(lambda change: sent.append(change), "_py2js_update")
    live.show(plots.explorer(traces, "3", DEVICES))
    assert [change["new"] for change in sent if change["new"]] == []


def test_what_it_shows_can_be_had_and_changed_without_changing_it() -> None:
    live = LiveFigure(plots.explorer({"3": make_trace(3)}, "3", DEVICES))
    live.shown.data[0].x = [1, 2]
    live.shown.layout.title.text = "another"
    assert plain(live.shown) == plain(plots.explorer({"3": make_trace(3)}, "3", DEVICES))
    assert live.shown.layout.template.layout.paper_bgcolor == "rgba(0,0,0,0)"


def test_settling_waits_for_a_browsers_answer_and_not_for_ever_for_none() -> None:
    live = LiveFigure(go.Figure(go.Bar(y=[1])))
    live.settle()
    live.show(go.Figure(go.Bar(y=[2])))
    live.settle()
    edit = live.widget._last_trace_edit_id
    live.widget._js2py_traceDeltas = {"trace_deltas": [], "trace_edit_id": edit}
    assert not live.widget._trace_edit_in_process
    live.settle()


def test_a_click_tells_what_was_clicked() -> None:
    live = LiveFigure(go.Figure(go.Scatter(x=[1, 2], y=[3, 4], customdata=["a", "b"])))
    told: list[Any] = []
    live.on_click(told.append)
    trace = live.widget.data[0]
    points = type("Points", (), {"point_inds": [1], "trace_index": 0})()
    for act in trace._click_callbacks:
        act(trace, points, None)
    assert told == ["b"]


@pytest.mark.parametrize("kind", ["explorer", "bars"])
def test_it_is_never_empty(kind: str) -> None:
    figures = {
        "explorer": plots.explorer({"3": make_trace(3)}, "3", DEVICES),
        "bars": go.Figure(go.Bar(y=[1])),
    }
    assert plain(LiveFigure(figures[kind]).widget) == plain(figures[kind])
