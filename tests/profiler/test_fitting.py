"""Fits of a host: what made the times is found again, and noise is survived."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cost.models import SMALL
from workbench.cost import StageCost, predict, weight_bytes
from workbench.plan import CLOUD, EDGE, Partition, Plan, Stage
from workbench.profiler.fitting import HostTimes, RequestTimes, WidthTimes, host_profile
from workbench.profiles import DeviceProfile, Kernel, LinkProfile

_CONTEXTS = (64, 512)
_PROMPT = 40


def _times(device: DeviceProfile, bits: int) -> WidthTimes:
    """What a host that follows the cost model exactly would show."""
    few, many = (StageCost.of(SMALL, Stage(EDGE, 0, k, embedding=True, bits=bits), device) for k in (2, 8))
    return WidthTimes(
        blocks=(2, 8),
        decode_s=(few.step_s(1, _CONTEXTS[0]), many.step_s(1, _CONTEXTS[0])),
        contexts=_CONTEXTS,
        full_cache_s=many.step_s(1, _CONTEXTS[1]),
        prefill=tuple((t, many.step_s(t)) for t in (16, 64, 256)),
        block_bytes=weight_bytes(SMALL.block_params[0], SMALL.block_quantizable[0], bits),
    )


def _host_times(device: DeviceProfile, widths: tuple[int, ...] = (16, 4)) -> HostTimes:
    head = StageCost.of(SMALL, Stage(CLOUD, 8, 8, head=True), device)
    return HostTimes(
        model="small",
        threads=1,
        widths={bits: _times(device, bits) for bits in widths},
        bandwidth_bytes_per_s=2e10,
        head_s=head.step_s(1),
        requests=_requests(device),
        sample_s=device.sample_s,
        tokenize_s_per_token=device.tokenize_s_per_token,
        encode_s=device.encode_s,
        encode_s_per_element=device.encode_s_per_element,
        cpu_share=1.0,
    )


def _requests(device: DeviceProfile) -> RequestTimes:
    """What both sides on such a host would show over a link that takes no time."""
    whole = StageCost.of(SMALL, Stage(EDGE, 0, 8, embedding=True, head=True), device)
    return RequestTimes(
        prompt_tokens=_PROMPT,
        elements=SMALL.boundary_elements[4],
        streamed_s=_beyond(whole, Partition.unsplit(8, CLOUD), device),
        split_s=_beyond(whole, Partition.split(8, 4), device),
        spread=0.2,
    )


def _beyond(whole: StageCost, partition: Partition, device: DeviceProfile) -> tuple[float, float]:
    trace = predict(
        Plan.of("small", partition),
        SMALL,
        {EDGE: device, CLOUD: device},
        LinkProfile(rtt_s=1e-9, uplink_bps=1e15, downlink_bps=1e15),
        prompt_tokens=_PROMPT,
        new_tokens=2,
    )
    first_s, last_s = trace.token_times_s
    return first_s - whole.step_s(_PROMPT), last_s - first_s - whole.step_s(1, _PROMPT)


def _device(**values: object) -> DeviceProfile:
    made = DeviceProfile(
        "made", "made", "host", {16: 1e11}, 10**10, 2e10, 3e-4, 1.0, 2.0, forward_overhead_s=2e-4
    )
    coding = {"tokenize_s_per_token": 3e-6, "encode_s": 1e-4, "encode_s_per_element": 2e-9}
    return replace(made, **{"sample_s": 1e-5, **coding, **values})  # type: ignore[arg-type]


@given(
    overhead_s=st.floats(5e-5, 2e-3),
    flops=st.floats(5e10, 1e12),
    cache_bps=st.floats(5e8, 5e9),
    forward_s=st.floats(0, 1e-3),
)
def test_a_host_that_follows_the_model_is_predicted(
    overhead_s: float, flops: float, cache_bps: float, forward_s: float
) -> None:
    kernels = {b: Kernel(overhead_s * b / 16, 5e9, flops, cache_bps) for b in (16, 4)}
    true = _device(kernels=kernels, forward_overhead_s=forward_s)
    found = host_profile(SMALL, _host_times(true), "made", 10**10, 2)
    for bits in (16, 4):
        for stage in (Stage(EDGE, 0, 5, embedding=True, bits=bits), Stage(CLOUD, 3, 8, bits=bits)):
            for tokens, context in ((1, 32), (1, 300), (64, 0), (256, 0)):
                expected = StageCost.of(SMALL, stage, true).step_s(tokens, context)
                assert StageCost.of(SMALL, stage, found).step_s(tokens, context) == pytest.approx(
                    expected, rel=0.1
                )


def test_a_memory_bound_host_gives_its_bandwidth_back() -> None:
    true = _device(kernels={16: Kernel(1e-6, 1e9, 1e13)})
    times = replace(_host_times(true, (16,)), bandwidth_bytes_per_s=1e9)
    found = host_profile(SMALL, times, "made", 10**10, 2).kernels[16]
    assert found.bandwidth_bytes_per_s == pytest.approx(1e9, rel=0.05)
    assert found.block_overhead_s < 1e-4


def test_the_head_is_told_apart() -> None:
    true = _device(head_overhead_s=5e-4)
    found = host_profile(SMALL, _host_times(true), "made", 10**10, 2)
    whole = Stage(EDGE, 0, 8, embedding=True, head=True)
    assert StageCost.of(SMALL, whole, found).step_s(1, 64) == pytest.approx(
        StageCost.of(SMALL, whole, true).step_s(1, 64), rel=0.02
    )
    assert (found.name, found.kind, found.sample_s) == ("host", "host", 1e-5)
    coding = (found.tokenize_s_per_token, found.encode_s, found.encode_s_per_element)
    assert (*coding, found.spread) == (3e-6, 1e-4, 2e-9, 0.2)
    assert found.sources["kernels"].label == "measured"
    assert found.sources["active_w"].label == "modelled"


@given(message_s=st.floats(0, 2e-3), stream_s=st.floats(0, 5e-3), request_s=st.floats(0, 5e-3))
def test_what_requests_take_besides_passes_is_told_apart(
    message_s: float, stream_s: float, request_s: float
) -> None:
    overheads = {"stream_overhead_s": stream_s, "request_overhead_s": request_s}
    true = _device(message_overhead_s=message_s, **overheads)
    found = host_profile(SMALL, _host_times(true), "made", 10**10, 2)
    assert found.message_overhead_s == pytest.approx(message_s, abs=2e-6)
    assert found.stream_overhead_s == pytest.approx(stream_s, abs=2e-6)
    assert found.request_overhead_s == pytest.approx(request_s, abs=2e-6)


def test_messages_of_a_model_that_cannot_be_split_are_told_from_its_stream() -> None:
    times = _host_times(_device(message_overhead_s=5e-4, stream_overhead_s=1e-3))
    unsplit = replace(times, requests=replace(times.requests, split_s=None))
    found = host_profile(SMALL, unsplit, "made", 10**10, 2)
    assert found.message_overhead_s == pytest.approx(5e-4, abs=2e-6)
    assert found.stream_overhead_s == pytest.approx(1e-3, abs=2e-6)


def test_noise_below_nothing_counts_as_nothing() -> None:
    times = _host_times(_device())
    quick = replace(times.requests, streamed_s=(0.0, 0.0), split_s=(0.0, 0.0))
    found = host_profile(SMALL, replace(times, requests=quick), "made", 10**10, 2)
    assert (found.message_overhead_s, found.stream_overhead_s, found.request_overhead_s) == (0, 0, 0)


def test_noise_that_turns_the_order_round_breaks_nothing() -> None:
    times = _times(_device(), 16)
    odd = replace(times, decode_s=(2e-3, 1e-3), full_cache_s=1e-6, prefill=((16, 1e-6), (64, 1e-6)))
    host_times = replace(_host_times(_device()), widths={16: odd}, head_s=0.0)
    found = host_profile(SMALL, host_times, "made", 10**10, 2)
    assert StageCost.of(SMALL, Stage(EDGE, 0, 8, embedding=True), found).step_s(1, 64) > 0


def test_without_prefills_there_still_is_a_profile() -> None:
    times = replace(_times(_device(), 16), prefill=())
    found = host_profile(SMALL, replace(_host_times(_device()), widths={16: times}), "made", 10**10, 2)
    assert found.flops_at(16) > 0


def test_times_survive_json() -> None:
    times = _host_times(_device())
    unsplit = replace(times, requests=replace(times.requests, split_s=None))
    for each in (times, unsplit):
        assert HostTimes.from_dict(json.loads(json.dumps(each.to_dict()))) == each
