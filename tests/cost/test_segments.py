"""Columns that planners add up say what a stage says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cost.models import LLAMA_8B, MIXTRAL_8X7B
from tests.strategies import model_profiles
from workbench import profiles
from workbench.cost import BlockColumns, StageCost, decode_contexts, stage_bytes
from workbench.plan import BITS, Stage
from workbench.profiles import ModelProfile

DEVICE = profiles.device("jetson-agx-orin")


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(st.sampled_from([LLAMA_8B, MIXTRAL_8X7B]), model_profiles()),
    st.sampled_from(BITS),
    st.integers(1, 300),
    st.integers(2, 9),
    st.sampled_from([1, 4]),
    st.data(),
)
def test_a_run_of_blocks_is_the_sum_of_its_columns(
    model: ModelProfile, bits: int, prompt: int, new: int, batch: int, data: st.DataObject
) -> None:
    columns = BlockColumns.of(model, DEVICE, bits, prompt_tokens=prompt, new_tokens=new, batch=batch)
    i = data.draw(st.integers(0, model.n_blocks - 1))
    j = data.draw(st.integers(i + 1, model.n_blocks))
    cost = StageCost.of(model, Stage("edge", i, j, bits=bits), DEVICE)
    prefill_s = columns.overhead_s + columns.prefill_s[i:j].sum()
    decode_s = columns.overhead_s + columns.decode_s[i:j].sum()
    steps = [cost.step_s(1, context, batch) for context in range(prompt, prompt + new - 1)]
    assert prefill_s == pytest.approx(cost.step_s(prompt, 0, batch))
    assert decode_s == pytest.approx(sum(steps) / len(steps))
    held = stage_bytes(model, Stage("edge", i, j, bits=bits), batch, prompt, new)
    assert columns.held_bytes[i:j].sum() == pytest.approx(held.weights + held.cache, abs=j - i)
    assert columns.alive_bytes[i, j] + columns.received_bytes[i] == held.activations


def test_few_contexts_stand_for_many() -> None:
    assert decode_contexts(10, 4) == (10, 11, 12)
    assert decode_contexts(10, 1) == ()
    many = decode_contexts(100, 1001)
    assert len(many) == 8
    assert sum(many) / 8 == pytest.approx(sum(range(100, 1100)) / 1000, abs=0.5)
