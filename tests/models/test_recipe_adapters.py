"""Training an adapter changes its factors and nothing else; what is shipped fits, and is worth its bytes."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from workbench.errors import AdapterError
from workbench.models import Model, adapter_names, load_adapter, load_model
from workbench.models.adapters import base_weights
from workbench.models.recipe import __main__ as command
from workbench.models.recipe.adapters import (
    ADAPTERS,
    AdapterRecipe,
    LowRank,
    adapted,
    save_adapter,
    train_adapter,
)
from workbench.models.recipe.architecture import Architecture, build_model
from workbench.models.recipe.batches import IGNORED
from workbench.models.recipe.evaluate import answer_row, padded, read_tasks, write_lines
from workbench.models.recipe.tasks import Example, is_held_out, training_examples
from workbench.models.recipe.tokenizer import train_tokenizer
from workbench.models.recipe.train import save_model
from workbench.plan import EDGE, Partition, Stage

DATA = Path(__file__).parents[2] / "data"
MICRO = Architecture("micro", 2, 32, 64, 2, 1, {1: 0.2, 2: 1.0}, vocabulary=320, max_positions=128)
RECIPE = AdapterRecipe("small", "copy", "micro@1", rank=4, steps=12, examples_per_step=16, rate=0.02)
RECORD: dict[str, Any] = {
    "settings": {"steps": 12, "seed": 3},
    "cost": {"wall_s": 1.0, "cpu_s": 2.0},
    "host": {"device": "a host", "torch": "2"},
    "examples_per_task": 10,
    "exact_match": {"before": {"copy": 0.1}, "after": {"copy": 0.5}},
}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer([e.text for e in islice(training_examples(0), 300)], 320, 128)


@pytest.fixture(scope="module")
def base(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("data") / "models" / "micro"
    model = build_model(MICRO, 0)
    torch.manual_seed(0)
    torch.nn.init.normal_(model.lm_head.weight, std=0.3)  # else no adapter could make a token likely
    for block in model.model.layers:  # which begin as the identity
        torch.nn.init.normal_(block.self_attn.o_proj.weight, std=0.1)
        torch.nn.init.normal_(block.mlp.down_proj.weight, std=0.1)
    save_model(model, tokenizer, {}, folder)
    return load_model(f"{folder}@1")


def trained(
    base: Model, tokenizer: PreTrainedTokenizerFast, seed: int = 3
) -> tuple[Any, dict[str, LowRank], list[float]]:
    model, losses = base.load_full(), []
    factors = train_adapter(model, tokenizer, RECIPE, 12, seed, lambda step, loss: losses.append(loss))
    return model, factors, losses


def tensors(factors: dict[str, LowRank]) -> list[Tensor]:
    return [tensor for factor in factors.values() for tensor in (factor.down, factor.up)]


def test_it_learns_and_leaves_its_base_alone(base: Model, tokenizer: PreTrainedTokenizerFast) -> None:
    model, factors, losses = trained(base, tokenizer)
    assert losses[-1] < 0.9 * losses[0]
    assert all(map(torch.equal, model.parameters(), base.load_full().parameters()))
    assert len(factors) == 7
    assert all(factor.up.abs().max() > 0 for factor in factors.values())
    ids = torch.arange(9)[None]
    with torch.inference_mode():
        plain = model(ids).logits
        with adapted(model, factors):
            assert not torch.allclose(model(ids).logits, plain)
        assert torch.equal(model(ids).logits, plain)


def test_a_run_depends_on_its_seed_alone(base: Model, tokenizer: PreTrainedTokenizerFast) -> None:
    first, again, other = (tensors(trained(base, tokenizer, seed)[1]) for seed in (3, 3, 4))
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


def test_only_answers_are_learnt_and_no_held_out_prompt(tokenizer: PreTrainedTokenizerFast) -> None:
    examples = list(islice(training_examples(5, "copy"), 20))
    inputs, labels = padded([answer_row(tokenizer, e) for e in examples], tokenizer.pad_token_id)
    assert inputs.shape == labels.shape
    for example, row in zip(examples, labels, strict=True):
        assert tokenizer.decode(row[row != IGNORED]) == f" {example.answer}\n"
        assert not is_held_out(example.prompt)


def test_a_saved_adapter_is_the_trained_one(
    base: Model, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model, factors, _ = trained(base, tokenizer)
    for _ in range(2):  # the second takes the place of the first
        save_adapter(factors, RECIPE, base, RECORD, tmp_path / "small")
    found = load_adapter(tmp_path / "small", base)
    assert (found.base, found.rank, found.scale) == ("micro@1", 4, 2.0)
    assert [bool(n) for n in found.block_bytes] == [True]
    part = base.load_stage(Stage(EDGE, 0, 1, embedding=True, head=True, bits=32))
    part.attach(found)
    part.use(found.name)
    ids = torch.arange(9)[None]
    with torch.inference_mode(), adapted(model, factors):
        expected = model(ids).logits
    got = part.forward(ids)
    assert isinstance(got, Tensor)
    assert ((got - expected).norm() / expected.norm()).item() < 0.02  # the file's bfloat16
    assert {path.name for path in tmp_path.iterdir()} == {"small"}
    assert "| copy | 10.0% | 50.0% |" in (tmp_path / "small" / "README.md").read_text()
    assert json.loads((tmp_path / "small" / "training.json").read_text()) == RECORD
    with pytest.raises(AdapterError, match="trained for 'micro@1'"):
        load_adapter(tmp_path / "small", load_model(base.source))


def test_the_command_trains_measures_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(DATA / "models" / "tiny", tmp_path / "models" / "tiny")
    tasks = read_tasks(DATA / "evaluation" / "tasks.jsonl")
    some = [e for task in ("copy", "reverse") for e in [x for x in tasks if x.task == task][:8]]
    write_lines(tmp_path / "evaluation" / "tasks.jsonl", [vars(example) for example in some])
    assert command.main(["adapters", "--adapter", "reverse", "--steps", "2", "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "adapters" / "reverse" / "training.json").read_text())
    assert record["settings"] == {"steps": 2, "seed": 0}
    assert set(record["exact_match"]["after"]) == {"copy", "reverse"}
    assert load_adapter(tmp_path / "adapters" / "reverse", load_model("tiny@2")).base == "tiny@2"
    assert "reverse 2/2 loss" in capsys.readouterr().out


def test_ctrl_c_says_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(command._COMMANDS, "adapters", interrupted)
    assert command.main(["adapters"]) == 130
    assert "adapters that were finished are kept" in capsys.readouterr().err


# ---- what is shipped


def test_the_shipped_adapters_are_the_recipes() -> None:
    assert adapter_names() == sorted(ADAPTERS)


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_shipped_adapter_fits_its_base_and_says_how_it_was_made(name: str) -> None:
    recipe, folder = ADAPTERS[name], DATA / "adapters" / name
    model = load_model(recipe.base)
    found = load_adapter(name, model)
    assert (found.base, found.rank, found.n_blocks) == (recipe.base, recipe.rank, model.n_blocks)
    assert all(found.block_bytes)
    assert found.n_bytes <= (folder / "adapter_model.safetensors").stat().st_size < 400_000
    assert {t.dtype for t in load_file(folder / "adapter_model.safetensors").values()} == {torch.bfloat16}
    record = json.loads((folder / "training.json").read_text())
    before, after = (record["exact_match"][when] for when in ("before", "after"))
    card = json.loads((DATA / "models" / "card.json").read_text())["models"]["tiny"]["exits"]
    assert before == pytest.approx(card[str(model.n_blocks)]["exact_match"], abs=0.01)
    assert record["adapter"]["task"] == recipe.task
    assert (
        f"| {recipe.task} | {before[recipe.task]:.1%} | {after[recipe.task]:.1%} |"
        in (folder / "README.md").read_text()
    )
    assert base_weights(model) != base_weights(load_model("tiny"))
    with pytest.raises(AdapterError, match=f"trained for '{recipe.base}'"):
        load_adapter(name, load_model("tiny"))


def _right(parts: list[Any], model: Model, examples: list[Example]) -> float:
    """Share that greedy decoding answers exactly: every token of the answer is the likeliest."""
    rows = [answer_row(model.tokenizer, example) for example in examples]
    inputs, labels = padded(rows, model.tokenizer.pad_token_id)
    passed: Any = inputs
    for part in parts:
        passed = part.forward(passed)
    return ((passed.argmax(-1) == labels) | (labels == IGNORED)).all(-1).float().mean().item()


@pytest.mark.parametrize("bits", [32, 4])
@pytest.mark.parametrize("name", ADAPTERS)
def test_a_shipped_adapter_answers_more_of_what_it_never_saw(name: str, bits: int) -> None:
    recipe = ADAPTERS[name]
    model = load_model(recipe.base)
    tasks = read_tasks(DATA / "evaluation" / "tasks.jsonl")
    examples = [example for example in tasks if example.task == recipe.task]
    some = examples[:: len(examples) // 24][:24]
    parts = [model.load_stage(stage) for stage in Partition.split(model.n_blocks, 1, bits, bits).stages]
    before = _right(parts, model, some)
    for part in parts:
        part.attach(load_adapter(name, model))
        part.use(name)
    assert _right(parts, model, some) > before
