"""A pace gives each step its time, and says when the host was too slow."""

import time

import pytest

from workbench.devices import Dilation, Native, Virtual, make_pace
from workbench.errors import UnknownNameError


def test_dilation_waits_until_the_modelled_time() -> None:
    pace = Dilation()
    started = time.perf_counter()
    seconds = pace.end_step(started, 0.02)
    assert 0.02 <= seconds <= time.perf_counter() - started
    assert pace.overruns == 0


def test_dilation_says_when_the_host_is_too_slow() -> None:
    pace = Dilation()
    seconds = pace.end_step(time.perf_counter() - 0.5, 0.1)
    assert seconds >= 0.5
    assert pace.overruns == 1
    assert pace.overrun_s >= 0.4
    assert pace.slowness > 1


def test_virtual_says_the_modelled_time_and_does_not_wait() -> None:
    pace = Virtual()
    assert pace.end_step(time.perf_counter(), 3600.0) == 3600.0
    assert (pace.clock, pace.label) == ("virtual", "modelled")


def test_a_step_that_costs_nothing_in_the_model_tells_nothing_of_the_host() -> None:
    pace = Virtual()
    assert pace.end_step(time.perf_counter(), 0.0) == 0.0
    assert (pace.slowness, pace.overruns, pace.steps) == (0.0, 0, 1)


def test_native_measures() -> None:
    pace = Native()
    assert pace.end_step(time.perf_counter() - 0.25, None) >= 0.25
    assert (pace.clock, pace.label) == ("wall", "measured")


def test_an_unknown_pace_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'dilation'"):
        make_pace("dilatation")
