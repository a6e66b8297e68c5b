"""Requests that share: alone as predicted, together as queueing theory has it."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cost.models import SMALL
from tests.strategies import links as drawn_links
from workbench import profiles
from workbench.cost import SLOT, Job, play, predict
from workbench.errors import InputError, UnknownNameError
from workbench.plan import CLOUD, EDGE, Partition, Plan
from workbench.profiles import LinkProfile
from workbench.trace import RequestTrace, Span

DEVICES = {EDGE: profiles.device("raspberry-pi-5"), CLOUD: profiles.device("h100-sxm")}
LTE = profiles.link("lte")
PLANS = {
    "edge-only": Plan.of("small", Partition.unsplit(8, EDGE)),
    "cloud-only": Plan.of("small", Partition.unsplit(8, CLOUD)),
    "split": Plan.of("small", Partition.split(8, 3)),
    "U": Plan.of("small", Partition.u_shaped(8, (2, 6))),
}


def _trace(plan: str, link: LinkProfile = LTE, prompt: int = 64, new: int = 8) -> RequestTrace:
    return predict(PLANS[plan], SMALL, DEVICES, link, prompt_tokens=prompt, new_tokens=new)


def _work(seconds: float, place: str = EDGE) -> RequestTrace:
    """A request of one step."""
    return _of((Span("compute", place, 0, 0.0, seconds, "modelled"),), (seconds,))


def _of(spans: tuple[Span, ...], tokens: tuple[float, ...]) -> RequestTrace:
    return RequestTrace(
        plan="p",
        clock="none",
        label="modelled",
        prompt_tokens=1,
        token_times_s=tokens,
        spans=spans,
        bytes_up=0,
        bytes_down=0,
        bytes_label="modelled",
        memory_bytes={},
        memory_label="modelled",
        energy_j={},
    )


# ---- alone


@given(
    st.sampled_from(sorted(PLANS)), drawn_links(), st.integers(1, 300), st.integers(1, 12), st.floats(0, 100)
)
def test_a_request_alone_is_its_trace(
    plan: str, link: LinkProfile, prompt: int, new: int, arrival_s: float
) -> None:
    trace = _trace(plan, link, prompt, new)
    (served,) = play([Job(arrival_s, (trace,))], link).served
    assert served.started_s == arrival_s
    assert served.latency_s == pytest.approx(trace.total_s, rel=1e-9, abs=1e-9)
    assert [t - arrival_s for t in served.token_times_s] == pytest.approx(trace.token_times_s, abs=1e-9)
    assert served.ttft_s == pytest.approx(trace.ttft_s, abs=1e-9)


def test_tokens_stream_down_while_the_cloud_goes_on() -> None:
    trace = _trace("cloud-only", LinkProfile(0.5, 1e6, 1e6))
    (served,) = play([Job(0.0, (trace,))], LinkProfile(0.5, 1e6, 1e6)).served
    gaps = [b - a for a, b in pairwise(served.token_times_s)]
    assert max(gaps) < 0.1  # a round trip for each would take half a second


def test_an_escalated_request_runs_one_trace_after_the_other() -> None:
    edge, cloud = _trace("edge-only"), _trace("cloud-only")
    (served,) = play([Job(1.0, (edge, cloud))], LTE).served
    assert served.latency_s == pytest.approx(edge.total_s + cloud.total_s)
    assert served.token_times_s[0] == pytest.approx(1.0 + edge.total_s + cloud.ttft_s)


def test_gaps_waits_and_traces_without_steps_keep_their_time() -> None:
    spans = (
        Span("wait", "edge", 0, 0.5, 1.0, "measured"),
        Span("compute", "edge", 0, 2.0, 1.0, "measured"),
    )
    (served,) = play([Job(0.0, (_of(spans, (3.25,)),))], LTE).served
    assert (served.finished_s, served.token_times_s) == (pytest.approx(3.25), (pytest.approx(3.25),))
    (empty,) = play([Job(2.0, (_of((), (0.5,)),))], LTE).served
    assert (empty.finished_s, empty.token_times_s) == (2.5, (2.5,))


# ---- together


def test_mean_wait_is_that_of_one_server_with_equal_work() -> None:
    """M/D/1: rho * S / (2 (1 - rho)) (Pollaczek 1930, Khinchine 1932)."""
    draw, service_s, n = random.Random(7), 0.05, 20_000
    trace = _work(service_s)
    for rho in (0.3, 0.6):
        now_s, jobs = 0.0, []
        for _ in range(n):
            now_s += draw.expovariate(rho / service_s)
            jobs.append(Job(now_s, (trace,)))
        played = play(jobs, LTE)
        waited_s = sum(served.waited_s.get(EDGE, 0.0) for served in played.served) / n
        assert waited_s == pytest.approx(rho * service_s / (2 * (1 - rho)), rel=0.04)
        assert played.utilisation[EDGE] == pytest.approx(rho, rel=0.02)


_JOBS = st.lists(
    st.tuples(st.floats(0, 5), st.lists(st.sampled_from(sorted(PLANS)), min_size=1, max_size=2)),
    min_size=1,
    max_size=8,
)
_TRACES = {name: _trace(name) for name in PLANS}


def _jobs(drawn: list[tuple[float, list[str]]]) -> list[Job]:
    return [Job(at, tuple(_TRACES[name] for name in names)) for at, names in drawn]


@given(_JOBS, st.sampled_from([None, 1, 2]))
def test_work_is_conserved_and_sharing_only_delays(
    drawn: list[tuple[float, list[str]]], slots: int | None
) -> None:
    jobs = _jobs(drawn)
    played = play(jobs, LTE, slots=slots)
    alone = [play([job], LTE) for job in jobs]
    for name, busy_s in played.busy_s.items():
        assert busy_s == pytest.approx(sum(one.busy_s.get(name, 0.0) for one in alone))
    assert all(0 <= share <= 1 + 1e-9 for share in played.utilisation.values())
    for job, served, one in zip(jobs, played.served, alone, strict=True):
        assert served.arrival_s == job.arrival_s <= served.started_s
        assert served.latency_s >= one.served[0].latency_s - 1e-9
        assert served.started_s - served.arrival_s == pytest.approx(served.waited_s.get(SLOT, 0.0))
        assert min(served.waited_s.values(), default=0.0) >= 0
    assert play(jobs, LTE, slots=slots) == played


@given(_JOBS)
def test_one_slot_keeps_the_order_of_arrivals(drawn: list[tuple[float, list[str]]]) -> None:
    jobs = _jobs(drawn)
    served = play(jobs, LTE, slots=1).served
    ordered = [served[i] for i in sorted(range(len(jobs)), key=lambda i: jobs[i].arrival_s)]
    for first, second in pairwise(ordered):
        assert second.started_s == pytest.approx(max(first.finished_s, second.arrival_s))
        assert set(second.waited_s) <= {SLOT, *_own_waits()}


def _own_waits() -> set[str]:
    return {name for t in _TRACES.values() for name in play([Job(0, (t,))], LTE).served[0].waited_s}


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 1)), min_size=1, max_size=30))
def test_one_server_is_never_idle_with_work_to_do(drawn: list[tuple[float, float]]) -> None:
    """Lindley's recursion (D. V. Lindley, Math. Proc. Camb. Phil. Soc. 48, 1952)."""
    drawn.sort(key=lambda row: row[0])
    played = play([Job(at, (_work(s),)) for at, s in drawn], LTE)
    free_s = 0.0
    for (at, seconds), served in zip(drawn, played.served, strict=True):
        free_s = max(free_s, at) + seconds
        assert served.finished_s == pytest.approx(free_s)


