"""An attached adapter is ``W + scale · B A`` beside weights that stay what they are."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from tests.models.adapter_files import ALPHA, RANK, linear_layers, merged, write_adapter
from tests.models.toys import CHUNKS, split, through, tokens, toy, unsplit
from workbench.errors import UnknownNameError
from workbench.models import Adapter, Model, load_adapter, load_model
from workbench.models.adapters import WEIGHTS
from workbench.models.slice import StageModel
from workbench.plan import CLOUD, EDGE, Partition, Stage
from workbench.quantization.weights import PackedLinear, resident_bytes

FAMILIES = {  # with the list of their blocks
    "llama": "model.layers",
    "gpt2": "transformer.h",  # Conv1D: weights are [K, N]
    "gpt_neox": "gpt_neox.layers",  # its linear layers have biases
    "mixtral": "model.layers",  # experts are no linear layers; attention is
}
N = 4  # blocks of every toy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adapted")


def base(family: str, folder: Path) -> Model:
    path = folder / family
    if not path.exists():
        toy(family).save_pretrained(path)
    return load_model(path)


def adapter(family: str, folder: Path, seed: int = 0, **config: Any) -> Adapter:
    """An adapter on all linear layers of the blocks."""
    model, where = base(family, folder), folder / f"{family}-{seed}-{'-'.join(config)}"
    paths = list(linear_layers(toy(family), FAMILIES[family]))
    write_adapter(where, toy(family), family, paths, seed, **config)
    return load_adapter(where, model)


def stages(
    model: Model, at: int | None = None, bits: int = 32, dtype: torch.dtype | None = None
) -> list[StageModel]:
    partition = Partition.unsplit(N, EDGE, bits) if at is None else Partition.split(N, at, bits, bits)
    return [model.load_stage(stage, dtype=dtype) for stage in partition.stages]


def attach(parts: list[StageModel], *adapters: Adapter, use: str | None = None) -> None:
    for part in parts:
        for found in adapters:
            part.attach(found)
        part.use(use)


def distance(got: Tensor, expected: Tensor) -> float:
    return ((got - expected).float().norm() / expected.float().norm()).item()


@pytest.mark.parametrize("family", FAMILIES)
def test_it_computes_what_merged_weights_do(family: str, folder: Path) -> None:
    model, ids = base(family, folder), tokens(2, 9)
    found, whole = adapter(family, folder), model.load_full()
    with torch.inference_mode():
        expected, plain = merged(whole, found.folder)(ids).logits, whole(ids).logits
    [part] = parts = stages(model)
    attach(parts, found, use=found.name)
    got = part.forward(ids)
    assert isinstance(got, Tensor)
    assert distance(got, expected) < 1e-5
    assert distance(plain, expected) > 0.05
    part.use(None)
    assert torch.equal(part.forward(ids), plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_split_anywhere_and_with_caches_it_is_the_same(family: str, folder: Path) -> None:
    model, found, ids = base(family, folder), adapter(family, folder), tokens(2, sum(CHUNKS))
    whole = stages(model)
    attach(whole, found, use=found.name)
    expected = split(whole, ids, CHUNKS)
    assert distance(expected, unsplit(merged(model.load_full(), found.folder), ids, CHUNKS)) < 1e-5
    for at in (0, 1, N):
        parts = stages(model, at)
        attach(parts, found, use=found.name)
        assert torch.equal(split(parts, ids, CHUNKS), expected)


@pytest.mark.parametrize(
    ("bits", "dtype"), [(16, None), (8, None), (4, None), (8, torch.float32), (4, torch.float32)]
)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_packed_and_half_precision_layers_take_it_too(
    family: str, bits: int, dtype: torch.dtype | None, folder: Path
) -> None:
    model, found, ids = base(family, folder), adapter(family, folder), tokens(2, 9)
    parts, plain = stages(model, bits=bits, dtype=dtype), stages(model, bits=bits, dtype=dtype)
    attach(parts, found)
    assert torch.equal(through(parts, ids), through(plain, ids))
    assert any(isinstance(m, PackedLinear) for m in parts[0].module.modules()) == (bits < 16)
    attach(parts, use=found.name)
    got = through(parts, ids)
    assert distance(got, by_hand(plain[0], found, ids)) < (1e-5 if dtype == torch.float32 else 0.1)
    assert got.dtype == plain[0].dtype
    assert distance(got, through(plain, ids)) > 0.05
    pair = stages(model, 2, bits, dtype)
    attach(pair, found, use=found.name)
    assert torch.equal(through(pair, ids), got)


def by_hand(part: StageModel, found: Adapter, ids: Tensor) -> Tensor:
    """Each layer's own kernel, and the product in float32 beside it."""

    def adder(down: Tensor, up: Tensor) -> Any:
        return lambda layer, args, output: (
            output.float() + found.scale * (args[0].float() @ down.T @ up.T)
        ).to(output.dtype)

    handles = [
        part.module.get_submodule(p.path).register_forward_hook(adder(p.down.read(), p.up.read()))
        for p in found.pieces
    ]
    logits = through([part], ids)
    for handle in handles:
        handle.remove()
    return logits


