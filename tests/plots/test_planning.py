"""Figures of plans hold the numbers of their answers, maps and sweeps, always in the same traces."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from tests.cost.models import llama
from workbench import plots, profiles
from workbench.planner import (
    Answer,
    BreakEvenMap,
    Limits,
    Pin,
    Problem,
    Request,
    Sweep,
    break_even,
    plan,
    sweep,
)
from workbench.plots.live import LiveFigure
from workbench.plots.planning.candidates import parts_of, spent
from workbench.plots.planning.look import Ruler
from workbench.plots.planning.survey import survey_parts

MODEL = llama("m", 12, 2048, 5632, 16, 8, 32000, tied=True)
DEVICES = {"edge": profiles.device("jetson-orin-nano"), "cloud": profiles.device("h100-sxm")}
PRIVATE = (Pin("embedding", "edge"), Pin("blocks", "edge", 0, 2))
PROBLEM = Problem(MODEL, DEVICES, (profiles.link("fibre"),), request=Request(128, 16), pins=PRIVATE)
TIERS = Problem(
    MODEL,
    {"phone": profiles.device("galaxy-s24"), **DEVICES},
    (profiles.link("5g"), profiles.link("fibre")),
    request=Request(64, 8),
    pins=(Pin("blocks", "phone", 0, 2), Pin("blocks", "edge", 4, 6), Pin("blocks", "cloud", 10, 12)),
)
BANDWIDTHS, TRIPS = np.geomspace(1e6, 1e9, 8), np.geomspace(1e-3, 0.3, 6)


@pytest.fixture(scope="module")
def answer() -> Answer:
    return plan(PROBLEM)


@pytest.fixture(scope="module")
def region() -> BreakEvenMap:
    return break_even(PROBLEM, "bandwidth", BANDWIDTHS, "rtt", TRIPS)


@pytest.fixture(scope="module")
def trips() -> Sweep:
    return sweep(PROBLEM, "rtt", TRIPS)


def named(figure: Any, name: str) -> Any:
    return next(trace for trace in figure.data if trace.name == name)


def texts(figure: Any) -> list[str]:
    return [note.text for note in figure.layout.annotations]


def test_a_map_has_the_winner_of_every_cell(region: BreakEvenMap) -> None:
    figure = plots.break_even(region)
    assert {"split", "edge-only"} == set(region.winners.ravel())
    kinds = ("split", "edge-only", "cloud-only")
    z = np.array(named(figure, "regions").z)
    finer = len(z) // len(region.y)
    middles = z[finer // 2 :: finer, finer // 2 :: finer]
    assert np.array_equal(np.vectorize(lambda code: kinds[int(code)])(middles), region.winners)
    cells = named(figure, "cells")
    assert len(cells.x) == region.winners.size
    assert list(cells.customdata[0]) == [region.x[0], region.y[0]]
    assert "modelled" in cells.hovertext[0]
    assert {"<b>split</b>", "<b>edge-only</b>", "lte"} <= set(texts(figure))
    assert "modelled" in figure.layout.title.text
    assert not named(figure, "cloud-only wins").showlegend


def test_its_line_is_where_a_split_begins_to_pay(region: BreakEvenMap) -> None:
    line = named(plots.break_even(region), "break-even")
    points = [(x, y) for x, y in zip(line.x, line.y, strict=True) if x is not None]
    assert points
    for x, y in points[:: len(points) // 7]:
        there = PROBLEM.with_(links=(_link(10 ** (x + 6), 10 ** (y - 3)),))
        found = plan(there)
        assert found.best_split is not None
        ratio = found.baselines["edge-only"].values["total"] / found.best_split.values["total"]
        assert ratio == pytest.approx(1.02, rel=0.08)  # interpolated between cells that are far apart


def _link(uplink_bps: float, rtt_s: float) -> profiles.LinkProfile:
    return profiles.LinkProfile(rtt_s, uplink_bps, 3 * uplink_bps)


def test_a_star_is_the_problems_own_point(region: BreakEvenMap) -> None:
    here = named(plots.break_even(region), "here")
    assert (here.x[0], here.y[0]) == pytest.approx((2.0, np.log10(9)))
    others = named(plots.break_even(region, links={"lte": profiles.link("lte")}), "other links")
    assert list(others.customdata) == ["lte"]


def test_where_nothing_may_be_a_map_says_so() -> None:
    never = PROBLEM.with_(limits=Limits(ttft_s=1e-6))
    figure = plots.break_even(break_even(never, "bandwidth", BANDWIDTHS[:2], "rtt", TRIPS[:2]))
    assert {code for row in named(figure, "regions").z for code in row} == {None}
    assert "nothing keeps the limits" in texts(figure)


@pytest.mark.parametrize(("x", "y"), [("edge_speed", "rtt"), ("prompt_tokens", "cloud_speed")])
def test_a_map_over_other_parameters_shows_no_links(x: str, y: str) -> None:
    figure = plots.break_even(break_even(PROBLEM, x, [1, 3, 9], y, [0.1, 0.3]))
    assert not named(figure, "other links").x


def test_a_sweep_has_each_kinds_values_and_the_winner_as_ground(trips: Sweep) -> None:
    figure = plots.sensitivity(trips)
    assert list(named(figure, "split").y) == pytest.approx(list(trips.series("split")))
    assert set(named(figure, "cloud-only").y) == {None}
    cuts = [points[0] for points in trips.split_points if points]
    assert list(named(figure, "split point 1").y) == cuts
    grounds = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert len(grounds) == 2 * (len(trips.turning_points()) + 1)  # in both panels
    assert grounds[0].x1 == grounds[1].x0
    assert [shape.x0 for shape in figure.layout.shapes if shape.type == "line"] == pytest.approx(
        [np.log10(9)] * 2
    )


def test_candidates_take_just_what_the_user_waits_for(answer: Answer) -> None:
    figure = plots.candidates(answer)
    rows = figure.layout.yaxis.ticktext
    assert [text.partition("<br>")[0] for text in rows] == list(answer.plans)
    for proposal in answer.plans.values():
        for phase, wait_s in (("prefill", proposal.trace.ttft_s), ("decode", proposal.trace.tpot_s)):
            assert sum(spent(proposal.trace, phase, parts_of(PROBLEM)).values()) == pytest.approx(
                wait_s, rel=1e-6
            )
    assert rows[-1].endswith("breaks a limit")
    bars = named(figure, "computing on edge")
    assert min(bars.marker.opacity) < max(bars.marker.opacity)
    assert "modelled" in figure.layout.title.text


def test_memory_stands_against_what_a_plan_may_use() -> None:
    small = PROBLEM.with_(limits=Limits(memory_bytes={"cloud": 1e9}))
    figure = plots.candidates(plan(small))
    written = named(figure, "memory of cloud, text").text
    assert all("of 1 GB" in text or text.endswith("–") for text in written)


def test_a_chain_shows_every_block_once_and_what_crosses() -> None:
    answer = plan(TIERS)
    figure = plots.chain(answer)
    spans = sorted(
        (base, base + length)
        for place in TIERS.devices
        for base, length in zip(named(figure, place).base, named(figure, place).x, strict=True)
    )
    assert (spans[0][0], spans[-1][1]) == (0, 12)
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert len(named(figure, "messages").x) == 2
    assert all("a token" in text for text in named(figure, "messages").text)
    assert len(figure.layout.yaxis.ticktext) == 5
    assert named(figure, "memory").x[0] > 0


def test_a_chain_of_no_split_is_refused_in_words() -> None:
    whole = plan(PROBLEM.with_(pins=(Pin("everything", "edge"),)))
    with pytest.raises(ValueError, match="no split keeps the limits"):
        plots.chain(whole, split=True)
    assert plots.chain(whole).layout.title.text.startswith("Edge-only")


def test_a_front_has_its_plans_and_both_baselines(answer: Answer) -> None:
    front = plan(PROBLEM.with_(front=("total", "bytes")))
    figure = plots.plan_front(front)
    drawn = sum(len(trace.x) for trace in figure.data if trace.name.endswith("on the front"))
    assert drawn == len(front.front) > 0
    assert named(figure, "cloud-only").marker.symbol[0].endswith("-open")  # the pin is not kept
    with pytest.raises(ValueError, match="the problem's front is empty"):
        plots.plan_front(answer)


def test_predicted_over_measured_says_how_far_off() -> None:
    case = {"throttle": "none", "split": 3, "bits": 16, "wire": "fp16"}
    times = {
        "measured_ttft_s": 1.0,
        "predicted_ttft_s": 1.1,
        "measured_tpot_s": 0.1,
        "predicted_tpot_s": 0.08,
    }
    figure = plots.predicted_over_measured([case | times | {"link": name} for name in ("lte", "5g")])
    assert "TTFT off by 10.0%" in figure.layout.title.text
    assert "TPOT off by 20.0%" in figure.layout.title.text
    assert [(t.x[0], t.y[0]) for t in figure.data if t.name == "lte"] == [(1.0, 1.1), (0.1, 0.08)]
    band = named(figure, "+15%")
    assert band.y[1] == pytest.approx(1.15 * band.x[1])


def test_a_ruler_goes_by_logarithms_where_values_reach_far(trips: Sweep) -> None:
    ruler = Ruler(trips.parameter, tuple(TRIPS))
    assert ruler.place(0.1) == pytest.approx(2.0)
    assert "100" in ruler.axis()["ticktext"]  # type: ignore[operator]
    near = Ruler(trips.parameter, (0.010, 0.015))
    assert near.place(0.012) == pytest.approx(12)
    assert Ruler(trips.parameter, (0.0, 0.1)).place(0.0) == 0.0


def test_a_survey_keeps_its_traces_whatever_is_known(
    answer: Answer, region: BreakEvenMap, trips: Sweep
) -> None:
    live = LiveFigure(survey_parts(PROBLEM, None, None, None, aim="total"))
    kept = [trace.uid for trace in live.widget.data]
    for found in ((answer, None, None), (answer, region, trips), (None, region, None)):
        parts = survey_parts(PROBLEM, *found, aim="total", at={"edge_speed": 2.0})
        live.show(parts)
        assert live.shown.to_plotly_json() == go.Figure(parts).to_plotly_json()
    assert [trace.uid for trace in live.widget.data] == kept


def test_all_have_a_still(answer: Answer, region: BreakEvenMap, trips: Sweep) -> None:
    made = [
        plots.break_even(region),
        plots.sensitivity(trips),
        plots.candidates(answer),
        plots.chain(plan(TIERS)),
    ]
    for figure in made:
        picture = Image.open(BytesIO(plots.still(figure)))
        assert picture.size == (900, figure.layout.height)
    colours = Image.open(BytesIO(plots.still(made[0]))).convert("RGB").getcolors(1_000_000)
    assert colours is not None
    assert max(n for n, colour in colours if colour != (255, 255, 255)) > 50_000  # the regions are filled
