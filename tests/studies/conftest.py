"""A question without weights: a model of 7 billion parameters as numbers, a small edge, a fast cloud."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile
from workbench.studies import Space, Study

N_BLOCKS = 8


def model_profile(n_blocks: int = N_BLOCKS, hidden: int = 1024) -> ModelProfile:
    block = 12 * hidden * hidden
    per_block = (block,) * n_blocks
    return ModelProfile(
        name="numbers",
        architecture="LlamaForCausalLM",
        n_blocks=n_blocks,
        hidden=hidden,
        vocab=8000,
        max_positions=2048,
        boundary_elements=(hidden,) * (n_blocks + 1),
        block_params=per_block,
        block_active_params=per_block,
        block_quantizable=per_block,
        kv_elements=(2 * hidden,) * n_blocks,
        attention_width=(hidden,) * n_blocks,
        window=(None,) * n_blocks,
        embedding_params=8000 * hidden,
        head_params=8000 * hidden,
        tied=False,
    )


EDGE = DeviceProfile("small", "Small edge", "sbc", {16: 2e11}, 10**9, 1e10, 1e-4, 3, 10)
CLOUD = DeviceProfile("big", "Big cloud", "server-gpu", {16: 1e15}, 80 * 10**9, 3e12, 1e-5, 100, 700)
LINK = LinkProfile(0.04, 1e7, 4e7, name="line", title="A line")
SPACE = Space(edge_bits=(16, 4), cloud_bits=(16,), wires=("fp16", "int8"))

MakeStudy = Callable[..., Study]


@pytest.fixture
def make_study() -> MakeStudy:
    """A study of costs alone; any argument of `Study` can be given instead."""

    def make(**changes: Any) -> Study:
        base = {"objectives": ("latency", "memory"), "space": SPACE, "sampler": "tpe"}
        model = changes.pop("model", model_profile())
        devices = changes.pop("edge", EDGE), changes.pop("cloud", CLOUD)
        return Study(model, *devices, changes.pop("link", LINK), **(base | changes))

    return make


@pytest.fixture
def deep_model() -> ModelProfile:
    """Of so many blocks that a search takes a while."""
    return model_profile(n_blocks=60)


@pytest.fixture
def tight_edge() -> DeviceProfile:
    """Too small for the whole model at 16 bits."""
    return replace(EDGE, memory_bytes=150 * 10**6)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "study.db"
