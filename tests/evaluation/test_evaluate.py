"""Accuracy is that of the real stages and codec, is exact where they are, and is found once."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
import torch

from tests.models.adapter_files import linear_layers, write_adapter
from workbench.errors import CancelledRunError, PlanError, UnknownNameError
from workbench.evaluation import Accuracy, Example, Suite, evaluate
from workbench.evaluation.pipeline import StageShelf
from workbench.evaluation.rows import UNSCORED, Batch, Row
from workbench.evaluation.score import score
from workbench.models import Model
from workbench.plan import CLOUD, EDGE, Partition, Placement, Plan


def whole(model: Model, *, bits: int = 32, place: str = EDGE) -> Plan:
    return Plan.of(model.name, Partition.unsplit(model.n_blocks, place, bits))


def cut(model: Model, at: int, *, bits: int = 32, wire: str = "fp32") -> Plan:
    return Plan.of(model.name, Partition.split(model.n_blocks, at, bits, bits), wire)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry per real run of stages over a suite."""
    module = sys.modules[evaluate.__module__]
    real, seen = module._run, []

    def counted(model: Model, placement: Placement, *rest: object) -> object:
        seen.append(str(placement.partition))
        return real(model, placement, *rest)

    monkeypatch.setattr(module, "_run", counted)
    return seen


def test_bits_per_byte_are_those_of_the_whole_model(toy: Model, suite: Suite) -> None:
    text = suite.texts[0]
    ids = torch.tensor([[toy.tokenizer.eos_token_id, *toy.tokenizer(text)["input_ids"]]])
    with torch.inference_mode():
        logits = toy.load_full()(ids).logits[0, :-1]
    nats = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
    found = evaluate(toy, whole(toy), suite=replace(suite, texts=(text,)))
    assert found.bits_per_byte == pytest.approx(nats / math.log(2) / len(text.encode()), rel=1e-5)


def test_exact_match_is_what_greedy_decoding_writes(toy: Model) -> None:
    """The random model never writes a newline by itself: its own next token stands in for the answer."""
    full, ids = toy.load_full(), toy.tokenizer("copy: a b =")["input_ids"]
    written = list(ids)
    with torch.inference_mode():
        for _ in range(4):
            written.append(int(full(torch.tensor([written])).logits[0, -1].argmax()))
    other = [*written[:-1], (written[-1] + 1) % 300]
    rows = [
        Row(tuple(w[:-1]), (*([UNSCORED] * (len(ids) - 1)), *w[len(ids) :]), "write")
        for w in (written, other)
    ]
    batch = Batch(tuple(rows), torch.tensor([r.tokens for r in rows]), torch.tensor([r.labels for r in rows]))
    with torch.inference_mode():
        found = score(lambda tokens: full(tokens).logits, [batch])
    assert found.answers == {"write": [True, False]}


@pytest.mark.parametrize("at", range(5))
def test_a_split_that_is_exact_loses_nothing(toy: Model, suite: Suite, at: int) -> None:
    assert evaluate(toy, cut(toy, at), suite=suite) == evaluate(toy, whole(toy), suite=suite)


def test_the_float32_model_agrees_with_itself(toy: Model, suite: Suite) -> None:
    assert evaluate(toy, whole(toy), suite=suite).agreement.value == 1


def test_a_coarser_codec_agrees_less(toy: Model, suite: Suite) -> None:
    fine, coarse = (evaluate(toy, cut(toy, 2, wire=wire), suite=suite) for wire in ("int8", "int4"))
    assert 1 >= fine.agreement.value > coarse.agreement.value
    assert coarse.agreement.low < coarse.agreement.value < coarse.agreement.high


def test_u_shaped_plans_are_evaluated_too(toy: Model, suite: Suite) -> None:
    plan = Plan.of(toy.name, Partition.u_shaped(4, (1, 3), 32, 32), "fp32")
    assert evaluate(toy, plan, suite=suite) == evaluate(toy, whole(toy), suite=suite)


