"""Throttles give each step its time, and say when the host was too slow."""

import time

import pytest

from workbench.devices import Dilation, Native, Virtual, make_throttle
from workbench.errors import UnknownNameError


def test_dilation_waits_until_the_modelled_time() -> None:
    throttle = Dilation()
    started = time.perf_counter()
    seconds = throttle.pace(started, 0.02)
    assert 0.02 <= seconds <= time.perf_counter() - started
    assert throttle.overruns == 0


def test_dilation_says_when_the_host_is_too_slow() -> None:
    throttle = Dilation()
    seconds = throttle.pace(time.perf_counter() - 0.5, 0.1)
    assert seconds >= 0.5
    assert throttle.overruns == 1
    assert throttle.overrun_s >= 0.4
    assert throttle.slowness > 1


def test_virtual_says_the_modelled_time_and_does_not_wait() -> None:
    throttle = Virtual()
    assert throttle.pace(time.perf_counter(), 3600.0) == 3600.0
    assert (throttle.clock, throttle.label) == ("virtual", "modelled")


def test_native_measures() -> None:
    throttle = Native()
    assert throttle.pace(time.perf_counter() - 0.25, None) >= 0.25
    assert (throttle.clock, throttle.label) == ("wall", "measured")


def test_unknown_throttle_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'dilation'"):
        make_throttle("dilatation")
