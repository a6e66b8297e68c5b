"""Figures of links hold the numbers of their records, always in the same traces."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workbench import plots
from workbench.links import SimulatedLink
from workbench.links.fidelity import transfers
from workbench.links.samples import LinkSample
from workbench.plots.live import LiveFigure
from workbench.plots.watched import link_series_parts
from workbench.profiles import link

NAMES = ("lte", "5g", "wifi-6", "starlink")


def sample(t_s: float, **changes: Any) -> LinkSample:
    same = LinkSample(t_s, 4e6, 8e6, 0.05, False, False, 3.9e6, 8.1e6, 0.06, "measured")
    return replace(same, **changes)


def series(n: int) -> list[LinkSample]:
    out = {"up_outage": True, "down_outage": True, "up_bps": 0.0, "down_bps": 0.0, "rtt_s": None}
    return [sample(i / 4, **(out if 40 <= i < 60 else {})) for i in range(n)]


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    """A small one: simulated runs, and the same as if a proxy and a kernel had been a little slower."""
    cases: list[dict[str, Any]] = []
    for name in NAMES:
        with SimulatedLink(link(name)) as made:
            computed = [t.to_dict() for t in transfers(made, sizes=(1, 4096, 100_000), repeats=1)]
        for kind, factor in (("netem", 1.05), ("proxy", 1.1), ("simulated", 1.0)):
            label = "modelled" if kind == "simulated" else "measured"
            cases += [c | {"kind": kind, "seconds": c["seconds"] * factor, "label": label} for c in computed]
            check = {"profile": name, "kind": kind, "unit": "s", "asked": 0.1, "found": 0.1 * factor}
            cases += [check | {"check": "round trip"}, check | {"check": "loss up"}]
    return {"host": {"cpus": 2, "netem kernel": "6.1 (here)"}, "date": "2026-11-25", "cases": cases}


def traces_of(figure: Any, name: str) -> list[Any]:
    return [trace for trace in figure.data if trace.name == name]


def test_a_series_shows_what_was_asked_and_found() -> None:
    figure = plots.link_series(series(30))
    assert list(traces_of(figure, "down, asked")[0].y) == [8.0] * 30
    assert list(traces_of(figure, "up, measured")[0].y) == [3.9] * 30
    assert list(traces_of(figure, "round trip, measured")[0].y) == [60.0] * 30
    assert traces_of(figure, "up, asked")[0].line.shape == "hv"
    assert figure.layout.shapes == ()
    assert "points: measured" in figure.layout.title.text


def test_an_outage_is_shaded_in_both_panels_and_asks_for_nothing() -> None:
    figure = plots.link_series(series(100))
    assert [(s.x0, s.x1, s.yref) for s in figure.layout.shapes] == [
        (10.0, 15.0, "y domain"),
        (10.0, 15.0, "y2 domain"),
    ]
    assert [note.text for note in figure.layout.annotations] == ["outage"]
    asked = dict(zip(*(traces_of(figure, "down, asked")[0][axis] for axis in "xy"), strict=True))
    assert (asked[9.75], asked[10.0], asked[15.0]) == (8.0, 0.0, 8.0)
    going_on = plots.link_series(series(50))
    assert going_on.layout.shapes[0].x1 == series(50)[-1].t_s


def test_only_the_last_minute_is_shown() -> None:
    figure = plots.link_series([sample(i / 4) for i in range(400)])
    assert tuple(figure.layout.xaxis.range) == tuple(figure.layout.xaxis2.range) == (39.75, 99.75)
    assert min(figure.data[0].x) >= 39.75


def test_a_live_figure_keeps_its_traces_from_nothing_to_outage_to_modelled() -> None:
    live = LiveFigure(link_series_parts([]))
    kept = [trace.uid for trace in live.widget.data]
    for samples in (series(1), series(50), series(100), [sample(0, label="modelled", rtt_s=None)]):
        live.show(link_series_parts(samples))
        assert live.shown.to_plotly_json() == plots.link_series(samples).to_plotly_json()
    assert [trace.uid for trace in live.widget.data] == kept
    assert live.widget.data[3].name == "down, modelled"


def test_fidelity_has_a_panel_for_each_profile_and_one_of_errors(record: dict[str, Any]) -> None:
    figure = plots.fidelity(record)
    warm = traces_of(figure, "netem (kernel), warm")
    assert len(warm) == len(NAMES)
    assert [trace.showlegend for trace in warm] == [True, False, False, False]
    wanted = [
        c["seconds"]
        for c in record["cases"]
        if (c["profile"], c["kind"], c.get("direction"), c.get("connection")) == ("5g", "netem", "up", "warm")
    ]
    assert list(warm[1].y) == wanted
    assert all(c["seconds"] for c in record["cases"] if "seconds" in c)
    headings = [note.text for note in figure.layout.annotations]
    assert headings[: len(NAMES)] == [f"<b>{name}</b>" for name in NAMES]
    errors = traces_of(figure, "proxy (relay)")[0]
    assert np.allclose(errors.y, 10.0)
    assert len(errors.y) == len(NAMES)  # no loss among them
    host = "2 processor threads, netem of Linux 6.1 (here)"
    assert f"netem and proxy measured on {host}, 2026-11-25" in figure.layout.title.text


def test_its_panels_do_not_overlap(record: dict[str, Any]) -> None:
    layout = plots.fidelity(record).layout
    numbers = ["", *map(str, range(2, len(NAMES) + 2))]
    boxes = [(*layout[f"xaxis{n}"].domain, *layout[f"yaxis{n}"].domain) for n in numbers]
    for one, other in ((a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]):
        assert one[1] < other[0] or other[1] < one[0] or one[3] < other[2] or other[3] < one[2]
    assert all(low < high for box in boxes for low, high in (box[:2], box[2:]))


def test_some_profiles_one_direction_fewer_kinds(record: dict[str, Any]) -> None:
    few = {**record, "host": "a host", "cases": [c for c in record["cases"] if c["kind"] != "netem"]}
    figure = plots.fidelity(few, direction="down", profiles=["starlink", "lte"])
    assert [note.text for note in figure.layout.annotations][:2] == ["<b>starlink</b>", "<b>lte</b>"]
    assert not traces_of(figure, "netem (kernel), cold")
    assert "proxy measured on a host" in figure.layout.title.text
    with pytest.raises(KeyError, match="transfers over 'dsl'"):
        plots.fidelity(few, profiles=["dsl"])


def test_markers_of_one_size_stand_apart(record: dict[str, Any]) -> None:
    figure = plots.fidelity(record, profiles=["lte"])
    places = sorted({x for t in figure.data if "cold" in (t.name or "") for x in t.x})
    assert all(after - before > 0.2 for before, after in pairwise(places))


def test_both_have_a_still(record: dict[str, Any]) -> None:
    for figure in (plots.fidelity(record), plots.link_series(series(100)), plots.link_series([])):
        picture = Image.open(BytesIO(plots.still(figure)))
        assert picture.size == (900, figure.layout.height)
