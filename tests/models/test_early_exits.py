"""A model left early is the base's first blocks under its own norm and head, and a model like any other."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.models.adapter_files import write_adapter
from tests.models.toys import CHUNKS, split, through, tiny_models, tokens, unsplit
from workbench.errors import CheckpointError, ModelNotFoundError, PlanError, UnsupportedArchitectureError
from workbench.models import Model, load_adapter, load_model, read_architecture
from workbench.models.early_exits import exits_of, left_after, split_name
from workbench.models.recipe.architecture import TINY, exit_logits
from workbench.models.slice import share_tied
from workbench.plan import CLOUD, EDGE, Partition, Stage
from workbench.quantization.weights import resident_bytes

EARLY = TINY.exits[:-1]


@cache
def tiny() -> Model:
    return load_model("tiny")


@cache
def truth(n_tokens: int) -> dict[int, Tensor]:
    """The base's own logits at each exit, float32 [2, n_tokens, V]."""
    with torch.inference_mode():
        return exit_logits(tiny().load_full(), tokens(2, n_tokens), TINY.exits)  # type: ignore[arg-type]


def saved(folder: Path, family: str = "llama", **config: object) -> Path:
    tiny_models.tiny_model(family, **config).save_pretrained(folder)
    return folder


def whole_stage(model: Model, bits: int = 32) -> Stage:
    return Stage(EDGE, 0, model.n_blocks, embedding=True, head=True, bits=bits)


@pytest.mark.parametrize("depth", EARLY)
def test_its_logits_are_the_bases_at_that_depth(depth: int) -> None:
    model, ids = load_model(f"tiny@{depth}"), tokens(2, 11)
    assert torch.equal(through([model.load_stage(whole_stage(model))], ids), truth(11)[depth])
    with torch.inference_mode():
        assert torch.equal(model.load_full()(ids).logits, truth(11)[depth])


@pytest.mark.parametrize("depth", EARLY)
def test_split_in_two_it_is_the_same(depth: int) -> None:
    model = load_model(f"tiny@{depth}")
    for at in (0, 1, depth):
        stages = [model.load_stage(stage) for stage in Partition.split(depth, at, 32, 32).stages]
        assert torch.equal(through(stages, tokens(2, 11)), truth(11)[depth])


def test_with_a_cache_it_is_what_transformers_computes() -> None:
    model, ids = load_model("tiny@4"), tokens(2, sum(CHUNKS))
    stages = [model.load_stage(stage) for stage in Partition.split(4, 2, 32, 32).stages]
    got = split(stages, ids, CHUNKS)
    assert torch.equal(got, unsplit(model.load_full(), ids, CHUNKS))
    assert (got - truth(sum(CHUNKS))[4]).abs().max() < 1e-4


def test_packed_it_loads_and_holds_fewer_blocks() -> None:
    whole, early = tiny(), load_model("tiny@2")
    assert early.n_blocks == early.profile.n_blocks == 2
    assert early.profile.block_params == whole.profile.block_params[:2]
    assert len(early.profile.boundary_elements) == 3
    assert through([early.load_stage(whole_stage(early, 4))], tokens(1, 5)).shape == (1, 5, 2048)


def test_it_is_a_model_of_its_own() -> None:
    models = [tiny(), *(load_model(f"tiny@{depth}") for depth in EARLY)]
    assert [m.name for m in models] == ["tiny", "tiny@2", "tiny@4", "tiny@6"]
    assert len({m.fingerprint for m in models}) == 4
    assert len({m.profile.config_key for m in models}) == 4
    assert len(set(models)) == 4
    assert {m.source for m in models} == {tiny().source}
    assert models[2].tokenizer("sort: b a =") == tiny().tokenizer("sort: b a =")
    assert (tiny().exits, models[2].exits) == ((2, 4, 6, 8), (2, 4))
    assert models[2].profile.name == "tiny@4"


def test_the_full_depth_is_the_model_itself() -> None:
    assert load_model("tiny@8") == tiny()
    assert load_model("tiny@8").name == "tiny"
    assert read_architecture("tiny@8") == read_architecture("tiny")


@pytest.mark.parametrize("name", ["tiny", "tiny@4"])
def test_another_process_finds_it_by_its_reference(name: str) -> None:
    model = load_model(name)
    again = load_model(model.reference)
    assert Path(model.reference).is_absolute()
    assert (again.fingerprint, again.n_blocks) == (model.fingerprint, model.n_blocks)
    assert again.reference == model.reference


def test_its_profile_needs_no_weights_and_no_handle() -> None:
    assert read_architecture("tiny@4") == load_model("tiny@4").profile
    assert read_architecture(load_model("tiny@4").reference).n_blocks == 4


def test_folders_and_hub_ids_are_left_early_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = saved(
        tmp_path / "models--some--model" / "snapshots" / ("0" * 40), num_hidden_layers=3, early_exits=[1, 3]
    )
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    from_hub = load_model("some/model@1", local_files_only=True)
    by_text, by_path = load_model(f"{snapshot}@1"), load_model(Path(f"{snapshot}@1"))
    assert from_hub.name == "some/model@1"
    assert from_hub.fingerprint == by_text.fingerprint == by_path.fingerprint
    assert [m.n_blocks for m in (from_hub, by_text, by_path)] == [1, 1, 1]


