"""A still shows what its figure shows: as many bars, points, hatches and lines, in the size asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from workbench import plots
from workbench.plots.stills.page import drawn
from workbench.plots.stills.sheet import Sheet
from workbench.plots.stills.style import plain, rgba
from workbench.profiles import DeviceProfile
from workbench.records import Accuracy, TrialRecord
from workbench.trace import RequestTrace

Make = Callable[..., RequestTrace]
_LARGEST_BYTES = 120_000


@pytest.fixture
def figures(
    trace: Make, records: list[TrialRecord], accuracies: dict[str, Accuracy]
) -> dict[str, Callable[[], go.Figure]]:
    """A figure of every kind of record, by name."""
    small = DeviceProfile("small", "Small", "sbc", {16: 1e11}, 2_000_000_000, 1e10, 0, 3, 12)
    large = DeviceProfile("large", "Large", "server-gpu", {16: 1e15}, 80_000_000_000, 3e12, 0, 100, 700)
    splits = {"cloud-only": trace(0), "0": trace(0), "3": trace(3), "edge-only": trace(8)}
    best = [r for r in records if r.state == "complete"][:4]
    return {
        "timeline": lambda: plots.timeline(trace(3)),
        "compare": lambda: plots.compare(trace(3), trace(3, slower=1.25, measured=True)),
        "per_split": lambda: plots.per_split(splits, chosen="3", unfit=["edge-only"]),
        "memory": lambda: plots.memory(trace(4), {"edge": small, "cloud": large}),
        "front": lambda: plots.front(records, best),
        "front of nothing": lambda: plots.front([], []),
        "hypervolume": lambda: plots.hypervolume({"a": [0.1, 0.5], "b": [0.2, 0.3]}, oracle=0.9),
        "parallel": lambda: plots.parallel(records, ["latency", "accuracy"]),
        "accuracy": lambda: plots.accuracy(accuracies),
    }


KINDS = (
    "timeline",
    "compare",
    "per_split",
    "memory",
    "front",
    "front of nothing",
    "hypervolume",
    "parallel",
    "accuracy",
)


def page_of(figure: go.Figure, width_px: int = 900, height_px: int = 450) -> Figure:
    return drawn(figure, width_px, height_px)


def bars(page: Figure) -> list[Rectangle]:
    return [p for axes in page.axes for container in axes.containers for p in container.patches]


def n_points(page: Figure) -> int:
    return sum(len(c.get_offsets()) for axes in page.axes for c in axes.collections if c.get_zorder() == 3.5)


def texts(page: Figure) -> list[str]:
    """Everything written on the page."""
    found = page.findobj(lambda artist: hasattr(artist, "get_text"))
    return [t.get_text() for t in found if t.get_visible() and t.get_text()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_gives_a_small_png_of_its_own_height(figures: dict[str, Any], kind: str) -> None:
    figure = figures[kind]()
    png = plots.still(figure)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert Image.open(BytesIO(png)).size == (900, figure.layout.height)
    assert len(png) < _LARGEST_BYTES


@settings(max_examples=12)
@given(width=st.integers(150, 1600), height=st.integers(120, 1200))
def test_a_still_is_as_large_as_asked_for(width: int, height: int) -> None:
    figure = go.Figure(go.Bar(x=["a", "b"], y=[1, 2], name="bars"))
    assert Image.open(BytesIO(plots.still(figure, width_px=width, height_px=height))).size == (width, height)


def test_a_figure_without_a_height_has_plotlys() -> None:
    assert Image.open(BytesIO(plots.still(go.Figure()))).size == (900, 450)


def test_importing_plots_brings_no_matplotlib() -> None:
    script = "import sys, json, workbench.plots; json.dump(sorted(sys.modules), sys.stdout)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "matplotlib" not in json.loads(done.stdout)


def test_drawing_leaves_no_global_state() -> None:
    script = (
        "import sys, plotly.graph_objects as go; from workbench.plots import still; import matplotlib as m;"
        "before = m.rcParams.copy(); still(go.Figure(go.Bar(x=[1], y=[1])));"
        "assert m.rcParams.copy() == before; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("kind", ["timeline", "compare", "per_split", "memory"])
def test_as_many_bars_as_the_figure_has(figures: dict[str, Any], kind: str) -> None:
    figure = figures[kind]()
    assert len(bars(page_of(figure))) == sum(len(t.x) for t in figure.data if t.type == "bar")


@pytest.mark.parametrize("kind", ["per_split", "front", "accuracy"])
def test_as_many_points_as_the_figure_has(figures: dict[str, Any], kind: str) -> None:
    figure = figures[kind]()
    shown = [t for t in figure.data if t.type == "scatter" and "markers" in t.mode]
    assert n_points(page_of(figure)) == sum(v is not None for t in shown for v in t.x)


def test_hatches_are_on_the_same_bars() -> None:
    shapes = ["", "/", "\\", "x", ".", "-", "|", "+"]
    pattern = {"shape": shapes, "fillmode": "overlay", "fgcolor": "#ffffff"}
    page = page_of(
        go.Figure(go.Bar(x=list("abcdefgh"), y=[1] * 8, marker={"pattern": pattern, "color": "red"}))
    )
    hatches = [p.get_hatch() for p in bars(page)]
    assert [set(h or "") for h in hatches] == [set(s) for s in shapes]
    assert all(p.get_facecolor() == rgba("red") for p in bars(page))


def test_what_does_not_fit_is_hatched(figures: dict[str, Any]) -> None:
    assert [bool(p.get_hatch()) for p in bars(page_of(figures["memory"]()))] == [True, False]


def test_groups_lie_side_by_side() -> None:
    figure = go.Figure([go.Bar(x=["a", "b"], y=[1, 2]), go.Bar(x=["a", "b"], y=[3, 4])])
    spans = [(p.get_x(), p.get_x() + p.get_width()) for p in bars(page_of(figure.update_layout(bargap=0.2)))]
    assert np.allclose(spans, [(-0.4, 0), (0.6, 1), (0, 0.4), (1, 1.4)])


@given(
    st.lists(
        st.lists(st.floats(-10, 10).filter(lambda v: abs(v) > 0.01), min_size=3, max_size=3),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=10)
def test_stacks_are_as_high_as_their_sums(rows: list[list[float]]) -> None:
    figure = go.Figure([go.Bar(x=["a", "b", "c"], y=row) for row in rows], {"barmode": "relative"})
    ends = [(p.get_y(), p.get_y() + p.get_height()) for p in bars(page_of(figure))]
    highest = [max(0.0, *(e for end in ends[i::3] for e in end)) for i in range(3)]
    assert highest == pytest.approx([sum(v for v in column if v > 0) for column in zip(*rows, strict=True)])


def test_narrow_bars_lie_over_wide_pale_ones_from_their_base() -> None:
    wide = go.Bar(x=["a", "b"], y=[3, 4], width=0.8, marker={"color": "blue", "opacity": 0.3})
    narrow = go.Bar(
        x=["a", "b"], y=[1, 2], base=[0.5, 1], width=[0.4, 0.2], marker={"color": ["red", "green"]}
    )
    pale_a, _, a, b = bars(page_of(go.Figure([wide, narrow], {"barmode": "overlay"})))
    assert (pale_a.get_width(), a.get_width(), b.get_width()) == pytest.approx((0.8, 0.4, 0.2))
    assert (a.get_y(), a.get_height(), b.get_y()) == (0.5, 1, 1)
    assert pale_a.get_facecolor() == rgba("blue", 0.3)
    assert (a.get_facecolor(), b.get_facecolor()) == (rgba("red"), rgba("green"))


def test_panels_lie_where_plotly_has_them(figures: dict[str, Any]) -> None:
    above, below = page_of(figures["per_split"]()).axes
    assert above.get_position().y0 > below.get_position().y1
    assert above.get_position().x0 == pytest.approx(below.get_position().x0)
    assert above.get_xlim() == below.get_xlim()
    assert below.get_xlabel() == "blocks on the edge"


def test_categories_and_ranges_are_plotlys(figures: dict[str, Any]) -> None:
    (timeline,) = page_of(figures["timeline"]()).axes
    assert [t.get_text() for t in timeline.get_yticklabels()] == ["cloud", "link down", "link up", "edge"]
    first, second = page_of(figures["compare"]()).axes
    assert first.get_ylim()[0] > first.get_ylim()[1]
    assert first.get_ylim() == second.get_ylim()
    assert first.get_xlim() == pytest.approx(figures["compare"]().layout.xaxis.range)


def test_a_logarithmic_axis_takes_its_range_and_its_texts_by_powers_of_ten() -> None:
    figure = go.Figure(go.Scatter(x=[1, 1000], y=[1, 2], mode="markers"))
    figure.update_xaxes(type="log", range=[-1, 4]).add_annotation(x=2, y=1.5, text="here", showarrow=False)
    page = page_of(figure.add_vline(10))
    (axes,) = page.axes
    assert axes.get_xscale() == "log"
    assert axes.get_xlim() == pytest.approx((0.1, 10_000))
    (note,) = [t for t in page.findobj(lambda a: hasattr(a, "get_text")) if t.get_text() == "here"]
    assert note.xy == (100, 1.5)
    assert [10, 10] in [list(line.get_xdata()) for line in axes.lines]


def test_errors_reach_as_far_as_given() -> None:
    error = {"array": [1, None], "arrayminus": [0.5, 0]}
    page = page_of(go.Figure(go.Scatter(x=[1, 2], y=[5, 6], mode="markers", error_y=error)))
    (errors,) = [c for c in page.axes[0].collections if c.get_zorder() == 3.2]
    assert [segment[:, 1].tolist() for segment in errors.get_segments()] == [[4.5, 6], [6, 6]]


def test_steps_and_dashes_stay() -> None:
    line = {"shape": "hv", "dash": "dash", "width": 2}
    (drawn_line,) = page_of(go.Figure(go.Scatter(x=[1, 2], y=[1, 2], mode="lines", line=line))).axes[0].lines
    assert drawn_line.get_drawstyle() == "steps-post"
    assert drawn_line.get_linestyle() == "--"


def test_parallel_axes_have_a_line_per_plan(figures: dict[str, Any]) -> None:
    figure = figures["parallel"]()
    page = page_of(figure)
    (lines,) = page.axes[0].collections
    assert len(lines.get_segments()) == len(figure.data[0].dimensions[0]["values"])
    assert {"edge bits", "cloud bits", "wire", "int8"} <= set(texts(page))


def test_numbers_become_colours_with_a_bar(figures: dict[str, Any]) -> None:
    page = page_of(figures["front"]())
    assert len(page.axes) == 2
    assert "blocks on\nthe edge" in texts(page)
    colours = {tuple(c) for s in page.axes[0].collections for c in s.get_facecolors()}
    assert len(colours) > 5


def test_texts_are_there_without_tags(figures: dict[str, Any]) -> None:
    written = texts(page_of(figures["memory"]()))
    assert "Memory of each side" in written
    assert "modelled" in written
    assert any("does not fit" in t for t in written)
    assert {"to the first token", "per output token"} <= set(texts(page_of(figures["compare"]())))


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<b>x</b> <i>y</i>", "x y"),
        ("a &lt; b", "a < b"),
        ("1 < 2", "1 < 2"),
        ("$1", r"\$1"),
    ],
)
def test_tags_become_plain_text(html: str, text: str) -> None:
    assert plain(html) == text


def test_dollars_are_no_formula() -> None:
    figure = go.Figure(go.Bar(x=["$a$", r"\frac"], y=[1, 2], name="$x_", text=["$", "$$"]))
    assert plots.still(figure.update_layout(title="$1 and $2", showlegend=True))


def test_one_entry_per_name_in_the_legend(figures: dict[str, Any]) -> None:
    (legend,) = page_of(figures["per_split"]()).legends
    names = [t.get_text() for t in legend.get_texts()]
    assert names == [
        "edge blocks",
        "encode",
        "uplink",
        "cloud blocks",
        "downlink",
        "what the user waits (× does not fit)",
    ]


def test_an_unknown_trace_is_named_and_the_rest_drawn() -> None:
    pie, box = go.Pie(values=[1, 2], domain={"x": [0, 0.4]}), go.Box(y=[1, 2, 3])
    page = page_of(go.Figure([pie, box, go.Bar(x=["a"], y=[1])]))
    assert "not shown here: box, pie" in texts(page)
    assert len(bars(page)) == 1


def test_all_is_within_the_page(figures: dict[str, Any]) -> None:
    for kind, make in figures.items():
        page = page_of(make(), 900, make().layout.height)
        box = page.get_tightbbox(page.canvas.get_renderer()).padded(-0.02)
        assert box.x0 >= 0, kind
        assert box.y0 >= 0, kind
        assert box.x1 <= 9, kind
        assert box.y1 * 100 <= make().layout.height, kind


def test_texts_that_would_cover_one_another_are_parted(trace: Make) -> None:
    page = page_of(plots.timeline(trace(3, tokens=60), tokens=None), 700, 330)
    marks = [t for t in page.artists if t.get_visible()]
    boxes = sorted((t.get_window_extent() for t in marks), key=lambda b: b.x0)
    assert 5 < len(marks) < 60
    assert all(a.x1 <= b.x0 for a, b in pairwise(boxes))


def test_long_labels_are_turned() -> None:
    names = [f"a rather long name of choice {i}" for i in range(12)]
    (axes,) = page_of(go.Figure(go.Bar(x=names, y=[1] * 12))).axes
    assert {t.get_rotation() for t in axes.get_xticklabels()} == {35}


def test_a_sheet_is_blank_at_first() -> None:
    assert Sheet.of(go.Figure(), 300, 200).panels == {}


def test_an_axis_laid_over_another_has_its_ticks_at_the_right() -> None:
    figure = go.Figure([go.Bar(x=["a", "b"], y=[1, 2]), go.Scatter(x=["a", "b"], y=[100, 200], yaxis="y2")])
    page = page_of(figure.update_layout(yaxis2={"overlaying": "y", "side": "right", "title": "second"}))
    under, over = page.axes
    assert under.get_position().bounds == over.get_position().bounds
    assert over.yaxis.get_ticks_position() == "right"
    assert over.get_ylim()[0] > under.get_ylim()[1]


@pytest.mark.parametrize("trace", [go.Bar(), go.Scatter(), go.Parcoords(), go.Bar(x=["a"], y=[None])])
def test_nothing_to_draw_is_no_error(trace: Any) -> None:
    assert plots.still(go.Figure(trace))
