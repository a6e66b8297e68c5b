"""The worker that watches a link, by its channel alone: over the kernel's netem too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from workbench.links.samples import LinkSample
from workbench.profiles import LinkProfile
from workbench.runtime.process import Child

LINK = LinkProfile(0.02, 4e6, 8e6)


@contextmanager
def watched(kind: str) -> Iterator[Child]:
    config = {"kind": kind, "profile": LINK.to_dict(), "load": "steady"}
    child = Child("workbench.runtime.link_worker", config, {})
    try:
        yield child
    finally:
        below = psutil.Process(child.pid).children(recursive=True)
        child.close()
    assert psutil.wait_procs(below, timeout=10)[1] == []


def until(child: Child, true: Callable[[LinkSample], bool], within_s: float = 60.0) -> LinkSample:
    deadline = time.monotonic() + within_s
    sample = None
    while time.monotonic() < deadline:
        event = child.receive(60.0)
        if event["event"] == "sample":
            sample = LinkSample.from_dict(event["sample"])
            if true(sample):
                return sample
    raise AssertionError(f"not within {within_s} s: {sample}")


def near(value: float | None, asked: float) -> bool:
    return value is not None and abs(value / asked - 1) < 0.2


@pytest.mark.parametrize("kind", ["proxy", pytest.param("netem", marks=pytest.mark.netem)])
def test_it_measures_what_is_asked_and_follows(kind: str) -> None:
    with watched(kind) as child:
        until(child, lambda s: near(s.up_bps, 4e6) and near(s.down_bps, 8e6) and s.label == "measured")
        child.send({"command": "change", "profile": LinkProfile(0.02, 2e6, 3e6).to_dict()})
        until(child, lambda s: near(s.up_bps, 2e6) and near(s.down_bps, 3e6))
        child.send({"command": "outage", "for_s": 2.0})
        until(child, lambda s: s.up_outage and s.up_bps == 0.0)
        until(child, lambda s: not s.up_outage and near(s.up_bps, 2e6))
        child.send({"command": "load", "load": "none"})
        until(child, lambda s: s.up_bps is None and s.rtt_s is not None and 0.019 < s.rtt_s < 0.05)
