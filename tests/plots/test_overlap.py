"""Each moment of a wait counts once, whatever goes on in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.plots.overlap import waiting_by
from workbench.trace import RequestTrace, Span

PLACES = {"compute": "cloud", "downlink": "link", "uplink": "link"}
times = st.integers(0, 40).map(float)
spans = st.lists(
    st.builds(
        lambda kind, start, width: Span(kind, PLACES[kind], 0, start, width, "modelled"),
        st.sampled_from(tuple(PLACES)),
        times,
        st.integers(0, 9).map(float),
    ),
    max_size=12,
)


@given(spans, st.integers(1, 30).map(float), st.integers(0, 20).map(float))
def test_the_parts_cover_what_any_span_covers(spans: list[Span], first: float, more: float) -> None:
    trace = RequestTrace(
        "p", "none", "modelled", 1, (first, first + more), tuple(spans), 0, 0, "modelled", {}, "modelled", {}
    )
    for phase, (low, high) in {"prefill": (0.0, first), "decode": (first, first + more)}.items():
        seconds = range(int(low), int(high))
        covered = sum(any(s.start_s <= t < s.end_s for s in spans) for t in seconds)
        assert sum(waiting_by(trace, phase).values()) == pytest.approx(covered)


def test_the_link_is_hidden_behind_work(trace: Callable[..., RequestTrace]) -> None:
    spans = (Span("compute", "cloud", 0, 0, 4, "modelled"), Span("downlink", "link", 0, 2, 4, "modelled"))
    request = replace(trace(3), spans=spans, token_times_s=(6.0,))
    assert waiting_by(request, "prefill") == {("cloud", "compute"): 4.0, ("link", "downlink"): 2.0}


def test_two_that_work_at_once_share_the_time(trace: Callable[..., RequestTrace]) -> None:
    spans = (Span("compute", "cloud", 0, 0, 4, "modelled"), Span("compute", "edge", 0, 2, 4, "modelled"))
    request = replace(trace(3), spans=spans, token_times_s=(6.0,))
    assert waiting_by(request, "prefill") == {("cloud", "compute"): 3.0, ("edge", "compute"): 3.0}


def test_without_overlap_the_parts_are_the_durations(trace: Callable[..., RequestTrace]) -> None:
    request = trace(3)
    for phase in ("prefill", "decode"):
        assert waiting_by(request, phase) == pytest.approx(request.seconds_by(phase=phase))


def test_no_tokens_no_wait(trace: Callable[..., RequestTrace]) -> None:
    assert waiting_by(replace(trace(3), token_times_s=()), "prefill") == {}
