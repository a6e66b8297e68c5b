"""Stages read from disk hold what transformers itself loads, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from torch import Tensor, nn
from transformers import PreTrainedModel

from tests.models.toys import through, tokens, toy
from workbench.cost import place_bytes, stage_bytes
from workbench.models import Model, load_model, shipped_models
from workbench.models.checkpoint import StoredTensor
from workbench.models.slice import Boundary
from workbench.plan import CLOUD, EDGE, Partition, Placement, Stage
from workbench.quantization.weights import PackedLinear, is_packable, quantize_linears, resident_bytes

FAMILIES = (
    "llama",
    "gpt2",  # Conv1D, tied
    "gpt_neox",  # its head is renamed on the way
    "falcon",  # a linear layer of its own
    "mixtral",  # experts are stacked on the way
    "deepseek_v3",  # dense and sparse blocks
    "mamba",
    "jamba",
    "gemma3_text",  # scaled embedding: a buffer that is computed
    "gemma3n_text",  # several tensors cross, caches are shared
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


def saved(family: str, folder: Path, **how: str) -> Path:
    """A toy's checkpoint, in many small files."""
    path = folder / family
    if not path.exists():
        toy(family).save_pretrained(path, max_shard_size=how.get("max_shard_size", "60KB"))
    return path


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Everything that a model holds, by each of its names."""
    return dict(model.named_parameters(remove_duplicate=False)) | dict(
        model.named_buffers(remove_duplicate=False)
    )


def assert_same(part: nn.Module, whole: PreTrainedModel) -> None:
    expected = tensors(whole)
    for name, tensor in tensors(part).items():
        assert tensor.dtype == expected[name].dtype, name
        assert torch.equal(tensor, expected[name]), name


def whole_stage(model: Model, bits: int = 32) -> Stage:
    return Stage(EDGE, 0, model.n_blocks, embedding=True, head=True, bits=bits)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_model_is_what_transformers_loads(family: str, folder: Path) -> None:
    model = load_model(saved(family, folder))
    for dtype in (torch.float32, torch.bfloat16):
        whole = model.load_full(dtype=dtype)
        part = model.load_stage(whole_stage(model), dtype=dtype)
        assert tensors(part.module).keys() == tensors(whole).keys()
        assert_same(part.module, whole)


@pytest.mark.parametrize("family", FAMILIES)
def test_stages_hold_their_part_and_compute_the_same(family: str, folder: Path) -> None:
    model = load_model(saved(family, folder))
    whole = model.load_full()
    ids = tokens(2, 9)
    with torch.inference_mode():
        expected = whole(ids).logits
    for at in (0, 1, model.n_blocks):
        partition = Partition.split(model.n_blocks, at, 32, 32)
        stages = [model.load_stage(stage) for stage in partition.stages]
        for part in stages:
            assert_same(part.module, whole)
        assert torch.equal(through(stages, ids), expected)


def test_a_stage_reads_its_own_tensors_once_and_no_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    really_read = StoredTensor.read

    def noted(self: StoredTensor, *args: object) -> Tensor:
        read.append(self.name)
        return really_read(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(StoredTensor, "read", noted)
    model = load_model(saved("llama", folder))
    part = model.load_stage(Stage(CLOUD, 1, 2))
    assert sorted(read) == sorted(dict(part.module.named_parameters()))
    assert read
    assert all(name.startswith("model.layers.1.") for name in read)


def test_a_tied_head_alone_reads_the_embedding(folder: Path) -> None:
    model = load_model(saved("gpt2", folder))
    assert model.profile.tied
    tail = model.load_stage(Stage(CLOUD, 1, model.n_blocks, head=True, bits=32))
    assert "transformer.wte.weight" not in dict(tail.module.named_parameters())
    assert torch.equal(
        tail.module.get_parameter("lm_head.weight"), toy("gpt2").get_parameter("lm_head.weight")
    )


def test_a_tied_whole_model_holds_the_tensor_once(folder: Path) -> None:
    model = load_model(saved("gpt2", folder))
    part = model.load_stage(whole_stage(model)).module
    assert part.get_parameter("lm_head.weight") is part.get_parameter("transformer.wte.weight")


@pytest.mark.parametrize("bits", [16, 8, 4])
@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon", "mixtral", "mamba"])
def test_few_bits_pack_the_blocks_and_nothing_else(family: str, bits: int, folder: Path) -> None:
    model = load_model(saved(family, folder))
    part = model.load_stage(whole_stage(model, bits), dtype=torch.float32)
    packed = [name for name, m in part.module.named_modules() if isinstance(m, PackedLinear)]
    left = [name for name, m in part.module.named_modules() if is_packable(m)]
    inside = [name for name in packed + left if name.startswith(part.anatomy.blocks + ".")]
    assert packed == ([] if bits == 16 else inside)
    assert inside
    with torch.inference_mode():
        expected = model.load_full()(tokens(1, 9)).logits
    got = part.forward(tokens(1, 9))
    assert isinstance(got, Tensor)
    assert ((got - expected).norm() / expected.norm()).item() < {16: 1e-6, 8: 0.06, 4: 1.0}[bits]


def test_a_split_of_packed_stages_is_exact(folder: Path) -> None:
    model = load_model(saved("llama", folder))
    for bits in (8, 4):
        whole = model.load_stage(whole_stage(model, bits))
        stages = [model.load_stage(s) for s in Partition.split(model.n_blocks, 1, bits, bits).stages]
        assert torch.equal(through(stages, tokens(2, 9)), through([whole], tokens(2, 9)))


@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon", "mixtral"])
def test_blocks_of_several_widths_are_packed_one_by_one(family: str, folder: Path) -> None:
    model = load_model(saved(family, folder))
    n = model.n_blocks
    widths = tuple((16, 4, 8)[b % 3] for b in range(n))
    mixed = model.load_stage(replace(whole_stage(model, 16), block_bits=widths))
    expected = model.load_stage(whole_stage(model, 16))
    blocks = expected.module.get_submodule(expected.anatomy.blocks)
    for block, bits in zip(blocks, widths, strict=True):
        if bits < 16:
            quantize_linears(block, bits)
    assert torch.equal(through([mixed], tokens(2, 9)), through([expected], tokens(2, 9)))
    assert resident_bytes(mixed.module) == resident_bytes(expected.module)


def test_a_split_of_stages_of_several_widths_is_exact_and_as_large_as_it_says() -> None:
    model = load_model("tiny")
    widths = (16, 8, 4, 4, 8, 16, 4, 8)
    whole = replace(whole_stage(model, 16), block_bits=widths)
    parts = [
        model.load_stage(replace(stage, block_bits=widths[stage.start : stage.stop]))
        for stage in Partition.split(model.n_blocks, 3).stages
    ]
    assert torch.equal(through(parts, tokens(2, 9)), through([model.load_stage(whole)], tokens(2, 9)))
    for part in parts:
        assert resident_bytes(part.module) == pytest.approx(
            stage_bytes(model.profile, part.stage).weights, rel=0.01
        )


@pytest.mark.parametrize("bits", [16, 4])
def test_both_ends_on_one_place_hold_a_tied_tensor_once(bits: int) -> None:
    model = load_model("tiny")
    stages = Partition.u_shaped(model.n_blocks, (2, 6), bits, bits).on(EDGE)
    parts = model.load_stages(stages)
    held = place_bytes(model.profile, Placement(Partition.u_shaped(model.n_blocks, (2, 6), bits, bits)))
    assert resident_bytes(*(p.module for p in parts.values())) == pytest.approx(held[EDGE].weights, rel=0.01)
    alone = [model.load_stage(stage) for stage in stages]
    for part, other in zip(parts.values(), alone, strict=True):
        inputs: Tensor | Boundary = tokens(2, 9)
        if not part.stage.embedding:
            inputs = Boundary((torch.ones(2, 9, 192, dtype=part.dtype),), part.boundary_in)
        got, expected = part.forward(inputs), other.forward(inputs)
        if isinstance(got, Boundary):
            got, expected = got.tensors[0], expected.tensors[0]
        assert torch.equal(got, expected)


def test_resident_bytes_follow_the_bits() -> None:
    model = load_model("tiny")
    sizes = [resident_bytes(model.load_stage(whole_stage(model, bits)).module) for bits in (32, 16, 8, 4)]
    parameters, packable = model.profile.params, sum(model.profile.block_quantizable)
    for bits, size in zip((32, 16, 8, 4), sizes, strict=True):
        expected = (parameters - packable) * max(bits, 16) / 8 + packable * (bits / 8 + (bits == 4) / 8)
        assert size == pytest.approx(expected, rel=0.01)


def test_one_file_or_many_have_one_fingerprint(tmp_path: Path, folder: Path) -> None:
    toy("llama").save_pretrained(tmp_path / "one")
    one, many = load_model(tmp_path / "one"), load_model(saved("llama", folder))
    assert len(set(many.checkpoint.files.values())) > 1
    assert one.fingerprint == many.fingerprint


def test_another_training_has_another_fingerprint(tmp_path: Path) -> None:
    model = cache(toy.__wrapped__)("llama")
    model.save_pretrained(tmp_path / "before")
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1
    model.save_pretrained(tmp_path / "after")
    assert load_model(tmp_path / "before").fingerprint != load_model(tmp_path / "after").fingerprint


def test_the_profile_needs_no_weights(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((saved("mixtral", folder) / "config.json").read_text())
    profile = load_model(tmp_path).profile
    whole = toy("mixtral")
    assert profile.params == sum(p.numel() for p in whole.parameters())
    assert profile.n_blocks == whole.config.num_hidden_layers
    assert profile.boundary_elements == (whole.config.hidden_size,) * (profile.n_blocks + 1)
    heads = whole.config.num_key_value_heads
    assert profile.kv_elements == (2 * heads * whole.config.head_dim,) * profile.n_blocks
    share = whole.config.num_experts_per_tok / whole.config.num_local_experts
    experts = sum(p.numel() for n, p in whole.model.layers[0].named_parameters() if ".experts." in n)
    assert profile.block_active_params[0] == pytest.approx(profile.block_params[0] - experts * (1 - share))


def test_windows_and_latent_caches_show_in_the_profile(folder: Path) -> None:
    gemma = load_model(saved("gemma3_text", folder))
    assert any(gemma.profile.window)
    mamba = load_model(saved("mamba", folder)).profile
    assert set(mamba.kv_elements) == {0}
    assert set(mamba.window) == {None}


def test_seventy_billion_parameters_cost_no_memory(tmp_path: Path) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": False,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    profile = load_model(tmp_path).profile
    assert profile.params == 70_553_706_496  # as its authors count
    assert profile.kv_elements == (2 * 8 * 128,) * 80


def test_shipped_models_load_by_name() -> None:
    assert {"tiny", "tiny-draft"} <= set(shipped_models())
    for name in shipped_models():
        model = load_model(name)
        assert model.source == shipped_models()[name]
        ids = model.tokenizer("def f(x):")["input_ids"]
        assert max(ids) < model.profile.vocab


def test_a_hub_id_is_read_from_the_download_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--some--model" / "snapshots" / ("0" * 40)
    toy("llama").save_pretrained(snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    model = load_model("some/model", local_files_only=True)
    assert model.name == "some/model"
    assert model.files.revision == "0" * 40
    assert_same(model.load_stage(whole_stage(model)).module, toy("llama"))


@pytest.mark.gpu
@pytest.mark.parametrize("bits", [32, 16, 8, 4])
def test_stages_load_onto_a_gpu(bits: int, folder: Path) -> None:
    model = load_model(saved("llama", folder))
    here, there = (model.load_stage(whole_stage(model, bits), device=device) for device in ("cpu", "cuda"))
    assert {t.device.type for t in tensors(there.module).values()} == {"cuda"}
    on_cpu, on_gpu = through([here], tokens(2, 9)), through([there], tokens(2, 9).cuda()).cpu()
    assert ((on_gpu - on_cpu).float().norm() / on_cpu.float().norm()).item() < 0.05
