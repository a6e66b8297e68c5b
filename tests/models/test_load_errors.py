"""What cannot be loaded says what is wrong with which file, and the way out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tests.models.toys import toy
from workbench.errors import (
    CheckpointError,
    ModelNotFoundError,
    PlanError,
    TokenizerError,
    UnsupportedArchitectureError,
)
from workbench.models import load_model, shipped_models
from workbench.models.checkpoint import read_header
from workbench.plan import CLOUD, EDGE, Stage

FIRST = Stage(EDGE, 0, 1, embedding=True)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A checkpoint in one file."""
    toy("llama").save_pretrained(tmp_path / "whole")
    return tmp_path / "whole"


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A checkpoint in several files."""
    toy("llama").save_pretrained(tmp_path / "shards", max_shard_size="30KB")
    return tmp_path / "shards"


def rewrite(file: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def change_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


# ---- names


def test_a_slip_of_the_pen_gets_the_nearest_shipped_name() -> None:
    with pytest.raises(ModelNotFoundError, match="did you mean 'tiny-draft'") as raised:
        load_model("tiny_draft")
    assert all(name in str(raised.value) for name in shipped_models())


def test_offline_says_where_it_looked_and_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelNotFoundError, match="only local files were allowed") as raised:
        load_model("nobody/nothing", local_files_only=True)
    assert str(tmp_path) in str(raised.value)
    assert "hf download nobody/nothing" in str(raised.value)


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "~/nowhere-at-all", Path("nowhere")])
def test_a_path_is_never_taken_for_a_hub_id(name: str | Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no such folder"):
        load_model(name)


def test_a_name_that_no_hub_could_have() -> None:
    with pytest.raises(ModelNotFoundError, match="no valid hub id"):
        load_model("no hub/has spaces")


def test_a_file_and_an_empty_folder_are_no_models(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="it is a file"):
        load_model(whole / "config.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelNotFoundError, match=r"no config\.json"):
        load_model(tmp_path / "empty")


def test_weights_of_a_hub_model_that_were_never_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--some--model" / "snapshots" / ("0" * 40)
    toy("llama").save_pretrained(snapshot)
    (snapshot / "model.safetensors").unlink()
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = load_model("some/model", local_files_only=True)
    assert model.n_blocks
    with pytest.raises(ModelNotFoundError, match=r"model\.safetensors.* not on this machine"):
        model.load_stage(FIRST)


# ---- configurations


def test_a_damaged_configuration(whole: Path) -> None:
    (whole / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_model(whole)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"model_type": "of-the-future"}, "does not know"),
        ({"model_type": "vit"}, "no causal language model"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "already quantized"),
    ],
)
def test_a_kind_that_cannot_be_split(values: dict[str, object], says: str, whole: Path) -> None:
    change_config(whole, **values)
    with pytest.raises(UnsupportedArchitectureError, match=says):
        load_model(whole)


def test_code_that_a_model_brings_is_never_run(whole: Path) -> None:
    (whole / "evil.py").write_text("raise SystemExit('ran')")
    change_config(
        whole, model_type="evil", auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}
    )
    with pytest.raises(UnsupportedArchitectureError, match="never run"):
        load_model(whole)


# ---- weights


def test_a_stage_of_another_model(whole: Path) -> None:
    with pytest.raises(PlanError, match="out of range"):
        load_model(whole).load_stage(Stage(CLOUD, 1, 99, head=True))


def test_no_weights(whole: Path) -> None:
    (whole / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="holds no weights"):
        load_model(whole).load_stage(FIRST)


def test_pickles_are_refused_with_the_way_to_convert(whole: Path) -> None:
    (whole / "model.safetensors").rename(whole / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="only safetensors") as raised:
        load_model(whole).load_full()
    assert "save_pretrained" in str(raised.value)


@pytest.mark.parametrize("keep", [0, 7, 100, 0.5, 0.999])
def test_a_truncated_file(keep: float, whole: Path) -> None:
    file = whole / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[: int(keep if keep >= 1 or keep == 0 else keep * len(data))])
    for load in (lambda: load_model(whole).load_stage(FIRST), lambda: load_model(whole).load_full()):
        with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged.*again"):
            load()


def test_a_file_that_shrinks_after_it_was_looked_at(whole: Path) -> None:
    model = load_model(whole)
    model.checkpoint.check()
    file = whole / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="ends inside tensor"):
        model.load_stage(Stage(EDGE, 0, model.n_blocks, embedding=True, head=True))


def test_a_missing_shard_hurts_only_who_needs_it(shards: Path) -> None:
    model = load_model(shards)
    head = model.checkpoint["lm_head.weight"].file
    head.unlink()
    again = load_model(shards)
    again.load_stage(FIRST)
    with pytest.raises(CheckpointError, match=f"{head.name} is missing"):
        again.load_stage(Stage(CLOUD, 1, model.n_blocks, head=True))


def test_shards_of_two_versions(shards: Path) -> None:
    model = load_model(shards)
    file = model.checkpoint["lm_head.weight"].file
    rewrite(file, lambda tensors: tensors.pop("lm_head.weight"))
    if not load_file(file):
        rewrite(file, lambda tensors: tensors.update(other=torch.zeros(2)))
    with pytest.raises(CheckpointError, match=r"says that .* holds tensor 'lm_head\.weight'"):
        load_model(shards).load_full()


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"weight_map": {"a": "../../etc/passwd"}}'])
def test_a_damaged_index(content: str, shards: Path) -> None:
    (shards / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match="no index of weights"):
        load_model(shards).load_stage(FIRST)


def test_a_tensor_that_is_not_there(whole: Path) -> None:
    rewrite(whole / "model.safetensors", lambda t: t.pop("model.layers.0.mlp.up_proj.weight"))
    for load in (lambda: load_model(whole).load_stage(FIRST), lambda: load_model(whole).load_full()):
        with pytest.raises(CheckpointError, match=r"lacks 1 tensors.*layers\.0\.mlp\.up_proj\.weight"):
            load()


def test_weights_of_another_size(whole: Path) -> None:
    change_config(whole, intermediate_size=40)
    with pytest.raises(CheckpointError, match="weights and configuration are of different models"):
        load_model(whole).load_stage(FIRST)


def test_experts_that_do_not_stack(tmp_path: Path) -> None:
    toy("mixtral").save_pretrained(tmp_path)

    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        name = next(n for n in sorted(tensors) if ".experts." in n)
        tensors[name] = torch.zeros(3, 5)

    rewrite(tmp_path / "model.safetensors", spoil)
    model = load_model(tmp_path)
    stage = Stage(EDGE, 0, model.n_blocks, embedding=True, head=True)
    with pytest.raises(CheckpointError, match="another architecture"):
        model.load_stage(stage)


@given(data=st.binary(max_size=400))
def test_no_bytes_make_the_reader_fail_otherwise(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("bytes") / "model.safetensors"
    file.write_bytes(data)
    try:
        tensors = read_header(file)
    except CheckpointError:
        return
    assert sum(t.n_bytes for t in tensors.values()) <= len(data)


@given(
    entry=st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "BF16", "I64", "F128", 3, None]),
            "shape": st.one_of(st.none(), st.lists(st.integers(-3, 1 << 40), max_size=4)),
            "data_offsets": st.one_of(st.none(), st.lists(st.integers(-8, 1 << 40), max_size=3)),
        }
    )
)
def test_no_header_makes_the_reader_fail_otherwise(
    entry: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    header = json.dumps({"a": entry}).encode()
    file = tmp_path_factory.mktemp("header") / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
    try:
        tensors = read_header(file)
    except CheckpointError:
        return
    assert tensors["a"].n_bytes == 16


# ---- tokenizers


def test_a_model_without_a_tokenizer(whole: Path) -> None:
    with pytest.raises(TokenizerError, match="no usable tokenizer"):
        _ = load_model(whole).tokenizer


def test_a_damaged_tokenizer(whole: Path) -> None:
    for file in shipped_models()["tiny"].glob("tokenizer*"):
        shutil.copy(file, whole)
    (whole / "tokenizer.json").write_text("{")
    with pytest.raises(TokenizerError, match="no usable tokenizer"):
        _ = load_model(whole).tokenizer


def test_another_models_tokenizer(whole: Path) -> None:
    for file in shipped_models()["tiny"].glob("tokenizer*"):
        shutil.copy(file, whole)
    with pytest.raises(TokenizerError, match="belongs to another model"):
        _ = load_model(whole).tokenizer
