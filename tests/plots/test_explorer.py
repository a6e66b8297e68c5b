"""The explorer's figure: always the same traces, bars as long as the trace's numbers, errors in per cent."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plots.conftest import make_trace
from workbench import plots
from workbench.plots.request import waited_for
from workbench.plots.style import PALETTE, Scale
from workbench.profiles import DeviceProfile, device
from workbench.records import Accuracy, Share
from workbench.trace import RequestTrace

ACCURACY = Accuracy(1.5, {"copy": Share.of(30, 32)}, Share.of(990, 1000), "quick", 9000)
DEVICES = {"edge": device("raspberry-pi-5"), "cloud": device("h100-sxm")}
ORDER = ("cloud-only", *map(str, range(9)), "edge-only")


def make_traces(slower: float = 1.0) -> dict[str, RequestTrace]:
    return {name: make_trace(max(0, i - 1), slower=slower) for i, name in enumerate(ORDER)}


def named(figure: go.Figure, name: str, axis: str) -> Any:
    """The trace of that name on that pair of axes."""
    (found,) = [t for t in figure.data if t.name == name and t.xaxis == axis]
    return found


@settings(max_examples=25)
@given(st.sampled_from(ORDER), st.booleans(), st.booleans(), st.sets(st.sampled_from(ORDER)), st.data())
def test_traces_and_axes_are_always_the_same(
    chosen: str, ran: bool, known: bool, unfit: set[str], data: st.DataObject
) -> None:
    traces = make_traces()
    kept = data.draw(st.sets(st.sampled_from(ORDER))) | {chosen}
    figure = plots.explorer(
        {name: trace for name, trace in traces.items() if name in kept},
        chosen,
        DEVICES,
        positions=ORDER,
        unfit=unfit,
        accuracy=ACCURACY if known else None,
        run=make_trace(3, measured=True) if ran else None,
    )
    whole = plots.explorer(traces, "3", DEVICES)
    assert [(t.type, t.name, t.xaxis) for t in figure.data] == [(t.type, t.name, t.xaxis) for t in whole.data]
    assert set(figure.layout) == set(whole.layout)
    assert len(figure.layout.annotations) == len(whole.layout.annotations)
    frame = figure.layout.shapes[0]
    assert (frame.x0 + frame.x1) / 2 == ORDER.index(chosen)


@pytest.mark.parametrize("case", [("x", "prefill", "ttft_s"), ("x2", "decode", "tpot_s")])
@pytest.mark.parametrize("slower", [1.0, 1e-4, 100.0])
def test_bars_are_as_long_as_the_traces_numbers(case: tuple[str, str, str], slower: float) -> None:
    axis, phase, attribute = case
    trace = make_trace(3, slower=slower)
    figure = plots.explorer({"3": trace}, "3", DEVICES)
    bars = named(figure, "predicted", axis)
    shown = dict(zip(bars.y, bars.x, strict=True))
    wait = getattr(trace, attribute)
    scale = Scale.seconds(wait)
    assert shown["total wait"] * scale.divisor == pytest.approx(wait)
    n = 1 if phase == "prefill" else trace.n_tokens - 1
    for title, key in (("uplink", ("link", "uplink")), ("cloud blocks", ("cloud", "compute"))):
        assert shown[title] * scale.divisor == pytest.approx(trace.seconds_by(phase=phase)[key] / n)
    assert f"({scale.unit})" in figure.layout.annotations[0 if axis == "x" else 1].text


@pytest.mark.parametrize("case", [("x3", "prefill", "ttft_s"), ("x4", "decode", "tpot_s")])
def test_stacks_are_what_is_waited_for_at_every_split(case: tuple[str, str, str]) -> None:
    axis, phase, attribute = case
    traces = make_traces()
    figure = plots.explorer(traces, "3", DEVICES)
    waits = [getattr(traces[name], attribute) for name in ORDER]
    scale = Scale.seconds(max(waits))
    marks = named(figure, "wait", axis)
    assert [y * scale.divisor for y in marks.y] == pytest.approx(waits)
    layers = [t for t in figure.data if t.type == "bar" and t.xaxis == axis]
    assert [layer.name for layer in layers] == ["edge blocks", "uplink", "cloud blocks", "downlink", "sample"]
    for at, name in enumerate(ORDER):
        spent = waited_for(traces[name], phase)
        heights = [layer.y[at] * scale.divisor for layer in layers]
        assert heights == pytest.approx([spent.get(layer.name, 0.0) for layer in layers])
        below = [sum(heights[:i]) / scale.divisor for i in range(len(layers))]
        assert [layer.base[at] for layer in layers] == pytest.approx(below)


def test_a_run_lies_as_narrow_bars_with_the_error_behind_the_longer() -> None:
    predicted, run = make_trace(3), make_trace(3, slower=1.25, measured=True)
    figure = plots.explorer({"3": predicted}, "3", DEVICES, run=run)
    wide, narrow = named(figure, "predicted", "x"), named(figure, "run for real", "x")
    assert narrow.width < wide.width
    scale = Scale.seconds(run.ttft_s)
    assert narrow.x[-1] * scale.divisor == pytest.approx(run.ttft_s)
    assert (narrow.text[-1], wide.text[-1]) == ("-20%", "")
    assert "measured, wall clock" in figure.layout.title.text
    assert "prediction -20%" in narrow.hovertext[-1]
    faster = plots.explorer({"3": run}, "3", DEVICES, run=predicted)
    assert named(faster, "predicted", "x").text[-1] == "+25%"
    assert named(faster, "run for real", "x").text[-1] == ""


def test_without_a_run_no_narrow_bar_and_no_error() -> None:
    figure = plots.explorer({"3": make_trace(3)}, "3", DEVICES)
    for axis in ("x", "x2"):
        assert set(named(figure, "run for real", axis).x) == {None}
        assert set(named(figure, "predicted", axis).text) == {""}


def test_what_does_not_fit_is_pale_and_crossed_and_its_memory_hatched() -> None:
    small = DeviceProfile.from_dict({**DEVICES["edge"].to_dict(), "memory_bytes": 10**9})
    traces = make_traces()
    figure = plots.explorer(traces, "3", {**DEVICES, "edge": small}, unfit={"8", "edge-only"})
    layer, marks = named(figure, "uplink", "x3"), named(figure, "wait", "x3")
    assert [ORDER[i] for i, o in enumerate(layer.marker.opacity) if o < 1] == ["8", "edge-only"]
    assert [ORDER[i] for i, s in enumerate(marks.marker.symbol) if s == "x"] == ["8", "edge-only"]
    assert "× does not fit" in figure.layout.annotations[2].text
    (memory,) = [t for t in figure.data if t.type == "bar" and t.xaxis == "x5"]
    assert memory.x[0] == pytest.approx(100 * traces["3"].memory_bytes["edge"] / 10**9)
    assert memory.marker.pattern.shape == ("x", "")
    assert memory.marker.color == (PALETTE["vermilion"], PALETTE["green"])
    assert memory.hovertext[0].endswith("does not fit")


def test_accuracy_has_its_interval_or_says_why_there_is_none() -> None:
    traces = {"3": make_trace(3)}
    known = plots.explorer(traces, "3", DEVICES, accuracy=ACCURACY)
    points = next(t for t in known.data if t.xaxis == "x6" and t.mode == "markers")
    assert points.x == pytest.approx((93.75, 99.0))
    share = ACCURACY.agreement
    assert points.error_x.array[1] == pytest.approx(100 * (share.high - share.value))
    assert points.error_x.arrayminus[1] == pytest.approx(100 * (share.value - share.low))
    assert known.layout.xaxis6.range[0] < 100 * ACCURACY.mean_exact_match.low
    assert known.layout.annotations[-1].text == ""
    unknown = plots.explorer(traces, "3", DEVICES, accuracy_note="not measured: press it")
    assert unknown.layout.annotations[-1].text == "not measured:<br>press it"


def test_an_unknown_split_point_is_an_error() -> None:
    with pytest.raises(KeyError):
        plots.explorer({"3": make_trace(3)}, "4", DEVICES)


def test_runs_lie_side_by_side_with_prediction_and_error() -> None:
    kept = {f"run {i}": (make_trace(i), make_trace(i, slower=2, measured=True)) for i in (2, 5)}
    figure = plots.runs(kept)
    predicted, run = (t for t in figure.data if t.xaxis == "x")
    assert predicted.y == run.y == ("run 2", "run 5")
    waits = [(p.ttft_s, r.ttft_s) for p, r in kept.values()]
    scale = Scale.seconds(max(map(max, waits)))
    assert predicted.x == pytest.approx([wait / scale.divisor for wait, _ in waits])
    assert run.x == pytest.approx([wait / scale.divisor for _, wait in waits])
    assert set(run.text) == {"-50%"}
    assert "measured, wall clock" in figure.layout.title.text
    assert plots.runs({}).data
