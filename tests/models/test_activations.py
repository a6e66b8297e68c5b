"""What a pass holds on its way, counted without weights: it is what a real one holds."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
from torch import Tensor, nn

from tests.models.toys import toy
from workbench.cost import stage_bytes
from workbench.models.activations import AliveBytes
from workbench.models.load import build_empty, load_model
from workbench.models.profile import read_profile
from workbench.models.slice import Boundary, StageModel, slice_model
from workbench.plan import CLOUD, EDGE, Stage

FAMILIES = ("llama", "gpt2", "mistral", "mixtral", "gemma", "qwen3", "phi")


def _peak_bytes(stage: StageModel, inputs: Tensor | Boundary) -> int:
    """Of a real forward, besides what it leaves in the cache."""
    batch = (inputs if isinstance(inputs, Tensor) else inputs.tensors[0]).shape[0]
    cache = stage.new_cache(batch)
    with AliveBytes(stage.module) as alive:
        stage.forward(inputs, cache=cache, logits_to_keep=1)
    return alive.peak_bytes - cache.n_bytes


@pytest.mark.parametrize(("tokens", "batch"), [(16, 1), (64, 1), (48, 3)])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_block_holds_what_was_counted(family: str, tokens: int, batch: int) -> None:
    model = toy(family)
    profile = read_profile(build_empty(model.config, torch.bfloat16), family)
    stage = Stage(EDGE, 0, profile.n_blocks, embedding=True)
    part = slice_model(copy.deepcopy(model).to(torch.bfloat16), stage)
    ids = torch.ones((batch, tokens), dtype=torch.long)
    counted = stage_bytes(profile, stage, batch, tokens).activations
    assert counted == pytest.approx(_peak_bytes(part, ids), rel=0.1)


@pytest.mark.parametrize("bits", [32, 16])
@pytest.mark.parametrize(("tokens", "batch"), [(16, 1), (64, 1), (256, 4)])
@pytest.mark.parametrize("at", [0, 3, 8])
def test_each_side_of_the_shipped_model_holds_what_is_predicted(
    at: int, tokens: int, batch: int, bits: int
) -> None:
    model = load_model("tiny")
    edge = Stage(EDGE, 0, at, embedding=True, bits=bits)
    cloud = Stage(CLOUD, at, model.n_blocks, head=True, bits=bits)
    inputs: Tensor | Boundary = torch.ones((batch, tokens), dtype=torch.long)
    for stage in (edge, cloud):
        part = model.load_stage(stage)
        found = stage_bytes(model.profile, stage, batch, tokens, 0)
        assert found.total == pytest.approx(found.resident + _peak_bytes(part, inputs), rel=0.05)
        inputs = part.forward(inputs)  # type: ignore[assignment]


def test_bytes_that_are_given_back_no_longer_count() -> None:
    with AliveBytes(nn.Linear(4, 4)) as alive:
        first = torch.ones(1000)
        second = first + 1
        del first
        gc.collect()
        third = second + 1
    assert (alive.now_bytes, alive.peak_bytes) == (8000, 8000)
    del second, third
    assert alive.now_bytes == 0


def test_views_and_weights_count_nothing() -> None:
    layer = nn.Linear(8, 8)
    with torch.no_grad(), AliveBytes(layer) as alive:
        kept = [layer.weight.t(), layer.weight.view(-1), layer(torch.ones(1, 8)).view(8)]
    assert alive.now_bytes == 32
    assert len(kept) == 3
