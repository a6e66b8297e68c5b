"""The figures of requests show the numbers of their records, each with its unit and label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from workbench import plots
from workbench.plots.style import PIECES, TEMPLATE, Scale
from workbench.profiles import DeviceProfile
from workbench.trace import RequestTrace, Span

Make = Callable[..., RequestTrace]


def bars(fig: Any) -> dict[str, Any]:
    return {t.name: t for t in fig.data if t.type == "bar"}


def test_timeline_shows_each_span_of_the_tokens_asked_for(trace: Make) -> None:
    request = trace(3)
    fig = plots.timeline(request, tokens=2)
    drawn = sum(len(t.x) for t in fig.data)
    assert drawn == sum(s.token < 2 for s in request.spans)
    assert "modelled" in fig.layout.title.text
    assert fig.layout.xaxis.title.text == "time since the request began (ms)"
    assert {lane for t in fig.data for lane in t.y} == {"edge", "link up", "link down", "cloud"}


def test_timeline_of_all_tokens_marks_each(trace: Make) -> None:
    fig = plots.timeline(trace(3, tokens=5), tokens=None)
    assert len(fig.layout.shapes) == 5
    assert "all tokens" in fig.layout.title.text


def test_compare_gives_the_error_of_the_prediction(trace: Make) -> None:
    fig = plots.compare(trace(3), trace(3, slower=1.25, measured=True))
    measured = [t for t in fig.data if t.name == "measured"]
    assert len(measured) == 2
    shown = [dict(zip(t.y, t.text, strict=True)) for t in measured]
    assert all(texts["total wait"] == texts["uplink"] == "-20%" for texts in shown)
    assert all(texts["encode"] == "" for texts in shown)  # 0.2 of 46 ms says nothing
    assert "modelled" in fig.layout.title.text
    assert "measured, wall clock" in fig.layout.title.text


def test_compare_ends_with_what_the_user_waits(trace: Make) -> None:
    request = trace(3)
    predicted = [t for t in plots.compare(request, request).data if t.name == "predicted"]
    assert predicted[0].y[-1] == "total wait"
    assert predicted[0].x[-1] == pytest.approx(request.ttft_s * 1e3)
    assert predicted[1].x[-1] == pytest.approx(request.tpot_s * 1e3)


def test_per_split_stacks_the_pieces_and_marks_the_chosen(trace: Make) -> None:
    traces = {"cloud-only": trace(0), "0": trace(0), "3": trace(3), "edge-only": trace(8)}
    fig = plots.per_split(traces, chosen="3", unfit=["edge-only"])
    blocks = bars(fig)["edge blocks"]
    assert list(blocks.x) == list(traces)
    assert blocks.marker.opacity == (1.0, 1.0, 1.0, 0.3)
    assert [s.x0 for s in fig.layout.shapes] == [1.5, 1.5]
    assert fig.layout.yaxis.title.text == "to the first token (ms)"


def test_a_stack_is_as_high_as_the_wait_where_nothing_overlaps(trace: Make) -> None:
    fig = plots.per_split({"3": trace(3)})
    stacked = sum(t.y[0] for t in fig.data if t.type == "bar" and t.xaxis == "x")
    waits = [t.y[0] for t in fig.data if t.type == "scatter"]
    assert stacked == pytest.approx(waits[0])


def test_a_stack_leaves_out_what_the_link_does_while_the_cloud_works(trace: Make) -> None:
    spans = [
        span
        for token in range(6)
        for span in (
            Span("compute", "cloud", token, 2e-3 * token, 2e-3, "modelled"),
            Span("downlink", "link", token, 2e-3 * (token + 1), 2e-2, "modelled"),
        )
    ]
    times = tuple(2e-3 * (token + 1) + 2e-2 for token in range(6))
    fig = plots.per_split({"cloud-only": replace(trace(0), spans=tuple(spans), token_times_s=times)})
    first, after = (
        {t.name: t.y[0] for t in fig.data if t.type == "bar" and t.xaxis == axis} for axis in ("x", "x2")
    )
    assert first == pytest.approx({"cloud blocks": 2.0, "downlink": 20.0})
    assert after == pytest.approx({"cloud blocks": 2.0, "downlink": 0.0})


def test_memory_hatches_what_does_not_fit(trace: Make) -> None:
    small = DeviceProfile("small", "Small", "sbc", {16: 1e11}, 2_000_000_000, 1e10, 0, 3, 12)
    large = DeviceProfile("large", "Large", "server-gpu", {16: 1e15}, 80_000_000_000, 3e12, 0, 100, 700)
    fig = plots.memory(trace(4), {"edge": small, "cloud": large})
    (bar,) = fig.data
    assert bar.marker.pattern.shape == ("x", "")
    assert "does not fit" in bar.text[0]
    assert bar.x == pytest.approx((150.0, 3.75))


@pytest.mark.parametrize("draw", [lambda t: plots.timeline(t), lambda t: plots.per_split({"3": t})])
def test_every_figure_has_the_one_look(trace: Make, draw: Callable[[RequestTrace], Any]) -> None:
    assert draw(trace(3)).layout.template == TEMPLATE


def test_pieces_differ_in_shape_where_they_touch() -> None:
    looks = [(p.colour, p.pattern) for p in PIECES]
    assert len(set(looks)) == len(looks)
    assert len({p.pattern for p in PIECES if p.kind in ("compute", "uplink", "downlink")}) == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.5, "2.5 s"), (0.0025, "2.5 ms"), (2.5e-6, "2.5 µs"), (1e-9, "0.001 µs"), (0.0, "0 µs")],
)
def test_seconds_get_a_readable_unit(value: float, text: str) -> None:
    assert Scale.seconds(value).text(value) == text
