"""A run can be stopped at any step and goes on as if it had not been; files appear whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from workbench.models.recipe.architecture import Architecture, build_model, exit_logits, training_loss
from workbench.models.recipe.batches import IGNORED, Mix, TokenStreams, encode_streams, make_batch
from workbench.models.recipe.corpus import Corpus, Document
from workbench.models.recipe.evaluate import exact_match, score_prose, xz_bits_per_byte
from workbench.models.recipe.record import training_record
from workbench.models.recipe.tasks import training_examples
from workbench.models.recipe.tokenizer import END, load_tokenizer, train_tokenizer
from workbench.models.recipe.train import Cost, Settings, save_model, train

MICRO = Architecture("micro", 2, 32, 64, 2, 1, {1: 0.2, 2: 1.0}, vocabulary=320, max_positions=128)
SETTINGS = Settings(steps=6, seed=3, tokens_per_step=256, length=64)
CPU = torch.device("cpu")
TEXT = "A small text about reading files, writing files and closing files again.\n" * 40
CORPUS = Corpus((Document("topic:a", TEXT), Document("doc:b", TEXT.upper())), (Document("code:c", TEXT),))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    examples = training_examples(0)
    return train_tokenizer([TEXT, *(next(examples).text for _ in range(300))], 320, 128)


@pytest.fixture(scope="module")
def streams(tokenizer: PreTrainedTokenizerFast) -> TokenStreams:
    return encode_streams(tokenizer, CORPUS, seed=0)


def _trained(
    settings: Settings,
    streams: TokenStreams,
    tokenizer: PreTrainedTokenizerFast,
    checkpoint: Path,
    **more: int,
) -> tuple[LlamaForCausalLM, Cost]:
    return train(
        MICRO, settings, streams, tokenizer, device=CPU, checkpoint=checkpoint, compiled=False, **more
    )


def test_a_batch_depends_on_seed_and_step_alone(
    streams: TokenStreams, tokenizer: PreTrainedTokenizerFast
) -> None:
    def batch(step: int) -> np.ndarray:
        made = make_batch(streams, tokenizer, step, seed=1, length=64, tokens=512, mix=Mix())
        assert made.inputs.shape == made.labels.shape == (8, 64)
        return made.inputs

    assert np.array_equal(batch(5), batch(5))
    assert not np.array_equal(batch(5), batch(6))


def test_rows_keep_their_shares_over_many_steps(
    streams: TokenStreams, tokenizer: PreTrainedTokenizerFast
) -> None:
    mix = Mix(prose=0.3, code=0.2)
    task_rows = 0
    for step in range(20):
        made = make_batch(streams, tokenizer, step, seed=1, length=64, tokens=256, mix=mix)
        task_rows += int((made.labels == IGNORED).any(axis=1).sum())
    assert task_rows == pytest.approx(20 * 4 * 0.5, abs=2)


def test_task_prompts_are_not_learnt_and_answers_are(
    streams: TokenStreams, tokenizer: PreTrainedTokenizerFast
) -> None:
    made = make_batch(streams, tokenizer, 0, seed=1, length=128, tokens=128, mix=Mix(0.0, 0.0))
    learnt = tokenizer.decode(made.labels[0][made.labels[0] != IGNORED])
    assert "=" not in learnt
    assert learnt.count("\n") > 2


def test_labels_are_the_next_tokens(streams: TokenStreams, tokenizer: PreTrainedTokenizerFast) -> None:
    made = make_batch(streams, tokenizer, 0, seed=1, length=64, tokens=256, mix=Mix(1.0, 0.0))
    assert np.array_equal(made.inputs[:, 1:], made.labels[:, :-1])


def test_an_interrupted_run_ends_with_the_same_weights(
    streams: TokenStreams, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    whole, _ = _trained(SETTINGS, streams, tokenizer, tmp_path / "whole.pt")

    def stop(model: LlamaForCausalLM, step: int) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            MICRO, SETTINGS, streams, tokenizer, device=CPU, checkpoint=tmp_path / "part.pt",
            every=3, report=stop, compiled=False,
        )  # fmt: skip
    resumed, cost = _trained(SETTINGS, streams, tokenizer, tmp_path / "part.pt")
    assert cost.tokens == 6 * 256
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    assert not list(tmp_path.glob("*.partial"))


def test_a_checkpoint_of_other_settings_is_not_continued(
    streams: TokenStreams,
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "run.pt"
    _trained(Settings(steps=1, tokens_per_step=128, length=64), streams, tokenizer, path)
    _trained(Settings(steps=2, tokens_per_step=128, length=64), streams, tokenizer, path)
    assert "of other settings" in capsys.readouterr().out


def test_training_lowers_the_loss_of_every_exit(
    streams: TokenStreams, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    settings = Settings(steps=25, tokens_per_step=512, length=64, mix=Mix(1.0, 0.0))
    model, _ = _trained(settings, streams, tokenizer, tmp_path / "run.pt")
    before = score_prose(build_model(MICRO, 0), tokenizer, CORPUS.prose, MICRO.exits, window=64)
    after = score_prose(model, tokenizer, CORPUS.prose, MICRO.exits, window=64)
    assert all(after[d].bits_per_byte < 0.8 * before[d].bits_per_byte for d in MICRO.exits)
    shallow, deep = (after[depth] for depth in MICRO.exits)
    assert 0 < shallow.agreement(deep) <= deep.agreement(deep) == 1.0


def test_the_deepest_exit_is_the_model_itself() -> None:
    model = build_model(MICRO, 0).eval()
    tokens = torch.randint(0, 320, (2, 17), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(exit_logits(model, tokens, MICRO.exits)[2], model(tokens).logits)


def test_the_loss_weighs_the_exits() -> None:
    model = build_model(MICRO, 0)
    tokens = torch.randint(0, 320, (2, 16), generator=torch.Generator().manual_seed(0))
    loss, losses = training_loss(model, tokens, tokens, MICRO.exit_weights, phase=1)
    assert loss.item() == pytest.approx(0.2 * losses[1].item() + losses[2].item(), rel=1e-5)


def test_a_saved_model_loads_as_any_other_and_says_how_it_was_made(
    streams: TokenStreams, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model, folder = build_model(MICRO, 0), tmp_path / "micro"
    record = training_record(MICRO, SETTINGS, Cost(1.0, 2.0, 3), CORPUS, streams)
    save_model(model, tokenizer, record, folder)
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert loaded.config.early_exits == [1, 2]
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight.bfloat16())
    assert AutoTokenizer.from_pretrained(folder)("sort: b a =")["input_ids"]
    assert json.loads((folder / "training.json").read_text())["cost"]["tokens"] == 3
    assert not list(tmp_path.glob("*.partial"))


def test_saving_again_leaves_no_trace_of_where_the_tokenizer_was(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path / "a")
    load_tokenizer(tmp_path / "a", 128).save_pretrained(tmp_path / "b")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_tokenizer_keeps_digits_apart(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.tokenize("2048") == ["2", "0", "4", "8"]
    assert tokenizer.convert_tokens_to_ids(END) == tokenizer.eos_token_id == 0


def test_an_answer_counts_only_when_all_of_it_is_right(tokenizer: PreTrainedTokenizerFast) -> None:
    examples = [example for example, _ in zip(training_examples(0, "copy"), range(10), strict=False)]
    assert exact_match(build_model(MICRO, 0).eval(), tokenizer, examples, (2,)) == {2: {"copy": 0.0}}


def test_xz_is_measured_on_all_text_together() -> None:
    assert 0 < xz_bits_per_byte(CORPUS.prose) < 2
