"""Predicted requests: what crosses, in which order, and what they do not depend on."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cost.models import LLAMA_8B, SMALL
from tests.strategies import links as drawn_links
from workbench import profiles
from workbench.cost import predict, stage_decode_s, stage_prefill_s
from workbench.errors import DoesNotFitError, PlanError, PromptError, UnknownNameError
from workbench.plan import CLOUD, EDGE, WIRE_CODECS, Partition, Placement, Plan, Stage
from workbench.profiles import LinkProfile
from workbench.trace import SPAN_KINDS, RequestTrace
from workbench.wire import sizes

DEVICES = {EDGE: profiles.device("raspberry-pi-5"), CLOUD: profiles.device("h100-sxm")}
LTE = profiles.link("lte")
EDGE_ONLY = Plan.of("small", Partition.unsplit(8, EDGE))
CLOUD_ONLY = Plan.of("small", Partition.unsplit(8, CLOUD))
SPLIT = Plan.of("small", Partition.split(8, 3))
U_SHAPE = Plan.of("small", Partition.u_shaped(8, (2, 6)))
SHAPES = (EDGE_ONLY, CLOUD_ONLY, SPLIT, U_SHAPE)


def _small(plan: Plan, link: LinkProfile = LTE, **options: Any) -> RequestTrace:
    return predict(plan, SMALL, DEVICES, link, **options)


def _kinds(trace: RequestTrace, token: int) -> list[tuple[str, str]]:
    return [(s.place, s.kind) for s in trace.spans if s.token == token]


def test_edge_only_sends_nothing() -> None:
    trace = _small(EDGE_ONLY)
    assert (trace.bytes_up, trace.bytes_down) == (0, 0)
    assert Counter(s.place for s in trace.spans) == {EDGE: 32}
    whole = SPLIT.partition.unsplit(8, EDGE).stages[0]
    assert trace.ttft_s == pytest.approx(stage_prefill_s(SMALL, whole, DEVICES[EDGE], 64))
    assert trace.spans[-1].duration_s == pytest.approx(stage_decode_s(SMALL, whole, DEVICES[EDGE], 94))
    assert trace.energy_j["edge"] == pytest.approx(trace.total_s * DEVICES[EDGE].active_w)


def test_a_split_takes_one_round_trip_per_token() -> None:
    trace = _small(SPLIT)
    order = [(EDGE, "compute"), ("link", "uplink"), (CLOUD, "compute"), ("link", "downlink")]
    assert all(_kinds(trace, token) == order for token in range(32))
    assert trace.tpot_s > LTE.rtt_s
    up = sum(
        sizes.forward_bytes(
            1, 64 if i == 0 else 1, 256, "fp16", position=64 + i - 1 if i else 0, step=i, secure=True
        )
        for i in range(32)
    )
    down = sum(sizes.tokens_bytes(1, step=i, secure=True) for i in range(32))
    assert (trace.bytes_up, trace.bytes_down) == (up, down)


def test_a_u_shape_hands_boundaries_back() -> None:
    trace = _small(U_SHAPE, new_tokens=300)
    order = [
        (EDGE, "compute"),
        ("link", "uplink"),
        (CLOUD, "compute"),
        ("link", "downlink"),
        (EDGE, "compute"),
    ]
    assert all(_kinds(trace, token) == order for token in range(300))
    down = sum(
        sizes.boundary_bytes(1, 64 if i == 0 else 1, 256, "fp16", step=i, secure=True) for i in range(300)
    )
    assert trace.bytes_down == down


def test_cloud_only_streams_without_a_round_trip_per_token() -> None:
    trace = _small(CLOUD_ONLY, new_tokens=300)
    assert _kinds(trace, 0) == [("link", "uplink"), (CLOUD, "compute"), ("link", "downlink")]
    assert all(_kinds(trace, token) == [(CLOUD, "compute"), ("link", "downlink")] for token in range(1, 300))
    assert trace.ttft_s > LTE.rtt_s
    assert trace.tpot_s < LTE.rtt_s / 10
    assert trace.bytes_up == sizes.generate_bytes(1, 64, 300, secure=True)
    assert trace.bytes_down == sum(sizes.token_bytes(1, i, secure=True) for i in range(300))


def test_streamed_tokens_queue_on_a_narrow_link() -> None:
    narrow = LinkProfile(rtt_s=0.1, uplink_bps=1e6, downlink_bps=8e3)
    trace = _small(CLOUD_ONLY, narrow)
    assert trace.tpot_s >= sizes.token_bytes(1, secure=True) * 8 / 8e3 * 0.99


@given(
    st.sampled_from(SHAPES),
    drawn_links(),
    st.integers(1, 300),
    st.integers(1, 40),
    st.integers(1, 4),
    st.sampled_from(["simulated", "proxy"]),
)
def test_any_prediction_hangs_together(
    plan: Plan, link: LinkProfile, prompt: int, new: int, batch: int, kind: str
) -> None:
    trace = _small(plan, link, prompt_tokens=prompt, new_tokens=new, batch=batch, link_kind=kind)
    assert trace.n_tokens == new
    assert list(trace.token_times_s) == sorted(trace.token_times_s)
    assert trace.total_s == pytest.approx(trace.token_times_s[-1])
    assert all(s.kind in SPAN_KINDS and s.duration_s >= 0 and s.label == "modelled" for s in trace.spans)
    assert sum(s.n_bytes for s in trace.spans if s.kind == "uplink") == trace.bytes_up
    assert sum(s.n_bytes for s in trace.spans if s.kind == "downlink") == trace.bytes_down
    assert all(n.label == "modelled" for n in trace.numbers())
    assert {place for place, held in trace.memory_bytes.items() if held} == set(plan.partition.places)
    starts = [s.start_s for s in trace.spans if s.place != "link"]
    assert starts == sorted(starts)
    assert RequestTrace.from_dict(trace.to_dict()) == trace


@given(st.sampled_from([SPLIT, U_SHAPE, CLOUD_ONLY]), st.integers(1, 6))
def test_a_worse_link_never_helps(plan: Plan, factor: int) -> None:
    base = _small(plan).total_s
    worse = replace(LTE, rtt_s=LTE.rtt_s * factor)
    narrower = replace(LTE, uplink_bps=LTE.uplink_bps / factor, downlink_bps=LTE.downlink_bps / factor)
    assert _small(plan, worse).total_s >= base
    assert _small(plan, narrower).total_s >= base


@pytest.mark.parametrize("codec", WIRE_CODECS)
def test_narrower_codecs_send_less(codec: str) -> None:
    sent = {
        c: predict(Plan.of("m", Partition.split(8, 3), c), SMALL, DEVICES, LTE).bytes_up for c in WIRE_CODECS
    }
    assert sent["int4"] < sent["int8"] < sent["fp16"] == sent["bf16"] < sent["fp32"]
    assert sent[codec] > 0


def test_a_large_prompt_pays_for_slow_start_unless_the_link_has_none() -> None:
    plan = Plan.of("llama-8b", Partition.split(32, 2, edge_bits=4))
    by_kind = {
        kind: predict(plan, LLAMA_8B, DEVICES, LTE, prompt_tokens=64, new_tokens=1, link_kind=kind)
        for kind in ("simulated", "proxy")
    }
    uplink = {kind: trace.seconds_by()["link", "uplink"] for kind, trace in by_kind.items()}
    assert uplink["simulated"] > uplink["proxy"] + LTE.rtt_s
    assert uplink["proxy"] == pytest.approx(LTE.rtt_s / 2 + by_kind["proxy"].bytes_up * 8 / LTE.uplink_bps)


def test_overheads_of_a_measured_device_are_counted() -> None:
    host = replace(DEVICES[EDGE], kind="host", message_overhead_s=1e-3, sample_s=2e-3)
    plain, slow = (
        predict(SPLIT, SMALL, devices, LTE, new_tokens=2) for devices in (DEVICES, {EDGE: host, CLOUD: host})
    )
    assert ("cloud", "sample") not in plain.seconds_by()
    assert slow.seconds_by()["cloud", "sample"] == pytest.approx(4e-3)
    extra = sum(slow.seconds_by()["link", k] - plain.seconds_by()["link", k] for k in ("uplink", "downlink"))
    assert extra == pytest.approx(2 * 2 * 2e-3)


def test_streaming_delays_every_pass_but_the_first() -> None:
    slow = replace(DEVICES[CLOUD], stream_overhead_s=3e-3)
    before = _small(CLOUD_ONLY, new_tokens=8)
    after = predict(CLOUD_ONLY, SMALL, {**DEVICES, CLOUD: slow}, LTE, new_tokens=8)
    assert after.ttft_s == before.ttft_s
    assert after.total_s == pytest.approx(before.total_s + 7 * 3e-3)
    assert _kinds(after, 1)[0] == (CLOUD, "stream")
    assert predict(SPLIT, SMALL, {**DEVICES, CLOUD: slow}, LTE) == _small(SPLIT)  # nothing streams there


def test_a_request_begins_once() -> None:
    slow = replace(DEVICES[EDGE], request_overhead_s=2e-3, tokenize_s_per_token=1e-5)
    for plan in SHAPES:
        before, after = _small(plan), predict(plan, SMALL, {**DEVICES, EDGE: slow}, LTE)
        assert after.ttft_s == pytest.approx(before.ttft_s + 2e-3 + 64 * 1e-5)
        assert after.tpot_s == pytest.approx(before.tpot_s)


def test_energy_is_work_and_waiting() -> None:
    trace = _small(SPLIT)
    busy = trace.seconds_by()["edge", "compute"]
    edge = DEVICES[EDGE]
    assert trace.energy_j["edge"] == pytest.approx(
        edge.active_w * busy + edge.idle_w * (trace.total_s - busy)
    )
    assert trace.energy_j["cloud"] == pytest.approx(700 * trace.seconds_by()["cloud", "compute"])
    assert trace.energy_j["radio"] == pytest.approx(edge.radio_j_per_byte * trace.bytes_up)
    assert _small(CLOUD_ONLY).energy_j["edge"] == pytest.approx(edge.idle_w * _small(CLOUD_ONLY).total_s)


def test_features_have_their_own_placement() -> None:
    plan = Plan("small", {"default": SPLIT.default, "copy": EDGE_ONLY.default})
    assert _small(plan, feature="copy").bytes_up == 0
    assert _small(plan).bytes_up > 0
    with pytest.raises(UnknownNameError):
        _small(plan, feature="translate")


def test_what_cannot_be_held_is_refused_or_said() -> None:
    plan = Plan.of("llama-8b", Partition.unsplit(32, EDGE))
    with pytest.raises(DoesNotFitError, match="edge needs"):
        predict(plan, LLAMA_8B, DEVICES, LTE)
    trace = predict(plan, LLAMA_8B, DEVICES, LTE, must_fit=False)
    assert "does not fit: edge needs" in trace.notes[0]
    assert trace.memory_bytes[EDGE] > DEVICES[EDGE].memory_bytes


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"prompt_tokens": 0}, PromptError),
        ({"new_tokens": 0}, PromptError),
        ({"batch": 0}, PromptError),
        ({"prompt_tokens": 131_072, "new_tokens": 1}, PromptError),
        ({"link_kind": "string"}, UnknownNameError),
    ],
)
def test_requests_that_cannot_be(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        _small(SPLIT, **options)


def test_plans_that_cannot_be_predicted() -> None:
    with pytest.raises(PlanError, match="cuts 9 blocks"):
        _small(Plan.of("small", Partition.split(9, 3)))
    with pytest.raises(PlanError, match="no device for"):
        predict(SPLIT, SMALL, {EDGE: DEVICES[EDGE]}, LTE)
    stages = (Stage(CLOUD, 0, 4, embedding=True), Stage(EDGE, 4, 8, head=True))
    with pytest.raises(PlanError, match="begins on the edge"):
        _small(Plan("small", {"default": Placement(Partition(8, stages))}))


def test_predicting_needs_no_torch() -> None:
    heavy = "{'torch', 'transformers', 'zmq'}"
    code = f"import sys, workbench.cost, workbench.planner; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
