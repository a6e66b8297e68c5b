"""A split model gives the logits of the unsplit one, bit for bit."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from tests.models.toys import (
    CHUNKS,
    left_padded,
    split,
    stages_of,
    three_stages,
    through,
    tiny_models,
    tokens,
    toy,
    unsplit,
)
from workbench.errors import InputError, PlanError, UnsupportedArchitectureError
from workbench.models.anatomy import find_anatomy
from workbench.models.slice import Boundary, StageModel, can_split, slice_model
from workbench.plan import CLOUD, EDGE, Partition, Stage

FAMILIES = (
    "llama",
    "gpt2",
    "gptj",
    "gpt_neox",
    "opt",
    "bloom",
    "falcon",
    "mistral",
    "qwen3",
    "phi",
    "gemma2",
    "gemma3_text",
    "gemma3n_text",
    "deepseek_v3",
    "mixtral",
    "jamba",
    "zamba2",
    "falcon_h1",
    "bart",
)
N = 4  # blocks of every toy


@pytest.mark.parametrize("family", FAMILIES)
def test_every_split_is_exact(family: str) -> None:
    """Left padding, a prefill in chunks, one token, several tokens."""
    model, ids, mask = toy(family), tokens(2, sum(CHUNKS)), left_padded(2, sum(CHUNKS))
    truth = unsplit(model, ids, CHUNKS, mask)
    assert truth.std(dim=1).mean() > 1e-3, "the toy's logits hardly differ: it would prove nothing"
    for split_point in range(N + 1):
        stages = stages_of(model, Partition.split(N, split_point))
        assert torch.equal(split(stages, ids, CHUNKS, mask), truth), f"split at {split_point}"


@pytest.mark.parametrize("family", ["llama", "gemma3n_text", "zamba2", "deepseek_v3"])
def test_more_stages_are_exact(family: str) -> None:
    model, ids = toy(family), tokens(2, sum(CHUNKS))
    truth = unsplit(model, ids, CHUNKS)
    for partition in (Partition.u_shaped(N, (1, 3)), Partition.u_shaped(N, (0, N)), three_stages(N)):
        assert torch.equal(split(stages_of(model, partition), ids, CHUNKS), truth), str(partition)


def test_mamba_has_no_keys_and_is_exact() -> None:
    model, ids = toy("mamba"), tokens(2, sum(CHUNKS))
    truth = unsplit(model, ids, CHUNKS)
    for split_point in range(N + 1):
        assert torch.equal(split(stages_of(model, Partition.split(N, split_point)), ids, CHUNKS), truth)


@cache
def _llama_stages(partition: Partition) -> list[StageModel]:
    return stages_of(toy("llama"), partition)


@settings(max_examples=15)
@given(
    chunks=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    cuts=st.tuples(st.integers(0, N), st.integers(0, N)).map(sorted),
    batch=st.integers(1, 3),
    padding=st.integers(0, 4),
    seed=st.integers(0, 99),
)
def test_any_chunking_is_exact(
    chunks: list[int], cuts: list[int], batch: int, padding: int, seed: int
) -> None:
    model, n_tokens = toy("llama"), sum(chunks)
    ids = tokens(batch, n_tokens, seed)
    mask = left_padded(batch, n_tokens, padding) if 0 < padding < chunks[0] else None
    first, last = cuts
    partition = Partition.u_shaped(N, (first, last)) if first < last else Partition.split(N, first)
    assert torch.equal(split(_llama_stages(partition), ids, chunks, mask), unsplit(model, ids, chunks, mask))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["llama", "gemma3n_text", "jamba"])
def test_half_precision_is_exact_too(family: str, dtype: torch.dtype) -> None:
    model = copy.deepcopy(toy(family)).to(dtype)
    ids = tokens(1, sum(CHUNKS))
    stages = stages_of(model, Partition.split(N, 2))
    assert torch.equal(split(stages, ids, CHUNKS), unsplit(model, ids, CHUNKS))
    assert stages[0].dtype == dtype


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_cuda_is_exact(dtype: torch.dtype) -> None:
    model = copy.deepcopy(toy("llama")).to("cuda", dtype)
    ids = tokens(2, sum(CHUNKS)).cuda()
    stages = stages_of(model, Partition.split(N, 2))
    assert torch.equal(split(stages, ids, CHUNKS), unsplit(model, ids, CHUNKS))


def test_only_the_logits_asked_for() -> None:
    model, ids = toy("llama"), tokens(2, 9)
    edge, cloud = stages_of(model, Partition.split(N, 2))
    boundary = edge.forward(ids, logits_to_keep=1)
    assert isinstance(boundary, Boundary)
    assert boundary.tensors[0].shape == (2, 9, 32)
    with torch.inference_mode():
        truth = model(ids, logits_to_keep=1).logits
    assert torch.equal(cloud.forward(boundary, logits_to_keep=1), truth)


def test_stages_share_nothing_and_lose_nothing() -> None:
    model = toy("qwen3")
    owned = [
        {n for n, _ in s.module.named_parameters()} for s in stages_of(model, Partition.u_shaped(N, (1, 3)))
    ]
    everything = {name for name, _ in model.named_parameters()}
    assert set.union(*owned) == everything
    assert sum(map(len, owned)) == len(everything)


def test_a_tied_head_needs_no_embedding() -> None:
    model = tiny_models.tiny_model("llama", tie_word_embeddings=True)
    cloud = slice_model(copy.deepcopy(model), Stage(CLOUD, 2, N, head=True))
    names = {name for name, _ in cloud.module.named_parameters()}
    assert "lm_head.weight" in names
    assert "model.embed_tokens.weight" not in names
    assert cloud.aliases["lm_head.weight"] == ("model.embed_tokens.weight", "lm_head.weight")


@pytest.mark.parametrize("family", ["llama", "zamba2", "gemma3n_text"])
def test_a_stage_cut_without_weights_takes_them_later(family: str) -> None:
    model, ids = toy(family), tokens(1, sum(CHUNKS))
    stages, weights = [], dict(model.state_dict())
    for stage in Partition.split(N, 2).stages:
        with torch.device("meta"):
            bare = type(model)(copy.deepcopy(model.config))
        cut = slice_model(bare, stage)
        assert all(p.is_meta for p in cut.module.parameters())
        own = {name: weights[name] for name, _ in cut.module.named_parameters(remove_duplicate=False)}
        cut.module.load_state_dict(own, strict=False, assign=True)
        _copy_buffers(model, cut.module)
        stages.append(cut)
    with torch.no_grad():
        assert torch.allclose(split(stages, ids, CHUNKS), unsplit(model, ids, CHUNKS), atol=1e-5)


def _copy_buffers(source: PreTrainedModel, target: PreTrainedModel) -> None:
    known = dict(source.named_buffers())
    for path, module in target.named_modules():
        for name in module._buffers:
            module._buffers[name] = known[f"{path}.{name}" if path else name]


def test_several_tensors_cross_where_the_architecture_needs_it() -> None:
    zamba = find_anatomy(toy("zamba2"))
    assert zamba.boundary_elements == (64, 64, 64, 64, 32)  # the embedding goes along until the last block
    gemma = find_anatomy(toy("gemma3n_text"))
    assert [len(c) for c in gemma.flow.crossing][-1] == 1
    assert len(gemma.flow.crossing[1]) > 1  # per-layer inputs


def test_borrowed_keys_cross_once() -> None:
    """Blocks 2 and 3 borrow the keys and values of 0 and 1: those of new tokens cross, not the past's."""
    stages = stages_of(toy("gemma3n_text"), Partition.split(N, 3))
    edge = stages[0].new_cache()
    for part in (tokens(1, 9), tokens(1, 1)):
        boundary = stages[0].forward(part, cache=edge)
        assert isinstance(boundary, Boundary)
        sizes = dict(zip(boundary.names, boundary.tensors, strict=True))
        assert sizes["3.shared_kv_states.full_attention.0"].shape[-2] == part.shape[1]


