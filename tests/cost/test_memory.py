"""What has to be held, and the clear refusal where it cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.cost.models import LLAMA_8B, MIXTRAL_8X7B, SMALL, llama
from tests.strategies import model_profiles, partitions
from workbench import profiles
from workbench.cost import fits, place_bytes, stage_bytes, weight_bytes
from workbench.errors import DoesNotFitError
from workbench.plan import CLOUD, EDGE, Partition, Placement, Plan, Stage
from workbench.profiles import ModelProfile
from workbench.quantization.weights import pack_linear, resident_bytes

DEVICES = {EDGE: profiles.device("raspberry-pi-5"), CLOUD: profiles.device("h100-sxm")}


def test_whole_model_at_16_bits_is_two_bytes_per_parameter() -> None:
    stage = Stage(EDGE, 0, 32, embedding=True, head=True)
    assert stage_bytes(LLAMA_8B, stage).weights == 2 * LLAMA_8B.params
    assert stage_bytes(SMALL, Stage(EDGE, 0, 8, embedding=True, head=True)).weights == 2 * SMALL.params


def test_packed_weights_leave_the_rest_at_16_bits() -> None:
    assert weight_bytes(1000, 900, 32) == 4000
    assert weight_bytes(1000, 900, 16) == 2000
    assert weight_bytes(1000, 900, 8) == 900 + 200
    assert weight_bytes(1000, 900, 4) == pytest.approx(900 * 0.625 + 200)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("shape", [(192, 192), (576, 192), (192, 576), (1024, 2048)])
def test_packed_layers_really_take_that_much(shape: tuple[int, int], bits: int) -> None:
    layer = torch.nn.Linear(*shape, bias=False, dtype=torch.bfloat16)
    n = layer.weight.numel()
    assert resident_bytes(pack_linear(layer, bits)) == pytest.approx(weight_bytes(n, n, bits), rel=0.012)


def test_experts_are_all_held() -> None:
    stage = Stage(CLOUD, 0, 32, embedding=True, head=True)
    assert stage_bytes(MIXTRAL_8X7B, stage).weights == 2 * MIXTRAL_8X7B.params


def test_the_cache_grows_to_the_window() -> None:
    free, windowed = (llama("m", 4, 256, 704, 8, 8, 2048, window=w) for w in (None, 64))
    stage = Stage(EDGE, 0, 4, embedding=True)
    assert stage_bytes(free, stage, 2, 100, 28).cache == 2 * 128 * 4 * 512 * 2
    assert stage_bytes(windowed, stage, 2, 100, 28).cache == 2 * 64 * 4 * 512 * 2


@given(st.integers(1, 8))
def test_a_split_of_a_tied_model_holds_the_tensor_on_both_sides(at: int) -> None:
    held = place_bytes(SMALL, Placement(Partition.split(8, at)))
    assert sum(h.weights for h in held.values()) == 2 * (SMALL.params + SMALL.embedding_params)


def test_a_u_shape_holds_a_tied_tensor_once() -> None:
    held = place_bytes(SMALL, Placement(Partition.u_shaped(8, (2, 6))))
    assert sum(h.weights for h in held.values()) == 2 * SMALL.params


@given(model_profiles(), st.data())
def test_no_parameter_is_lost(model: ModelProfile, data: st.DataObject) -> None:
    partition = data.draw(partitions(model.n_blocks))
    at_16 = Partition(partition.n_blocks, tuple(replace(s, bits=16) for s in partition.stages))
    held = sum(h.weights for h in place_bytes(model, Placement(at_16)).values())
    shared = model.embedding_params if model.tied else 0
    assert held in (2 * model.params, 2 * (model.params + shared))


def test_what_fits_says_what_it_takes() -> None:
    needs = fits(Plan.of("llama-8b", Partition.split(32, 8, edge_bits=4)), LLAMA_8B, DEVICES)
    assert needs[EDGE].total < needs[CLOUD].total
    assert needs[EDGE].total == needs[EDGE].weights + needs[EDGE].cache + needs[EDGE].activations


def test_what_does_not_fit_names_place_need_and_capacity() -> None:
    plan = Plan.of("llama-8b", Partition.split(32, 24))
    with pytest.raises(
        DoesNotFitError, match=r"edge needs 1\d\.\d\d GB of 'llama-8b'.*Raspberry Pi 5.*7\.20 GB"
    ):
        fits(plan, LLAMA_8B, DEVICES)


def test_a_long_context_alone_may_not_fit() -> None:
    plan = Plan.of("llama-8b", Partition.split(32, 8, edge_bits=4))
    with pytest.raises(DoesNotFitError, match="cache"):
        fits(plan, LLAMA_8B, DEVICES, batch=16, prompt_tokens=16_000)