def test_requests_take_turns_by_step() -> None:
    one, two = play([Job(0.0, (_trace("edge-only"),))] * 2, LTE).served
    alone_s = _trace("edge-only").total_s
    assert one.finished_s > 1.8 * alone_s  # and not done before the second begins
    assert two.finished_s == pytest.approx(2 * alone_s)


def test_only_bits_take_the_link_and_delay_overlaps() -> None:
    link = LinkProfile(2.0, 8e6, 8e6)
    sent = _of((Span("uplink", "link", 0, 0.0, 1.1, "modelled", 100_000),), (1.1,))
    first, second = play([Job(0.0, (sent,))] * 2, link).served
    assert first.latency_s == pytest.approx(1.1)
    assert second.latency_s == pytest.approx(1.2)
    assert second.waited_s == {"link up": pytest.approx(0.1)}


def test_directions_and_places_do_not_hinder_each_other() -> None:
    up = _of((Span("uplink", "link", 0, 0.0, 1.0, "modelled", 1_000_000),), (1.0,))
    down = _of((Span("downlink", "link", 0, 0.0, 1.0, "modelled", 1_000_000),), (1.0,))
    work = [_work(1.0, place) for place in (EDGE, CLOUD)]
    played = play([Job(0.0, (trace,)) for trace in (up, down, *work)], LinkProfile(0.0, 8e6, 8e6))
    assert [served.latency_s for served in played.served] == [1.0] * 4
    assert played.utilisation == pytest.approx({"link up": 1, "link down": 1, EDGE: 1, CLOUD: 1})


def test_numbers_say_that_they_are_modelled() -> None:
    played = play([Job(0.0, (_work(1.0),)), Job(0.0, (_work(1.0),))], LTE)
    numbers = {number.name: number for number in played.numbers()}
    assert {number.label for number in numbers.values()} == {"modelled"}
    assert numbers["mean latency"].value == pytest.approx(1.5)
    assert (played.latency_s(0.5), played.latency_s(1.0), played.per_s) == (1.0, 2.0, 1.0)
    assert play([], LTE).mean_latency_s == play([], LTE).latency_s(0.5) == 0.0


def test_ten_thousand_steps_take_a_moment() -> None:
    trace = _trace("split", new=64)
    jobs = [Job(0.2 * i, (trace,)) for i in range(10_000 // len(trace.spans) + 1)]
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        play(jobs, LTE)
        taken.append(time.perf_counter() - began)
    assert min(taken) < 1.0  # some 30 ms where nothing else runs


# ---- what cannot be


@pytest.mark.parametrize("arrival_s", [-1.0, float("nan"), float("inf")])
def test_a_request_arrives_at_some_time(arrival_s: float) -> None:
    with pytest.raises(InputError, match="arrives at"):
        Job(arrival_s, (_work(1.0),))


def test_what_cannot_be_played_is_said() -> None:
    with pytest.raises(InputError, match="runs nothing"):
        Job(0.0, ())
    for slots in (0, -1, True, 1.5):
        with pytest.raises(InputError, match="slots"):
            play([Job(0.0, (_work(1.0),))], LTE, slots=slots)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="link"):
        play([Job(0.0, (_trace("split"),))], {"elsewhere": LTE})
    with pytest.raises(InputError, match="share"):
        play([], LTE).latency_s(2.0)
