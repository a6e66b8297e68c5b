"""The record of a request: derived numbers, labels, and its way through JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.trace import LABELS, SPAN_KINDS, RequestTrace, Span

_seconds = st.floats(0, 1e4)
_spans = st.lists(
    st.builds(
        Span,
        kind=st.sampled_from(SPAN_KINDS),
        place=st.sampled_from(["edge", "cloud", "link"]),
        token=st.integers(0, 9),
        start_s=_seconds,
        duration_s=_seconds,
        label=st.sampled_from(LABELS),
        n_bytes=st.integers(0, 10**9),
    ),
    max_size=8,
)
_traces = st.builds(
    RequestTrace,
    plan=st.text(),
    clock=st.sampled_from(["wall", "virtual", "none"]),
    label=st.sampled_from(LABELS),
    prompt_tokens=st.integers(1, 9999),
    token_times_s=st.lists(_seconds, max_size=8).map(sorted).map(tuple),
    spans=_spans.map(tuple),
    bytes_up=st.integers(0, 10**9),
    bytes_down=st.integers(0, 10**9),
    bytes_label=st.sampled_from(LABELS),
    memory_bytes=st.dictionaries(st.sampled_from(["edge", "cloud"]), st.integers(0, 10**12)),
    memory_label=st.sampled_from(LABELS),
    energy_j=st.dictionaries(st.sampled_from(["edge", "cloud", "radio"]), _seconds),
    batch=st.integers(1, 64),
    token_ids=st.lists(st.integers(0, 10**6), max_size=8).map(tuple),
    text=st.text(),
    notes=st.lists(st.text(), max_size=3).map(tuple),
    facts=st.dictionaries(st.text(), st.text(), max_size=3),
)


@given(_traces)
def test_a_trace_survives_json(trace: RequestTrace) -> None:
    assert RequestTrace.from_dict(json.loads(json.dumps(trace.to_dict()))) == trace


@given(_traces)
def test_derived_numbers_hang_together(trace: RequestTrace) -> None:
    assert trace.total_s >= max(trace.token_times_s, default=0.0)
    assert trace.tpot_s >= 0
    if trace.n_tokens > 1:
        assert trace.ttft_s + (trace.n_tokens - 1) * trace.tpot_s == pytest.approx(trace.token_times_s[-1])
    everything = sum(s.duration_s for s in trace.spans)
    assert sum(trace.seconds_by().values()) == pytest.approx(everything)
    phases = [sum(trace.seconds_by(phase=phase).values()) for phase in ("prefill", "decode")]
    assert sum(phases) == pytest.approx(everything)


@given(_traces)
def test_every_number_has_a_unit_and_a_label(trace: RequestTrace) -> None:
    numbers = list(trace.numbers())
    assert all(n.unit and n.label in LABELS for n in numbers)
    assert len({n.name for n in numbers}) == len(numbers)


def _trace(*token_times_s: float, spans: tuple[Span, ...] = (), batch: int = 1) -> RequestTrace:
    return RequestTrace(
        "p", "none", "modelled", 4, token_times_s, spans, 0, 0, "modelled", {}, "modelled", {}, batch=batch
    )


def test_first_and_later_tokens() -> None:
    trace = _trace(0.5, 0.7, 0.9, batch=2)
    assert (trace.ttft_s, trace.total_s) == (0.5, 0.9)
    assert trace.tpot_s == pytest.approx(0.2)
    assert trace.tokens_per_s == pytest.approx(2 * 3 / 0.9)


def test_one_token_has_no_time_per_later_token() -> None:
    assert _trace(0.5).tpot_s == 0
    assert _trace().tokens_per_s == 0


def test_a_span_knows_its_phase_and_end() -> None:
    span = Span("uplink", "link", 0, 0.25, 0.5, "modelled", 100)
    assert (span.phase, span.end_s) == ("prefill", 0.75)
    assert Span("compute", "edge", 1, 0, 0, "modelled").phase == "decode"


def test_text_says_label_and_clock() -> None:
    assert str(_trace(0.5)).startswith("modelled (predicted): TTFT 500.0 ms")