def test_several_are_there_at_once_and_the_base_is_held_once(folder: Path) -> None:
    model, ids = base("llama", folder), tokens(1, 7)
    [part] = parts = stages(model)
    before = resident_bytes(part.module)
    found = [adapter("llama", folder, seed) for seed in (1, 2, 3)]
    alone = []
    for one in found:
        single = stages(model)
        attach(single, one, use=one.name)
        alone.append(through(single, ids))
    attach(parts, *found)
    attach(parts, *found)  # a second time is nothing
    assert part.adapters == tuple(one.name for one in found)
    assert resident_bytes(part.module) == before + sum(one.n_bytes for one in found)  # both float32
    plain = through(stages(model), ids)
    for one, expected in [*zip(found, alone, strict=True)] * 2:
        part.use(one.name)
        assert part.adapter == one.name
        assert torch.equal(through(parts, ids), expected)
        part.use(None)
        assert torch.equal(through(parts, ids), plain)


@pytest.mark.parametrize("bits", [16, 4])
def test_a_stage_holds_the_pieces_of_its_own_blocks(bits: int, folder: Path) -> None:
    model, found = base("llama", folder), adapter("llama", folder)
    assert sum(found.block_bytes) == found.n_bytes == 4 * sum(found.block_elements)
    assert found.n_bytes == sum(t.nbytes for t in load_file(found.folder / WEIGHTS).values())
    for start, stop in ((0, 1), (1, 3), (3, N)):
        stage = Stage(CLOUD, start, stop, embedding=start == 0, head=stop == N, bits=bits)
        part = model.load_stage(stage)
        before = resident_bytes(part.module)
        part.attach(found)
        assert resident_bytes(part.module) - before == 2 * sum(found.block_elements[start:stop])


def test_a_block_without_a_piece_is_the_bases(folder: Path) -> None:
    model, where = base("llama", folder), folder / "two-layers"
    paths = ["model.layers.1.self_attn.q_proj", "model.layers.1.mlp.down_proj"]
    write_adapter(where, toy("llama"), "llama", paths, layers_to_transform=[1])
    found = load_adapter(where, model)
    assert [bool(n) for n in found.block_bytes] == [False, True, False, False]
    parts = stages(model, 3)
    attach(parts, found, use=found.name)
    with torch.inference_mode():
        assert distance(through(parts, tokens(1, 5)), merged(toy("llama"), where)(tokens(1, 5)).logits) < 1e-5
    assert parts[1].adapters == (found.name,)


def test_a_rank_stabilised_scale(folder: Path) -> None:
    model, found = base("llama", folder), adapter("llama", folder, use_rslora=True)
    assert found.scale == ALPHA / math.sqrt(RANK)
    parts = stages(model)
    attach(parts, found, use=found.name)
    with torch.inference_mode():
        expected = merged(toy("llama"), found.folder, found.scale)(tokens(1, 5)).logits
    assert distance(through(parts, tokens(1, 5)), expected) < 1e-5


def test_a_name_that_is_not_attached_is_refused_and_changes_nothing(folder: Path) -> None:
    model, found = base("llama", folder), adapter("llama", folder)
    [part] = parts = stages(model)
    attach(parts, found, use=found.name)
    with pytest.raises(UnknownNameError, match="no attached adapter is called 'other'"):
        part.use("other")
    assert part.adapter == found.name


def test_switching_costs_microseconds(folder: Path) -> None:
    [part] = parts = stages(base("llama", folder))
    found = adapter("llama", folder)
    attach(parts, found)
    times = []
    for _ in range(200):
        start = perf_counter()
        part.use(found.name)
        part.use(None)
        times.append(perf_counter() - start)
    assert sorted(times)[100] < 50e-6


@cache
def _attached(folder: Path) -> tuple[list[StageModel], list[Adapter]]:
    parts, found = stages(base("llama", folder), 2), [adapter("llama", folder, seed) for seed in (4, 5)]
    attach(parts, *found)
    return parts, found


@settings(max_examples=15)
@given(
    chunks=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    turns=st.lists(st.sampled_from([0, 1, None]), min_size=1, max_size=4),
)
def test_any_order_of_use_is_exact(folder: Path, chunks: list[int], turns: list[int | None]) -> None:
    parts, found = _attached(folder)
    ids = tokens(2, sum(chunks))
    for turn in turns:
        for part in parts:
            part.use(None if turn is None else found[turn].name)
        expected = toy("llama") if turn is None else merged(toy("llama"), found[turn].folder)
        assert distance(split(parts, ids, chunks), unsplit(expected, ids, chunks)) < 1e-5


@pytest.mark.gpu
@pytest.mark.parametrize("bits", [32, 16, 8, 4])
def test_adapters_live_on_a_gpu(bits: int, folder: Path) -> None:
    model, found, ids = base("llama", folder), adapter("llama", folder), tokens(2, 9)
    here = stages(model, bits=bits)
    there = [model.load_stage(part.stage, device="cuda") for part in here]
    for parts in (here, there):
        attach(parts, found, use=found.name)
    assert distance(through(there, ids.cuda()).cpu(), through(here, ids)) < 0.05
