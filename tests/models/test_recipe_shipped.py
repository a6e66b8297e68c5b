"""What is shipped: loads offline as plain transformers does, is as small and as good as its card says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from workbench.models.recipe.architecture import DRAFT, MODELS, TINY
from workbench.models.recipe.evaluate import exact_match, read_prose, read_tasks, score_prose

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    return json.loads((DATA / "models" / "card.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(DATA / "models" / TINY.name)


@pytest.mark.parametrize("name", MODELS)
def test_the_folder_is_what_the_recipe_says(name: str) -> None:
    folder, architecture = DATA / "models" / name, MODELS[name]
    config = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).config
    assert (folder / "model.safetensors").stat().st_size <= 10_000_000
    assert config.num_hidden_layers == architecture.blocks
    assert config.early_exits == list(architecture.exits)
    assert config.max_position_embeddings >= 1024


def test_tiny_is_of_the_promised_shape(card: dict[str, Any]) -> None:
    assert 3_000_000 <= card["models"][TINY.name]["parameters"] <= 8_000_000
    assert 8 <= TINY.blocks <= 12
    assert TINY.key_value_heads < TINY.heads


def test_both_models_share_one_tokenizer() -> None:
    files = [(DATA / "models" / name / "tokenizer.json").read_bytes() for name in MODELS]
    assert files[0] == files[1]


@given(text=st.text(st.characters(codec="utf-8")))
def test_any_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("name", MODELS)
def test_the_card_is_of_these_files(card: dict[str, Any], name: str) -> None:
    folder, described = DATA / "models" / name, card["models"][name]
    assert described["file_bytes"] == (folder / "model.safetensors").stat().st_size
    assert described["training"] == json.loads((folder / "training.json").read_text(encoding="utf-8"))
    assert f"# {name}" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_card_meets_the_targets(card: dict[str, Any]) -> None:
    bits = {name: model["bits"] for name, model in card["models"].items()}
    tiny, draft = bits[TINY.name]["16"], bits[DRAFT.name]["16"]
    good = [task for task, share in tiny["exact_match"].items() if share >= 0.9]
    worse = [task for task in good if draft["exact_match"][task] <= tiny["exact_match"][task] - 0.15]
    assert tiny["bits_per_byte"] <= 1.7 < card["held_out"]["xz_bits_per_byte"]
    assert len(good) >= 3
    assert len(worse) >= 2


def test_eight_bits_cost_nothing_visible_and_four_bits_something(card: dict[str, Any]) -> None:
    for model in card["models"].values():
        at = model["bits"]
        assert at["8"]["bits_per_byte"] == pytest.approx(at["16"]["bits_per_byte"], abs=0.003)
        assert at["8"]["agreement"] > 0.98
        assert at["4"]["bits_per_byte"] > at["16"]["bits_per_byte"] + 0.006
        assert at["4"]["agreement"] < 0.97


@pytest.mark.slow
def test_the_card_is_measured_on_this_model(card: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> None:
    model = AutoModelForCausalLM.from_pretrained(DATA / "models" / TINY.name, dtype=torch.float32).eval()
    prose = read_prose(DATA / "evaluation" / "prose.jsonl")
    exits = card["models"][TINY.name]["exits"]
    scores = score_prose(model, tokenizer, prose, TINY.exits)
    for depth, score in scores.items():
        assert score.bits_per_byte == pytest.approx(exits[str(depth)]["bits_per_byte"], abs=0.002)
    tasks = read_tasks(DATA / "evaluation" / "tasks.jsonl")
    right = exact_match(model, tokenizer, tasks, (TINY.blocks,))[TINY.blocks]
    assert right == pytest.approx(exits[str(TINY.blocks)]["exact_match"], abs=0.01)
