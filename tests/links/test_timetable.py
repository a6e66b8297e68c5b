"""What is due when, without a process that follows it."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.links.timetable import OUTAGE, Timetable

times = st.lists(st.floats(0, 100), min_size=1, max_size=20, unique=True).map(sorted)
moments = st.lists(st.floats(0, 1000), min_size=1, max_size=40).map(sorted)


def _rows(at_s: list[float]) -> list[list[object]]:
    return [[moment, {"up": {"row": index}, "down": None}] for index, moment in enumerate(at_s)]


def _holds(at_s: list[float], offset_s: float) -> int | None:
    """Which row holds, by the definition."""
    return max((index for index, moment in enumerate(at_s) if moment <= offset_s), default=None)


@given(times, moments, st.floats(-1e6, 1e6))
def test_what_was_due_last_holds(at_s: list[float], asked_s: list[float], started_s: float) -> None:
    timetable, holds = Timetable(_rows(at_s), None, started_s), None
    for moment in asked_s:
        now_s = started_s + moment
        due = timetable.due(now_s)
        holds = due["up"]["row"] if due else holds
        reached = [index for index, start in enumerate(at_s) if started_s + start <= now_s]
        assert holds == max(reached, default=None)
        assert timetable.next_s() > now_s


@given(times, st.lists(st.integers(0, 10_000), min_size=1, max_size=40).map(sorted))
def test_it_begins_again(at_s: list[float], asked: list[int]) -> None:
    at_s = sorted({float(round(moment)) for moment in at_s})
    period_s = at_s[-1] + 1.0
    timetable, holds = Timetable(_rows(at_s), period_s, 0.0), None
    for moment in map(float, asked):
        due = timetable.due(moment)
        holds = due["up"]["row"] if due else holds
        found = _holds(at_s, moment % period_s)
        assert holds == (len(at_s) - 1 if found is None and moment >= period_s else found)
        assert moment < timetable.next_s() <= moment + period_s


@given(times, st.none() | st.floats(0.01, 10), st.floats(0, 1e5))
def test_whoever_sleeps_until_the_next_change_finds_it(
    at_s: list[float], more_s: float | None, started_s: float
) -> None:
    timetable = Timetable(_rows(at_s), None if more_s is None else at_s[-1] + more_s, started_s)
    for _ in range(3 * len(at_s)):
        now_s = timetable.next_s()
        if now_s == math.inf:
            break
        assert timetable.due(now_s) is not None
        assert timetable.due(now_s) is None
        assert timetable.next_s() > now_s or more_s is not None


def test_nothing_is_due_twice() -> None:
    timetable = Timetable(_rows([0.0, 1.0]), None, 10.0)
    assert timetable.due(9.9) is None
    assert timetable.next_s() == 10.0
    assert timetable.due(10.0) == {"up": {"row": 0}, "down": None}
    assert timetable.due(10.5) is None
    assert timetable.due(11.5) == {"up": {"row": 1}, "down": None}
    assert timetable.next_s() == math.inf


def test_an_outage_of_all_is_one_of_both_directions() -> None:
    assert Timetable([[0.0, None]], None, 0.0).due(0.0) == OUTAGE == {"up": None, "down": None}


def test_a_row_at_the_very_end_gives_way_to_the_first_one() -> None:
    timetable = Timetable(_rows([0.0, 2.0]), 2.0, 0.0)
    assert timetable.due(1.0) == {"up": {"row": 0}, "down": None}
    assert timetable.due(2.0) == {"up": {"row": 0}, "down": None}


def test_a_long_sleep_costs_nothing() -> None:
    """Of a hundred million rounds that were slept through, none is gone through."""
    timetable = Timetable(_rows([0.0, 0.5]), 1.0, 0.0)
    assert timetable.due(1e8 + 0.7) == {"up": {"row": 1}, "down": None}
    assert timetable.next_s() == 1e8 + 1


def test_rows_may_come_as_json() -> None:
    rows = json.loads(json.dumps([(0.0, {"up": {"rate_bps": 1e6}, "down": None}), (1.0, None)]))
    timetable = Timetable(rows, None, 0.0)
    assert timetable.due(0.0) == {"up": {"rate_bps": 1e6}, "down": None}
    assert timetable.due(1.0) == OUTAGE


@pytest.mark.parametrize("period_s", [None, 3.0])
def test_without_rows_nothing_ever_is_due(period_s: float | None) -> None:
    timetable = Timetable([], period_s, 0.0)
    assert timetable.next_s() == math.inf
    assert timetable.due(1e9) is None
