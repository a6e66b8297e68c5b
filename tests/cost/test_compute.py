"""The compute model: overhead plus roofline, and what makes it grow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.cost.models import LLAMA_8B, MIXTRAL_8X7B, SMALL, llama
from tests.profiles.tables import table_of, with_times
from tests.strategies import model_profiles
from workbench import profiles
from workbench.cost import StageCost, stage_decode_s, stage_prefill_s, stage_step_s
from workbench.plan import BITS, EDGE, Stage
from workbench.profiles import DeviceProfile, Kernel, ModelProfile

H100 = profiles.device("h100-sxm")
BARE = replace(H100, block_overhead_s=0.0, bandwidth_efficiency=1.0, flops_efficiency=1.0)
DEVICES = st.sampled_from(list(profiles.device_profiles().values()))


def _whole(model: ModelProfile, bits: int = 16) -> Stage:
    return Stage(EDGE, 0, model.n_blocks, embedding=True, head=True, bits=bits)


def test_a_decode_step_is_overhead_plus_bytes_over_bandwidth() -> None:
    device = replace(H100, block_overhead_s=1e-4, bandwidth_efficiency=0.5)
    weights = 2 * (sum(LLAMA_8B.block_params) + LLAMA_8B.head_params)
    cache = 2 * 101 * sum(LLAMA_8B.kv_elements)
    expected = 32 * 1e-4 + (weights + cache) / (0.5 * 3.35e12)
    assert stage_decode_s(LLAMA_8B, _whole(LLAMA_8B), device, 100) == pytest.approx(expected)


def test_a_long_prefill_is_two_operations_per_weight_and_attention() -> None:
    tokens = 4096
    blocks = 2 * sum(LLAMA_8B.block_params) * tokens
    attention = 4 * 32 * 4096 * tokens * (tokens + 1) / 2
    head = 2 * LLAMA_8B.head_params / 3.35e12
    expected = (blocks + attention) / 989e12 + head
    assert stage_prefill_s(LLAMA_8B, _whole(LLAMA_8B), BARE, tokens) == pytest.approx(expected)


@given(model_profiles(), DEVICES, st.integers(1, 500), st.integers(0, 5000), st.integers(1, 16))
def test_more_of_anything_never_takes_less(
    model: ModelProfile, device: DeviceProfile, tokens: int, context: int, batch: int
) -> None:
    cost = StageCost.of(model, _whole(model), device)
    base = cost.step_s(tokens, context, batch)
    assert base > 0
    for more in ((tokens + 1, context, batch), (tokens, context + 1, batch), (tokens, context, batch + 1)):
        assert cost.step_s(*more) >= base * (1 - 1e-12)


@given(model_profiles(), DEVICES, st.data())
def test_stages_add_up_to_the_whole_where_bytes_decide(
    model: ModelProfile, device: DeviceProfile, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, model.n_blocks))
    parts = [Stage(EDGE, 0, at, embedding=True), Stage(EDGE, at, model.n_blocks, head=True)]
    whole = stage_decode_s(model, _whole(model), device, 10)
    split = sum(stage_decode_s(model, stage, device, 10) for stage in parts)
    assert split >= whole * (1 - 1e-9)
    bound_by_bytes = replace(device, flops={16: 1e30})
    split = sum(stage_decode_s(model, stage, bound_by_bytes, 10) for stage in parts)
    assert split == pytest.approx(stage_decode_s(model, _whole(model), bound_by_bytes, 10), rel=1e-6)


@given(model_profiles(), st.sampled_from([(32, 16), (16, 8), (8, 4)]))
def test_fewer_bits_decode_faster(model: ModelProfile, bits: tuple[int, int]) -> None:
    bound_by_bytes = replace(BARE, flops={16: 1e30})
    wide, narrow = (stage_decode_s(model, _whole(model, b), bound_by_bytes, 0) for b in bits)
    assert narrow < wide


def test_a_window_stops_the_cache_from_growing() -> None:
    free, windowed = (llama("m", 4, 256, 704, 8, 8, 2048, window=w) for w in (None, 64))
    at = [stage_decode_s(windowed, _whole(windowed), BARE, n) for n in (10, 63, 64, 1000)]
    assert at[0] < at[1] == at[2] == at[3]
    assert stage_decode_s(free, _whole(free), BARE, 1000) > at[3]


@given(st.integers(1, 300), st.integers(0, 300), st.integers(1, 100))
def test_positions_seen_are_what_a_loop_counts(tokens: int, context: int, window: int) -> None:
    model = llama("m", 1, 256, 704, 8, 8, 2048, window=window)
    slow = replace(BARE, flops={16: 1.0})
    seen = sum(min(context + t, window) for t in range(1, tokens + 1))
    expected = 2 * model.block_active_params[0] * tokens + 4 * 256 * seen
    assert stage_step_s(model, Stage(EDGE, 0, 1, embedding=True), slow, tokens, context) == pytest.approx(
        expected
    )


def test_fewer_key_and_value_heads_read_less() -> None:
    many, few = (llama("m", 4, 256, 704, 8, kv, 2048) for kv in (8, 1))
    slope = [
        stage_decode_s(m, _whole(m), BARE, 2000) - stage_decode_s(m, _whole(m), BARE, 1000)
        for m in (many, few)
    ]
    assert slope[0] == pytest.approx(8 * slope[1])


def test_of_experts_only_the_active_ones_are_read() -> None:
    one = stage_decode_s(MIXTRAL_8X7B, _whole(MIXTRAL_8X7B), BARE, 0)
    active = 2 * (sum(MIXTRAL_8X7B.block_active_params) + MIXTRAL_8X7B.head_params) / 3.35e12
    assert one == pytest.approx(active, rel=1e-3)
    everything = 2 * (sum(MIXTRAL_8X7B.block_params) + MIXTRAL_8X7B.head_params) / 3.35e12
    assert stage_prefill_s(MIXTRAL_8X7B, _whole(MIXTRAL_8X7B), BARE, 8) == pytest.approx(everything, rel=1e-3)


def test_the_head_works_on_the_last_position_only() -> None:
    head = Stage(EDGE, 8, 8, head=True)
    assert stage_prefill_s(SMALL, head, H100, 500) == stage_prefill_s(SMALL, head, H100, 1)
    assert stage_prefill_s(SMALL, Stage(EDGE, 0, 0, embedding=True), H100, 500) == 0


def test_kernels_measured_one_by_one_are_used() -> None:
    kernels = {4: Kernel(1.0, 1e30, 1e30), 16: Kernel(2.0, 1e30, 1e30)}
    device = replace(H100, kernels=kernels, forward_overhead_s=10.0)
    assert [round(stage_decode_s(SMALL, _whole(SMALL, b), device, 0), 6) for b in (4, 16)] == [18.0, 26.0]


@given(model_profiles(), DEVICES, st.sampled_from(BITS), st.integers(1, 64), st.integers(0, 64))
def test_asking_once_or_often_is_the_same(
    model: ModelProfile, device: DeviceProfile, bits: int, tokens: int, context: int
) -> None:
    assume(model.n_blocks > 1)
    stage = Stage(EDGE, 1, model.n_blocks, head=True, bits=bits)
    assert StageCost.of(model, stage, device).step_s(tokens, context, 2) == stage_step_s(
        model, stage, device, tokens, context, 2
    )


# ---- several widths in one stage


@given(st.lists(st.sampled_from([16, 8, 4]), min_size=8, max_size=8), st.integers(1, 64), st.integers(0, 64))
def test_a_stage_of_several_widths_adds_up_its_parts(widths: list[int], tokens: int, context: int) -> None:
    device = replace(H100, forward_overhead_s=1e-3)
    mixed = StageCost.of(SMALL, Stage(EDGE, 0, 8, block_bits=tuple(widths)), device)
    alone = [StageCost.of(SMALL, Stage(EDGE, b, b + 1, bits=w), device) for b, w in enumerate(widths)]
    expected = 1e-3 + sum(cost.step_s(tokens, context) - 1e-3 for cost in alone)
    assert mixed.step_s(tokens, context) == pytest.approx(expected)


# ---- as measured


def _block_s(block: int, tokens: int, context: int, batch: int) -> float:
    return 1e-3 * (block + 1) * (1 + 0.01 * tokens + 0.001 * context) * batch


HOST = replace(BARE, name="host", spread=0.5)
TABLE, FASTER = (table_of(8, lambda *shape, k=k: k * _block_s(*shape)) for k in (1.0, 0.5))
MEASURED = with_times(SMALL, (16, TABLE), (4, FASTER))
STAGES = st.tuples(st.integers(0, 8), st.integers(0, 8)).map(sorted)


@given(STAGES, st.integers(1, 64), st.integers(0, 128), st.integers(1, 4))
def test_what_was_measured_is_summed_over_the_stage(
    blocks: list[int], tokens: int, context: int, batch: int
) -> None:
    first, last = blocks
    stage = Stage(EDGE, first, last, embedding=first == 0, head=last == 8 or first == last)
    cost = StageCost.of(MEASURED, stage, HOST)
    expected = TABLE.overhead_s + sum(TABLE.blocks_s(tokens, context, batch)[first:last])
    expected += TABLE.embedding_s(tokens, batch) if stage.embedding else 0
    expected += TABLE.head_s(batch) if stage.head else 0
    assert cost.step_s(tokens, context, batch) == pytest.approx(expected)
    assert (cost.source, cost.overhead_s) == ("measured", TABLE.overhead_s)


def test_each_block_counts_as_measured_at_its_own_width() -> None:
    cost = StageCost.of(MEASURED, Stage(EDGE, 2, 5, block_bits=(16, 4, 4)), HOST)
    expected = TABLE.overhead_s + TABLE.blocks_s(1, 50)[2] + sum(FASTER.blocks_s(1, 50)[3:5])
    assert cost.step_s(1, 50) == pytest.approx(expected)


@pytest.mark.parametrize("stage", [Stage(EDGE, 0, 8, bits=8), Stage(EDGE, 0, 2, block_bits=(16, 8))])
def test_a_width_that_was_not_measured_is_modelled(stage: Stage) -> None:
    cost = StageCost.of(MEASURED, stage, HOST)
    assert (cost.source, cost.spread) == ("analytic", 0.5)
    assert cost.step_s(1, 50) == StageCost.of(SMALL, stage, HOST).step_s(1, 50)


def test_times_are_true_of_the_device_that_they_name() -> None:
    stage = _whole(SMALL)
    assert StageCost.of(MEASURED, stage, H100) == StageCost.of(SMALL, stage, H100)
    assert StageCost.of(MEASURED, stage, replace(HOST, spread=0.0)).spread == TABLE.spread == 0.1
    assert StageCost.of(MEASURED, stage, HOST).spread == HOST.spread == 0.5  # the wider of both