def test_refuses_a_model_that_reads_past_its_blocks() -> None:
    """Its head adds the embedding, which no block's argument carries."""
    with pytest.raises(UnsupportedArchitectureError, match="after the blocks"):
        can_split(_Peeking(_tiny_llama()))


def test_token_ids_travel_where_a_later_stage_reads_them() -> None:
    model, ids = _ReadingIdsLate(_tiny_llama()).eval(), tokens(2, 9)
    tiny_models.randomize(model)
    edge, cloud = stages_of(model, Partition.split(N, 2))
    assert cloud.needs_token_ids
    assert not edge.needs_token_ids
    with torch.inference_mode():
        assert torch.equal(through([edge, cloud], ids), model(ids).logits)
    with pytest.raises(InputError, match="needs token_ids"):
        cloud.forward(edge.forward(ids))


def test_refuses_blocks_that_run_twice() -> None:
    with pytest.raises(UnsupportedArchitectureError, match="once each"):
        can_split(toy("hrm_text"))


def test_the_whole_is_a_stage_too() -> None:
    model, ids = toy("gpt2"), tokens(1, sum(CHUNKS))
    whole = slice_model(copy.deepcopy(model), Stage(EDGE, 0, N, embedding=True, head=True))
    assert torch.equal(split([whole], ids, CHUNKS), unsplit(model, ids, CHUNKS))


def test_says_what_is_wrong_with_a_stage_or_its_inputs() -> None:
    model, ids = toy("llama"), tokens(1, 3)
    with pytest.raises(PlanError, match="has 4 blocks"):
        slice_model(copy.deepcopy(model), Stage(CLOUD, 2, 5, head=True))
    with pytest.raises(PlanError, match="block 0"):
        slice_model(copy.deepcopy(model), Stage(EDGE, 1, 3, embedding=True))
    edge, cloud = stages_of(model, Partition.split(N, 2))
    other = stages_of(model, Partition.split(N, 3))[0].forward(ids)
    with pytest.raises(InputError, match="boundary activation, not token ids"):
        cloud.forward(ids)
    with pytest.raises(InputError, match="takes token ids"):
        edge.forward(other)
    with pytest.raises(InputError, match=r"3\.0"):
        cloud.forward(other)


def test_an_architecture_without_cache_says_so() -> None:
    model, ids = toy("openai-gpt"), tokens(2, 9)
    stages = stages_of(model, Partition.split(N, 2))
    with torch.inference_mode():
        assert torch.equal(through(stages, ids), model(ids).logits)
    with pytest.raises(UnsupportedArchitectureError, match="no cache"):
        stages[0].new_cache()


def _tiny_llama() -> LlamaConfig:
    config = toy("llama").config
    assert isinstance(config, LlamaConfig)
    return copy.deepcopy(config)


class _Peeking(LlamaForCausalLM):
    def forward(self, input_ids: torch.Tensor, **kwargs: object) -> object:  # type: ignore[override]
        embedded = self.model.embed_tokens(input_ids)
        output = self.model(input_ids=input_ids, **kwargs)
        output.logits = self.lm_head(output.last_hidden_state + embedded)
        return output


class _ReadingIdsLate(LlamaForCausalLM):
    def forward(self, input_ids: torch.Tensor, **kwargs: object) -> object:  # type: ignore[override]
        output = self.model(input_ids=input_ids, **kwargs)
        output.logits = self.lm_head(output.last_hidden_state + self.model.embed_tokens(input_ids))
        return output
