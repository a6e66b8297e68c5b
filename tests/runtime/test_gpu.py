"""Stages on a GPU make the tokens that stages on the CPU make."""

from collections.abc import Callable

import pytest

from workbench.models import Model
from workbench.plan import Partition, Plan
from workbench.runtime import EdgeClient


@pytest.mark.gpu
def test_a_stage_on_the_gpu_makes_the_same_tokens(model: Model, edge_of: Callable[..., EdgeClient]) -> None:
    plan = Plan.of("tiny", Partition.u_shaped(model.n_blocks, (2, 6), 32, 32), "fp32")
    prompts = ["def read(", "The file object is closed when"]
    texts = [
        edge_of(plan, compute=place).generate(prompts, max_new_tokens=8).texts for place in ("cpu", "cuda")
    ]
    assert texts[0] == texts[1]
