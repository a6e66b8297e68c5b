"""Fits of a host: what made the times is found again, and noise is survived."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cost.models import SMALL
from workbench.cost import StageCost, weight_bytes
from workbench.plan import CLOUD, EDGE, Stage
from workbench.profiler.fitting import HostTimes, WidthTimes, host_profile
from workbench.profiles import DeviceProfile, Kernel

_CONTEXTS = (64, 512)


def _times(device: DeviceProfile, bits: int) -> WidthTimes:
    """What a host that follows the cost model exactly would show."""
    few, many = (StageCost.of(SMALL, Stage(EDGE, 0, k, embedding=True, bits=bits), device) for k in (2, 8))
    return WidthTimes(
        blocks=(2, 8),
        decode_s=(few.step_s(1, _CONTEXTS[0]), many.step_s(1, _CONTEXTS[0])),
        after_wait_s=(few.step_s(1, _CONTEXTS[0]) + 1e-4, many.step_s(1, _CONTEXTS[0]) + 1e-4),
        contexts=_CONTEXTS,
        full_cache_s=many.step_s(1, _CONTEXTS[1]),
        prefill=tuple((t, many.step_s(t)) for t in (16, 64, 256)),
        block_bytes=weight_bytes(SMALL.block_params[0], SMALL.block_quantizable[0], bits),
        spread=0.2,
    )


def _host_times(device: DeviceProfile, widths: tuple[int, ...] = (16, 4)) -> HostTimes:
    head = StageCost.of(SMALL, Stage(CLOUD, 8, 8, head=True), device)
    return HostTimes(
        model="small",
        threads=1,
        widths={bits: _times(device, bits) for bits in widths},
        bandwidth_bytes_per_s=2e10,
        head_s=head.step_s(1),
        message_s=2e-4,
        sample_s=1e-5,
        tokenize_s_per_token=3e-6,
        encode_s=1e-4,
        encode_s_per_element=2e-9,
        cpu_share=1.0,
    )


def _device(**values: object) -> DeviceProfile:
    made = DeviceProfile(
        "made", "made", "host", {16: 1e11}, 10**10, 2e10, 3e-4, 1.0, 2.0, forward_overhead_s=2e-4
    )
    return replace(made, **values)  # type: ignore[arg-type]


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


def test_the_head_and_waiting_are_told_apart() -> None:
    true = _device(head_overhead_s=5e-4)
    found = host_profile(SMALL, _host_times(true), "made", 10**10, 2)
    whole = Stage(EDGE, 0, 8, embedding=True, head=True)
    assert StageCost.of(SMALL, whole, found).step_s(1, 64) == pytest.approx(
        StageCost.of(SMALL, whole, true).step_s(1, 64), rel=0.02
    )
    assert found.message_overhead_s == pytest.approx((2e-4 + 1e-4) / 2)
    assert (found.name, found.kind, found.sample_s) == ("host", "host", 1e-5)
    coding = (found.tokenize_s_per_token, found.encode_s, found.encode_s_per_element)
    assert (*coding, found.spread) == (3e-6, 1e-4, 2e-9, 0.2)
    assert found.sources["kernels"].label == "measured"
    assert found.sources["active_w"].label == "modelled"


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
    assert HostTimes.from_dict(times.to_dict()) == times
