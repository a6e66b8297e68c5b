"""Figures of routing hold what their plans, expectations and reports say, always in the same traces."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import plotly.graph_objects as go
import pytest
from PIL import Image

from tests.exploration.routed import make_known, make_plan, make_report, make_setting
from workbench import plots
from workbench.errors import UnknownNameError
from workbench.exploration.routing import Router, RoutingResult
from workbench.plan import CLOUD, EDGE, Partition, Placement
from workbench.plots.routing import (
    COSTS,
    answer_html,
    answer_legend,
    confusion,
    plan_picture,
    quality_cost,
    replay_timeline,
)
from workbench.plots.routing.answers import SPLIT, made_by
from workbench.plots.routing.board import replay_board, routing_parts
from workbench.plots.routing.replay import MARKS, mark_of
from workbench.routing import Report

REPORT = make_report()
OUTAGES = [(0.2, 0.7)]


@pytest.fixture(scope="module")
def found() -> RoutingResult:
    return Router(make_known()).look(make_setting())


def trace(figure: go.Figure, name: str) -> Any:
    return next(t for t in figure.data if t.name == name)


def test_every_figure_has_a_still(found: RoutingResult) -> None:
    figures = [
        quality_cost(found.curves, here=found.here),
        plan_picture(make_plan()),
        go.Figure(routing_parts(make_plan(), found.curves, found.here)),
        replay_board(REPORT, OUTAGES),
        replay_board(Report(())),
    ]
    for figure in figures:
        png = plots.still(figure)
        assert Image.open(BytesIO(png)).size == (900, figure.layout.height)


@pytest.mark.parametrize("cost", COSTS)
def test_a_curve_has_the_numbers_of_its_expectations(found: RoutingResult, cost: str) -> None:
    figure = quality_cost(found.curves, here=found.here, cost=cost)
    line = trace(figure, "hybrid: the plan, its threshold moved")
    assert list(line.y) == pytest.approx([100 * e.quality for e in found.curves["hybrid"]])
    ratio = {x / COSTS[cost].of(e) for x, e in zip(line.x, found.curves["hybrid"], strict=True) if x}
    assert max(ratio) == pytest.approx(min(ratio))  # one scale for all
    here = trace(figure, "here")
    assert min(abs(here.x[0] - x) for x in line.x) == pytest.approx(0.0, abs=1e-6)
    assert here.text[0] == "<b>threshold 0.60</b>"
    low, high = figure.layout.xaxis.range
    assert all(low <= x <= high for t in figure.data for x in t.x)
    assert "measured" in figure.layout.title.text
    assert "modelled" in figure.layout.title.text


def test_a_curve_without_anything_to_compare_is_empty_and_a_strange_name_refused() -> None:
    figure = quality_cost({})
    assert [len(t.x) for t in figure.data] == [0] * 7
    with pytest.raises(UnknownNameError, match="hybird"):
        quality_cost({"hybird": ()})
    with pytest.raises(UnknownNameError, match="beauty"):
        quality_cost({}, cost="beauty")


def test_a_plan_is_drawn_block_by_block() -> None:
    figure = plan_picture(make_plan())
    edge, cloud = trace(figure, "blocks on the edge"), trace(figure, "blocks in the cloud")
    names = figure.layout.yaxis.ticktext
    assert dict(zip([names[y] for y in edge.y], edge.x, strict=True)) == {
        "small": 4,
        "sort": 4,
        "arithmetic": 4,
        "continue": 2,
    }
    assert dict(zip([names[y] for y in cloud.y], cloud.x, strict=True)) == {
        "default": 8,
        "copy": 8,
        "continue": 6,
    }
    assert list(edge.marker.pattern.shape) == ["", "", "/", ""]  # the adapter's
    assert [names[int(y)] for y in trace(figure, "left early (exit)").y] == ["small", "sort", "arithmetic"]
    texts = {note.text for note in figure.layout.annotations}
    assert {"fp16", "m@4 + arithmetic", "→ small", "waits", "goes on"} <= texts
    assert "health stays on the edge" in figure.layout.title.text


def test_a_u_shape_crosses_twice_and_what_refuses_offline_says_so() -> None:
    plan = make_plan(copy=Placement(Partition.u_shaped(8, (2, 6), 8, 16)))
    figure = plan_picture(plan)
    row = list(figure.layout.yaxis.ticktext).index("copy")
    assert [x for x, y in zip(*_bars(figure, EDGE), strict=True) if y == row] == [2, 2]
    assert [x for x, y in zip(*_bars(figure, CLOUD), strict=True) if y == row] == [4]
    crossing = trace(figure, "over the link")
    assert sum(y == row for y in crossing.y) == 4
    assert "refused" in {note.text for note in figure.layout.annotations}


def _bars(figure: go.Figure, place: str) -> tuple[Any, Any]:
    bars = trace(figure, "blocks on the edge" if place == EDGE else "blocks in the cloud")
    return bars.x, bars.y


def test_confusions_are_counted_by_row() -> None:
    figure = confusion(REPORT)
    right, wrong = trace(figure, "right"), trace(figure, "wrong")
    row, column = list(right.y).index("copy"), list(right.x).index("sort")
    assert wrong.z[row][column] == pytest.approx(1 / 4)
    assert right.z[row][list(right.x).index("copy")] == pytest.approx(3 / 4)
    assert wrong.z[row][list(right.x).index("copy")] is None
    assert "1 · 25%" in {note.text for note in figure.layout.annotations}
    assert "6 of 7" in figure.layout.title.text


def test_a_timeline_has_a_row_per_request_and_marks_what_was_not_as_routed() -> None:
    figure = replay_timeline(REPORT, OUTAGES)
    assert len(trace(figure, "waiting").y) == REPORT.n
    marked = {name: list(trace(figure, mark.title).y) for name, mark in MARKS.items()}
    assert marked == {"escalated": [1], "moved": [5], "queued": [4], "degraded": [3], "refused": [6]}
    for lane in ("on the edge", "in the cloud", "link"):
        bars = trace(figure, lane)
        for row, base, length in zip(bars.y, bars.base, bars.x, strict=True):
            served = REPORT.served[row]
            assert base >= 1e3 * served.started_s - 1e-6
            assert base + length <= 1e3 * served.finished_s + 1e-6
    (box,) = figure.layout.shapes
    assert (box.x0, box.x1) == pytest.approx((200, 700))
    assert "modelled" in figure.layout.title.text
    assert "1 refused" in figure.layout.title.text


def test_the_edge_alone_uses_no_link() -> None:
    figure = replay_timeline(Report(REPORT.served[:1]))
    assert (len(trace(figure, "link").x), len(trace(figure, "in the cloud").x)) == (0, 0)
    assert mark_of(REPORT.served[0]) == ""


def test_an_answer_is_on_the_ground_of_its_place() -> None:
    places = [made_by(served.traces[-1]) for served in REPORT.served if served.traces]
    assert places == [EDGE, CLOUD, SPLIT, EDGE, CLOUD, EDGE]
    again = answer_html(REPORT.served[1])
    assert again.index("wb-edge") < again.index("line-through") < again.index("wb-cloud")
    assert "&lt;b&gt; ⏎ more" in again
    assert "<b>" not in again
    assert answer_html(REPORT.served[6]) == "<i>refused: OfflineError: there is no link</i>"
    assert all(
        text in answer_legend()
        for text in ("on the edge", "in the cloud", "split by layer", "not sure enough")
    )


def test_a_live_board_always_has_the_same_traces(found: RoutingResult) -> None:
    full = routing_parts(make_plan(), found.curves, found.here, cost="energy")
    empty = routing_parts(make_plan(), {}, None, remark="nothing to compare")
    assert [t["name"] for t in full["data"]] == [t["name"] for t in empty["data"]]
    assert "nothing to compare" in {note["text"] for note in empty["layout"]["annotations"]}
    assert set(full["layout"]) == set(empty["layout"])


def test_a_replay_board_holds_both_figures_in_panels_of_their_own() -> None:
    figure = replay_board(REPORT, OUTAGES)
    upper, lower = trace(figure, "waiting"), trace(figure, "right")
    assert (upper.xaxis, lower.xaxis) == ("x", "x2")
    assert figure.layout.yaxis2.domain[1] < figure.layout.yaxis.domain[0]
    refs = {note.xref for note in figure.layout.annotations}
    assert refs == {"x", "x2", "paper"}
    assert figure.layout.shapes[0].yref == "y domain"