def test_a_result_is_found_once(toy: Model, suite: Suite, runs: list[str]) -> None:
    first = evaluate(toy, cut(toy, 2, wire="int8"), suite=suite)
    assert len(runs) == 2  # the plan and the reference
    assert evaluate(toy, cut(toy, 2, wire="int8"), suite=suite) == first
    assert len(runs) == 2
    evaluate(toy, cut(toy, 3, wire="int8"), suite=suite)
    assert len(runs) == 3  # the reference is known


def test_where_stages_are_placed_changes_nothing(toy: Model, suite: Suite, runs: list[str]) -> None:
    on_edge = evaluate(toy, whole(toy, bits=16), suite=suite)
    n_runs = len(runs)
    assert evaluate(toy, whole(toy, bits=16, place=CLOUD), suite=suite) == on_edge
    assert len(runs) == n_runs


def test_the_codec_of_an_unsplit_plan_changes_nothing(toy: Model, suite: Suite, runs: list[str]) -> None:
    evaluate(toy, whole(toy, bits=16), suite=suite)
    n_runs = len(runs)
    evaluate(toy, whole(toy, bits=16).replace_default(wire="int4"), suite=suite)
    assert len(runs) == n_runs


def test_another_suite_is_another_result(toy: Model, suite: Suite, runs: list[str]) -> None:
    evaluate(toy, whole(toy), suite=suite)
    evaluate(toy, whole(toy), suite=replace(suite, examples=(Example("copy", "copy: z =", "z"),)))
    assert len(runs) == 4


def test_without_the_cache_nothing_is_kept(
    toy: Model, suite: Suite, own_cache: Path, runs: list[str]
) -> None:
    evaluate(toy, whole(toy), suite=suite, cache=False)
    evaluate(toy, whole(toy), suite=suite, cache=False)
    assert len(runs) == 4
    assert not own_cache.exists()


def test_stopping_keeps_nothing(toy: Model, suite: Suite, own_cache: Path) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(CancelledRunError, match="stopped"):
        evaluate(toy, whole(toy), suite=suite, stop=stop)
    assert not own_cache.exists()


def test_a_plan_of_another_model_is_refused(toy: Model, suite: Suite) -> None:
    plan = Plan.of(toy.name, Partition.split(9, 3))
    with pytest.raises(PlanError, match="9 blocks"):
        evaluate(toy, plan, suite=suite)


def test_an_unknown_suite_is_refused(toy: Model) -> None:
    with pytest.raises(UnknownNameError, match="suite"):
        evaluate(toy, whole(toy), suite="quikc")


def test_results_survive_json(toy: Model, suite: Suite) -> None:
    found = evaluate(toy, whole(toy), suite=suite)
    assert Accuracy.from_dict(found.to_dict()) == found


def test_shelf_lets_go_of_what_is_not_needed(toy: Model) -> None:
    shelf = StageShelf(max_bytes=1)
    shelf.stages(toy, whole(toy).default, "cpu")
    kept = shelf.stages(toy, cut(toy, 2).default, "cpu")
    assert [s.stage.place for s in kept] == [EDGE, CLOUD]
    assert len(shelf._stages) == 2


def test_shelf_reuses_a_stage_of_another_plan(toy: Model) -> None:
    shelf = StageShelf()
    first = shelf.stages(toy, cut(toy, 2).default, "cpu")
    again = shelf.stages(toy, Placement(Partition.split(4, 2, 32, 16), "int4"), "cpu")
    assert first[0] is again[0]
    assert first[1] is not again[1]


def test_an_adapter_that_was_trained_again_is_the_one_that_is_scored(
    toy: Model, suite: Suite, tmp_path: Path
) -> None:
    folder, base = tmp_path / "adapter", toy.load_full()
    paths = [path for path in linear_layers(base, "model.layers") if path.endswith("q_proj")]
    with_it = Placement(Partition.unsplit(toy.n_blocks, EDGE, 32), "fp32", adapter=str(folder))
    found = []
    for seed in (0, 1):
        write_adapter(folder, base, toy.name, paths, seed)
        found.append(evaluate(toy, Plan(toy.name, {"default": with_it}), suite=suite).bits_per_byte)
    assert found[0] != found[1]
