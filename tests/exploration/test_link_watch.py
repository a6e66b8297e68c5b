"""A watched link: what is asked and found, changes while it runs, errors in words, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from workbench.errors import InputError, LinkError, PeerLostError, UnknownNameError, WorkbenchError
from workbench.exploration import LinkWatch, netem_missing
from workbench.links import LinkTrace
from workbench.links.samples import LinkSample
from workbench.links.traces import LinkStep
from workbench.profiles import LinkProfile

LINK = LinkProfile(0.02, 4e6, 8e6)


def until(watch: LinkWatch, true: Callable[[LinkSample], bool], within_s: float = 15.0) -> LinkSample:
    """The first sample from now on of which it is true."""
    seen, deadline = len(watch.samples), time.monotonic() + within_s
    while time.monotonic() < deadline:
        for sample in watch.samples[seen:]:
            if true(sample):
                return sample
        time.sleep(0.05)
    raise AssertionError(f"not within {within_s} s: {watch.samples[-3:]}")


def near(value: float | None, asked: float) -> bool:
    return value is not None and abs(value / asked - 1) < 0.15


def test_a_proxy_is_measured_and_follows() -> None:
    told: list[LinkSample] = []
    with LinkWatch("proxy", LINK, on_sample=told.append) as watch:
        first = until(watch, lambda s: near(s.up_bps, 4e6) and near(s.down_bps, 8e6))
        assert first.label == "measured"
        watch.change(LinkProfile(0.02, 1e6, 2e6))
        until(watch, lambda s: s.asked_up_bps == 1e6 and near(s.up_bps, 1e6) and near(s.down_bps, 2e6))
        watch.load("none")
        idle = until(watch, lambda s: s.up_bps is None and s.rtt_s is not None and s.rtt_s < 0.035)
        assert idle.rtt_s is not None
        assert idle.rtt_s >= 0.019
        assert told == list(watch.samples)[: len(told)]
        tree = [psutil.Process(watch.pid), *psutil.Process(watch.pid).children(recursive=True)]
        assert len(tree) == 2  # the worker and its relay
    assert not watch.running
    assert psutil.wait_procs(tree, timeout=5)[1] == []


def test_an_outage_leaves_the_trace_where_it_is() -> None:
    trace = LinkTrace("steps", (LinkStep(0, uplink_bps=1e6), LinkStep(60, uplink_bps=2e6)), 120.0)
    with LinkWatch("proxy", LINK) as watch:
        watch.follow(trace, loop=True)
        until(watch, lambda s: s.asked_up_bps == 1e6 and near(s.up_bps, 1e6))
        watch.outage(1.6)
        out = until(watch, lambda s: s.up_outage and s.down_outage and s.up_bps == 0.0)
        back = until(watch, lambda s: not s.up_outage and near(s.up_bps, 1e6))
        assert back.t_s - out.t_s < 10  # the trace has a step at 60 s: it ended by itself
        until(watch, lambda _: any((s.rtt_s or 0) > 1.0 for s in watch.samples))  # a byte waited for it
        watch.outage(60)
        until(watch, lambda s: s.up_outage)
        watch.resume()
        until(watch, lambda s: not s.up_outage and near(s.up_bps, 1e6))


def test_a_simulated_link_sends_nothing_and_says_so() -> None:
    with LinkWatch("simulated", LINK) as watch:
        sample = until(watch, lambda s: s.t_s > 0.2)
        assert (sample.label, near(sample.up_bps, 4e6), near(sample.rtt_s, 0.02)) == ("modelled", True, True)
        watch.outage(30)
        out = until(watch, lambda s: s.up_outage)
        assert (out.up_bps, out.rtt_s) == (0.0, None)
        assert psutil.Process(watch.pid).children() == []


def test_what_cannot_be_done_is_said_and_the_link_goes_on() -> None:
    errors: list[WorkbenchError] = []
    with LinkWatch("proxy", LinkProfile(0.02, 4e6, 8e6, loss=0.01), on_error=errors.append) as watch:
        until(watch, lambda s: s.t_s > 0)
        assert any("loss" in note for note in watch.notes)
        watch.load("heavy")
        with pytest.raises(InputError, match="more than 0 s"):
            watch.outage(0)
        until(watch, lambda s: bool(errors))
        assert isinstance(errors[0], UnknownNameError)
        until(watch, lambda s: near(s.up_bps, 4e6))


def test_a_link_that_cannot_be_made_says_why() -> None:
    if not netem_missing():
        pytest.skip("this machine can make netem links")
    ends: list[WorkbenchError | None] = []
    watch = LinkWatch("netem", LINK, on_end=ends.append)
    deadline = time.monotonic() + 30
    while not ends and time.monotonic() < deadline:
        time.sleep(0.05)
    assert isinstance(ends[0], LinkError)
    assert not isinstance(ends[0], PeerLostError)
    assert str(ends[0]) in netem_missing()
    assert not watch.running
    with pytest.raises(LinkError, match="not running"):
        watch.resume()
    watch.close()


def test_a_worker_that_is_killed_ends_the_watch() -> None:
    ends: list[WorkbenchError | None] = []
    watch = LinkWatch("proxy", LINK, on_end=ends.append)
    until(watch, lambda s: s.t_s > 0)
    os.kill(watch.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not ends and time.monotonic() < deadline:
        time.sleep(0.05)
    assert isinstance(ends[0], PeerLostError)
    watch.close()


def test_nothing_is_left_of_a_kernel_that_is_killed(gone: Callable[[int], bool]) -> None:
    script = (
        "import time\nfrom workbench.exploration.link_watch import LinkWatch\n"
        "from workbench.profiles import LinkProfile\n"
        "watch = LinkWatch('proxy', LinkProfile(0.02, 4e6, 8e6))\n"
        "while not watch.samples: time.sleep(0.05)\n"
        "print(watch.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        worker = int(owner.stdout.readline())
        below = [child.pid for child in psutil.Process(worker).children(recursive=True)]
        owner.kill()
    assert below
    assert all(gone(pid) for pid in (worker, *below))
