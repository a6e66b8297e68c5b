"""What a module answers: the same tokens as one by one, with the probabilities that they had."""

from __future__ import annotations

import threading

import pytest
import torch

from workbench.errors import CancelledRunError, PlanError
from workbench.evaluation import Example, answer_table, answers, modules_of
from workbench.models import Model
from workbench.plan import CLOUD, DEFAULT_FEATURE, EDGE, Partition, Placement, Plan

EXAMPLES = (
    Example("a", "A block is", "x"),
    Example("a", "Edge first, cloud", "x"),
    Example("b", "what crosses", "x"),
    Example("b", "A block is", "x"),
)


def _greedy(model: Model, prompt: str, n: int) -> tuple[list[int], list[float]]:
    """One prompt by the unsplit model without a cache, in bfloat16 as a stage computes."""
    full = model.load_full(dtype=torch.bfloat16)
    ids, found, logprobs = list(model.tokenizer(prompt)["input_ids"]), [], []
    for _ in range(n):
        with torch.inference_mode():
            logits = full(torch.tensor([ids])).logits[0, -1].float()
        best = torch.log_softmax(logits, -1).max(-1)
        ids.append(int(best.indices))
        found.append(ids[-1])
        logprobs.append(float(best.values))
        if "\n" in model.tokenizer.decode(found[-1:]) or found[-1] == model.tokenizer.eos_token_id:
            break
    return found, logprobs


def test_batches_answer_as_single_prompts_do(toy: Model) -> None:
    placement = Placement(Partition.unsplit(toy.n_blocks, EDGE))
    found = answers(toy, placement, EXAMPLES, max_new_tokens=5)
    assert [answer.example for answer in found] == list(EXAMPLES)
    for answer in found:
        tokens, logprobs = _greedy(toy, answer.example.prompt, 5)
        text = toy.tokenizer.decode(tokens, skip_special_tokens=True).partition("\n")[0]
        assert answer.text == text
        assert answer.new_tokens == len(tokens)
        assert answer.logprobs == pytest.approx(logprobs, abs=0.05)
        assert not answer.right
    assert found[0].text == found[3].text


def test_a_table_has_a_module_once_however_many_features_use_it(toy: Model) -> None:
    n = toy.n_blocks
    local = Placement(Partition.unsplit(n, EDGE, 32))
    features = {DEFAULT_FEATURE: Placement(Partition.unsplit(n, CLOUD, 32)), "a": local, "b": local}
    plan = Plan(toy.name, {**features, "c": Placement(Partition.unsplit(n, EDGE, 16))})
    assert len(modules_of(plan)) == 2
    steps: list[tuple[int, int, str]] = []
    table = answer_table(plan, {toy.name: toy}, examples=EXAMPLES, on_step=lambda *step: steps.append(step))
    assert set(table.modules) == set(modules_of(plan))
    assert table.tasks == ("a", "a", "b", "b")
    assert steps[-1] == (2, 2, "done")
    assert all(module.bits_per_byte > 0 for module in table.modules.values())


def test_a_stop_and_a_wrong_size_are_said(toy: Model) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(CancelledRunError):
        answers(toy, Placement(Partition.unsplit(toy.n_blocks, EDGE)), EXAMPLES, stop=stop)
    with pytest.raises(PlanError, match="has 4"):
        answers(toy, Placement(Partition.unsplit(7, EDGE)), EXAMPLES)
