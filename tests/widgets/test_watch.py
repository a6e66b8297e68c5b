"""The network panel without a browser: controls reach the link that runs, errors are said, nothing stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

import workbench as wb
from workbench.errors import InputError, LinkError, UnknownNameError
from workbench.exploration import netem_missing
from workbench.links.traces import LinkStep
from workbench.widgets import NetworkPanel
from workbench.widgets.link_rows import CUSTOM

OWN = wb.LinkProfile(0.02, 3e6, 6e6)
RISING = wb.LinkTrace("rising", (LinkStep(0, uplink_bps=1e6), LinkStep(90, uplink_bps=2e6)), 100.0)


@contextmanager
def watched(*args: Any, **options: Any) -> Iterator[NetworkPanel]:
    """A panel that is closed afterwards and leaves neither thread nor process."""
    before = set(psutil.Process().children(recursive=True))
    panel = wb.watch(*args, **options)
    try:
        yield panel
    finally:
        panel.close()
        panel.close()
    assert {"network", "link-watch"}.isdisjoint(thread.name for thread in threading.enumerate())
    deadline = time.monotonic() + 30  # the look for netem has a process of its own, for a moment
    while set(psutil.Process().children(recursive=True)) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(psutil.Process().children(recursive=True)) <= before


@pytest.fixture
def panel() -> Iterator[NetworkPanel]:
    with watched("lte") as made:
        yield made


def until(true: Callable[[], bool], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def last(panel: NetworkPanel, name: str) -> float | None:
    """What the picture shows last of a trace."""
    panel.settle()
    values = [v for v in next(t for t in panel.live.shown.data if t.name == name).y or () if v is not None]
    return values[-1] if values else None


def near(found: float | None, asked: float) -> bool:
    return found is not None and abs(found / asked - 1) < 0.15


def test_it_begins_at_rest_with_empty_axes(panel: NetworkPanel) -> None:
    panel.settle()
    assert (panel.running, panel.samples, panel.message) == (False, (), "")
    assert (panel.link, panel.kind, panel.load) == (wb.link("lte"), "proxy", "steady")
    assert "not running: press Start" in panel._status.value
    assert "Omits TCP slow start" in panel._sentence.value
    for act in (panel.outage, lambda: panel.wait(1)):
        with pytest.raises(InputError, match="press Start"):
            act()


def test_sliders_and_code_change_the_link_that_runs(panel: NetworkPanel) -> None:
    panel.start()
    until(lambda: near(last(panel, "down, measured"), 12))
    panel.controls.links.rows["downlink_bps"].value = 5
    until(lambda: near(last(panel, "down, measured"), 5))
    assert last(panel, "down, asked") == 5
    assert panel.controls.links.choice.value == CUSTOM
    panel.link = OWN
    until(lambda: near(last(panel, "up, measured"), 3) and last(panel, "round trip, asked") == 20)
    panel.controls.links.choice.value = "lte"
    until(lambda: last(panel, "up, asked") == 12)
    assert "measured" in panel._numbers.value
    assert "12 Mbit/s" in panel._numbers.value


def test_an_outage_by_button_and_by_schedule(panel: NetworkPanel) -> None:
    panel.start()
    panel.wait(0.5)
    panel._outage.click()
    until(lambda: len(panel.live.shown.layout.shapes) == 2)
    assert "outage" in panel._numbers.value
    panel.link = OWN  # changes what holds afterwards
    until(lambda: near(last(panel, "up, measured"), 3))
    panel.follow(wb.LinkTrace.outage(at_s=0.5, for_s=1))
    until(lambda: len(panel.live.shown.layout.shapes) == 4)


def test_a_trace_of_ones_own_joins_the_list_and_none_ends_it(panel: NetworkPanel) -> None:
    panel.start()
    panel.follow(RISING)
    until(lambda: last(panel, "up, asked") == 1)
    assert ("rising (your own)", "rising (your own)") in panel.controls._trace.widget.options
    panel.follow(None)
    until(lambda: last(panel, "up, asked") == 12)
    panel.controls._trace.value = "starlink"
    until(lambda: (last(panel, "down, asked") or 0) > 20)
    assert "trace starlink" in panel.live.shown.layout.title.text


def test_another_kind_is_a_link_made_anew_and_labelled(panel: NetworkPanel) -> None:
    panel.start()
    panel.wait(1)
    panel.kind = "simulated"
    until(lambda: bool(panel.samples) and panel.samples[-1].label == "modelled")
    panel.settle()
    assert "nothing is sent" in panel._sentence.value
    assert last(panel, "down, modelled") == pytest.approx(12, rel=0.01)
    panel.load = "none"
    until(lambda: panel.samples[-1].down_bps is None)


def test_loss_that_a_relay_leaves_out_is_said() -> None:
    with watched(wb.LinkProfile(0.02, 3e6, 6e6, loss=0.02)) as panel:
        panel.start()
        panel.wait(0.5)
        assert "loses nothing" in panel._numbers.value


def test_stop_keeps_what_was_seen_and_start_begins_anew(panel: NetworkPanel) -> None:
    panel.start()
    panel.wait(1)
    panel.start()  # nothing where one runs already
    panel.stop()
    seen = panel.samples
    assert seen[-1].t_s >= 1
    assert not panel.running
    panel.settle()
    assert panel._start.disabled is False
    assert panel._outage.disabled is True
    panel.start()
    panel.wait(0.5)
    assert panel.samples[0].t_s < 0.5


@pytest.mark.skipif(not netem_missing(), reason="this machine can make netem links")
def test_netem_is_offered_only_where_it_can_be_made() -> None:
    with watched("lte") as panel:
        until(lambda: "not offered" in panel.controls._netem.value)
        assert "workbench doctor" in panel.controls._netem.value
        assert "netem" not in [kind for _, kind in panel.controls._kind.widget.options]
        panel.kind = "netem"
        panel.start()
        with pytest.raises(LinkError):
            panel.wait(5)
        panel.settle()
        assert panel.message
        assert panel.message in netem_missing()
        assert not panel.running
        panel.kind = "proxy"
        panel.start()
        panel.wait(0.5)
        assert panel.message == ""


def test_what_it_cannot_be_asked_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="link kind"):
        wb.watch(kind="proxi")
    with pytest.raises(UnknownNameError, match="load"):
        wb.watch(load="heavy")
    with watched("lte") as panel, pytest.raises(InputError, match="reaches from"):
        panel.link = wb.LinkProfile(10, 1e6, 1e6)