def test_a_folder_whose_name_ends_so_is_that_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "model@2")
    assert load_model(folder).n_blocks == 4
    assert load_model(str(folder)).depth is None
    assert split_name("model@2") == ("model", 2)
    monkeypatch.chdir(tmp_path)
    assert split_name("model@2") == ("model@2", None)


def test_what_differs_by_block_is_cut_along(tmp_path: Path) -> None:
    kinds = ["sliding_attention", "full_attention"] * 2
    folder = saved(tmp_path / "model", "gemma3_text", layer_types=kinds, early_exits=[1, 2, 4])
    model, whole = load_model(f"{folder}@2"), load_model(folder)
    assert model.config.layer_types == kinds[:2]
    assert model.profile.window == whole.profile.window[:2]
    part = model.load_stage(whole_stage(model))
    with torch.inference_mode():
        assert torch.equal(through([part], tokens(1, 9)), model.load_full()(tokens(1, 9)).logits)


def test_depths_that_are_not_there_are_refused_with_those_that_are(tmp_path: Path) -> None:
    for load in (load_model, read_architecture):
        with pytest.raises(PlanError, match=r"2, 4, 6, 8\. Choose 'tiny@2', 'tiny@4', 'tiny@6' or 'tiny'"):
            load("tiny@3")
    for depth in (0, 9, 999):
        with pytest.raises(PlanError, match=f"after {depth} blocks"):
            load_model(f"tiny@{depth}")
    plain = saved(tmp_path / "plain")
    with pytest.raises(PlanError, match="declares no early_exits"):
        load_model(f"{plain}@2")
    assert load_model(plain).exits == ()


def test_names_that_are_none_say_so() -> None:
    with pytest.raises(ModelNotFoundError, match="did you mean 'tiny'"):
        load_model("tinny@4")
    with pytest.raises(ModelNotFoundError):
        load_model("tiny@four")


def test_blocks_that_borrow_from_others_cannot_be_left_out(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", "gemma3n_text", early_exits=[2, 4])
    with pytest.raises(UnsupportedArchitectureError, match="borrow"):
        load_model(f"{folder}@2")


def test_missing_weights_are_told_as_ever(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", early_exits=[2, 4])
    (folder / "model.safetensors").unlink()
    model = load_model(f"{folder}@2")
    with pytest.raises(CheckpointError, match="holds no weights"):
        model.load_stage(Stage(CLOUD, 1, 2, head=True))


@given(depth=st.integers(-1, 12), exits=st.lists(st.integers(-2, 12), max_size=6), n=st.integers(1, 9))
def test_a_cut_configuration_is_the_whole_one_but_for_its_depth(depth: int, exits: list[int], n: int) -> None:
    config = {"num_hidden_layers": n, "layer_types": ["full"] * n, "vocab_size": n, "early_exits": exits}
    before = json.dumps(config)
    try:
        cut = left_after(config, depth, "m")
    except PlanError:
        assert depth not in exits_of(config)
        assert depth != n
    else:
        assert cut["num_hidden_layers"] == len(cut["layer_types"]) == depth
        assert cut["vocab_size"] == n
        assert depth == n or exits_of(cut) == tuple(e for e in exits_of(config) if e <= depth)
    assert json.dumps(config) == before


@pytest.mark.parametrize("bits", [16, 8, 4])
def test_on_one_place_blocks_are_held_once_however_deep_the_model_is_left(bits: int) -> None:
    partition = Partition.split(8, 3, bits, bits)
    split_, early = tiny().load_stage(partition.stages[0]), load_model("tiny@2")
    local = early.load_stage(whole_stage(early, bits))
    before = resident_bytes(split_.module), through([local], tokens(1, 5))
    share_tied([split_, local])
    own = sum(p.nbytes for name, p in local.module.named_parameters() if name == "model.norm.weight")
    assert resident_bytes(split_.module, local.module) - before[0] - own < 1000  # tables of positions
    assert torch.equal(through([local], tokens(1, 5)), before[1])


def test_an_adapter_is_not_taken_for_anothers(tmp_path: Path) -> None:
    model, paths = load_model("tiny@2"), ["model.layers.0.self_attn.q_proj"]
    parts = [model.load_stage(whole_stage(model, 4)) for _ in range(2)]
    for seed, part in enumerate(parts):
        write_adapter(tmp_path / str(seed), model.load_full(), "tiny@2", paths, seed)
        part.attach(load_adapter(tmp_path / str(seed), model))
        part.use(str(tmp_path / str(seed)))
    before = [through([part], tokens(1, 5)) for part in parts]
    share_tied(parts)
    assert not torch.equal(*before)
    assert all(torch.equal(through([part], tokens(1, 5)), b) for part, b in zip(parts, before, strict=True))
