"""Adapters are found by name or folder, belong to one base, and say what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.adapter_files import PREFIX, linear_layers, write_adapter
from tests.models.toys import tiny_models, toy
from workbench.errors import AdapterError, UnknownNameError
from workbench.models import Model, load_adapter, load_model
from workbench.models.adapters import BASE_WEIGHTS, CONFIG, WEIGHTS, base_name, base_weights
from workbench.plan import EDGE, Stage

QUERY = "model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("models") / "toy-base"
    toy("llama").save_pretrained(folder)
    return load_model(folder)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_adapter(tmp_path / "good", toy("llama"), "toy-base", [QUERY, "model.layers.3.mlp.up_proj"])


def change(folder: Path, **config: Any) -> None:
    said = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**said, **config}))


def rewrite(folder: Path, metadata: dict[str, str] | None = None, **tensors: torch.Tensor | None) -> None:
    """Replace tensors by their last names, or drop them."""
    held = load_file(folder / WEIGHTS) | {f"{PREFIX}{name}": t for name, t in tensors.items()}
    save_file({name: t for name, t in held.items() if t is not None}, folder / WEIGHTS, metadata)


# ---- names


def test_a_folder_is_found_by_text_and_by_path(model: Model, good: Path) -> None:
    by_text, by_path = load_adapter(str(good), model), load_adapter(good, model)
    assert by_text == by_path
    assert (by_text.base, by_text.rank, by_text.scale, by_text.n_blocks) == ("toy-base", 3, 2.0, 4)
    assert [piece.block for piece in by_text.pieces] == [0, 3]
    assert hash(by_text) == hash(by_path)


def test_an_unknown_name_is_refused(model: Model) -> None:
    with pytest.raises(UnknownNameError, match="no adapter is called 'revers'"):
        load_adapter("revers", model)


def test_a_missing_folder_and_a_file_say_what_an_adapter_is(model: Model, good: Path) -> None:
    with pytest.raises(AdapterError, match=rf"is missing\. An adapter is a folder with {CONFIG} and"):
        load_adapter(good / "deeper", model)
    with pytest.raises(AdapterError, match="is a file: give the folder"):
        load_adapter(good / CONFIG, model)


def test_a_fingerprint_is_of_the_content(model: Model, good: Path, tmp_path: Path) -> None:
    paths = [piece.path for piece in load_adapter(good, model).pieces]
    same, other = (
        write_adapter(tmp_path / str(seed), toy("llama"), "toy-base", paths, seed) for seed in (0, 1)
    )
    prints = [load_adapter(folder, model).fingerprint for folder in (good, same, other)]
    change(good, lora_alpha=7.0)
    prints.append(load_adapter(good, model).fingerprint)
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


# ---- base


def test_the_base_may_be_called_by_name_or_folder(model: Model, good: Path) -> None:
    change(good, base_model_name_or_path=str(model.source))
    assert load_adapter(good, model).base == model.name


def test_a_hub_models_snapshot_goes_by_its_hub_id(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--some--model" / "snapshots" / ("0" * 40)
    toy("llama").save_pretrained(snapshot)
    found = load_model(snapshot)
    assert base_name(found) == "some/model"
    assert load_adapter(write_adapter(tmp_path / "a", toy("llama"), "some/model", [QUERY]), found).rank == 3


def test_another_base_is_refused(model: Model, good: Path) -> None:
    change(good, base_model_name_or_path="org/other")
    with pytest.raises(AdapterError, match=r"trained for 'org/other' .* this one is 'toy-base'"):
        load_adapter(good, model)


def test_each_depth_of_a_model_is_a_base_of_its_own(tmp_path: Path) -> None:
    whole, early, less = (load_model(name) for name in ("tiny", "tiny@4", "tiny@2"))
    assert [base_name(m) for m in (whole, early, less)] == ["tiny", "tiny@4", "tiny@2"]
    assert [base_name(load_model(m.reference)) for m in (whole, early)] == ["tiny", "tiny@4"]
    folder = write_adapter(tmp_path / "a", early.load_full(), "tiny@4", [QUERY])
    assert load_adapter(folder, early).base == "tiny@4"
    assert load_adapter(folder, load_model(early.reference)).n_blocks == 4
    for other in (whole, less):
        with pytest.raises(AdapterError, match="trained for 'tiny@4'"):
            load_adapter(folder, other)


def test_recorded_weights_tell_a_base_whatever_it_is_called(model: Model, good: Path) -> None:
    rewrite(good, {BASE_WEIGHTS: base_weights(model)})
    change(good, base_model_name_or_path="/elsewhere/of/its/author")
    assert load_adapter(good, model).base == "/elsewhere/of/its/author"


def test_recorded_weights_refuse_another_training_of_the_same_name(model: Model, good: Path) -> None:
    rewrite(good, {BASE_WEIGHTS: "0" * 32})
    with pytest.raises(AdapterError, match="with other weights than"):
        load_adapter(good, model)


# ---- damage


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_file_that_is_missing_or_damaged_is_named(name: str, model: Model, good: Path) -> None:
    content = (good / name).read_bytes()
    (good / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(AdapterError, match=rf"is damaged: .*{name}"):
        load_adapter(good, model)
    (good / name).unlink()
    with pytest.raises(AdapterError, match=f"has no {name}"):
        load_adapter(good, model)


def test_pickles_are_not_read(model: Model, good: Path) -> None:
    (good / WEIGHTS).rename(good / "adapter_model.bin")
    with pytest.raises(AdapterError, match="Pickles are not read"):
        load_adapter(good, model)


def test_a_lonely_factor_is_damage(model: Model, good: Path) -> None:
    rewrite(good, **{f"{QUERY}.lora_B.weight": None})
    with pytest.raises(AdapterError, match=f"damaged: {QUERY} has no lora_B"):
        load_adapter(good, model)


def test_no_tensor_at_all_is_damage(model: Model, good: Path) -> None:
    save_file({}, good / WEIGHTS)
    with pytest.raises(AdapterError, match="holds no tensor"):
        load_adapter(good, model)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"r": 4}, "r = 4, but .* has rank 3"),
        ({"r": 0}, "has r = 0"),
        ({"lora_alpha": "much"}, "has lora_alpha = 'much'"),
        ({"target_modules": ["k_proj", "up_proj"]}, "target_modules of adapter_config.json do not name"),
        ({"target_modules": r".*\.mlp\..*"}, "do not name"),
        ({"target_modules": None}, "do not name"),
        ({"layers_to_transform": [3]}, r"layers_to_transform is \[3\]"),
        ({"layers_to_transform": 3}, "layers_to_transform is 3"),
    ],
)
def test_a_configuration_that_contradicts_the_tensors_is_damage(
    said: dict[str, Any], reason: str, model: Model, good: Path
) -> None:
    change(good, **said)
    with pytest.raises(AdapterError, match=f"damaged: .*{reason}"):
        load_adapter(good, model)


@pytest.mark.parametrize("targets", ["all-linear", r".*(q|up)_proj", ["q_proj", "mlp.up_proj"]])
def test_every_way_to_name_the_layers_is_read(targets: Any, model: Model, good: Path) -> None:
    change(good, target_modules=targets, layers_to_transform=[0, 3])
    assert len(load_adapter(good, model).pieces) == 2


def test_a_tensor_that_turns_out_short_is_told_when_it_is_attached(model: Model, good: Path) -> None:
    found = load_adapter(good, model)
    part = model.load_stage(Stage(EDGE, 0, 4, embedding=True, head=True, bits=32))
    (good / WEIGHTS).write_bytes((good / WEIGHTS).read_bytes()[:-40])
    with pytest.raises(AdapterError, match=r"is damaged: .* ends inside tensor"):
        part.attach(found)
    assert part.adapters == ()


# ---- kinds


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"peft_type": "IA3"}, "is of kind 'IA3'"),
        ({"bias": "all"}, 'has bias = "all"'),
        ({"use_dora": True}, "use_dora = true: DoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save = .*whole layers"),
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern = .*a rank of its own per layer"),
        ({"lora_bias": True}, "lora_bias = true: biases"),
    ],
)
def test_what_is_no_plain_lora_is_refused(
    said: dict[str, Any], reason: str, model: Model, good: Path
) -> None:
    change(good, **said)
    with pytest.raises(AdapterError, match=reason):
        load_adapter(good, model)


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        ("model.embed_tokens.lora_embedding_A", "no factor of a linear layer"),
        (f"{QUERY}.lora_magnitude_vector.weight", "no factor of a linear layer"),
        (f"{QUERY}.lora_B.bias", "no factor of a linear layer"),
    ],
)
def test_other_tensors_are_refused(tensor: str, reason: str, model: Model, good: Path) -> None:
    rewrite(good, **{tensor: torch.zeros(3, 32)})
    with pytest.raises(AdapterError, match=reason):
        load_adapter(good, model)


@pytest.mark.parametrize(
    ("path", "shape", "reason"),
    [
        ("model.layers.9.self_attn.q_proj", (32, 32), "does not have: it was made for another model"),
        ("model.layers.1.input_layernorm", (32, 32), "and no linear layer"),
        ("lm_head", (97, 32), "outside of the blocks"),
        ("model.layers.1.self_attn.q_proj", (32, 48), "do not fit"),
        ("model.layers.1.self_attn.k_proj", (32, 32), "do not fit"),
    ],
)
def test_layers_that_do_not_fit_are_refused(
    path: str, shape: tuple[int, int], reason: str, model: Model, good: Path
) -> None:
    down, up = torch.zeros(3, shape[1]), torch.zeros(shape[0], 3)
    rewrite(good, **{f"{path}.lora_A.weight": down, f"{path}.lora_B.weight": up})
    change(good, target_modules="all-linear")
    with pytest.raises(AdapterError, match=reason):
        load_adapter(good, model)


def test_a_stage_of_another_model_takes_no_adapter(model: Model, good: Path, tmp_path: Path) -> None:
    found = load_adapter(good, model)
    for other in (
        tiny_models.tiny_model("llama", num_hidden_layers=3),
        tiny_models.tiny_model("llama", hidden_size=64),
    ):
        folder = tmp_path / str(other.num_parameters())
        other.save_pretrained(folder)
        whole = load_model(folder)
        part = whole.load_stage(Stage(EDGE, 0, whole.n_blocks, embedding=True, head=True, bits=32))
        with pytest.raises(AdapterError, match=r"of a model with 3 blocks|does not fit"):
            part.attach(found)


def test_two_adapters_of_one_name_are_not_mistaken(model: Model, good: Path) -> None:
    part = model.load_stage(Stage(EDGE, 0, 4, embedding=True, head=True, bits=32))
    part.attach(load_adapter(good, model))
    write_adapter(good, toy("llama"), "toy-base", list(linear_layers(toy("llama"), "model.layers"))[:1])
    with pytest.raises(AdapterError, match="another adapter is attached as"):
        part.attach(load_adapter(good, model))


def test_files_that_change_under_an_attached_adapter_are_noticed(model: Model, good: Path) -> None:
    part = model.load_stage(Stage(EDGE, 0, 4, embedding=True, head=True, bits=32))
    first = load_adapter(good, model)
    part.attach(first)
    part.attach(load_adapter(good, model))  # the same files: nothing to do
    piece = first.pieces[0]
    rewrite(good, **{f"{piece.path}.lora_B.weight": torch.ones(piece.up.shape)})
    with pytest.raises(AdapterError, match="its files have changed since"):
        part.attach(load_adapter(good, model))
