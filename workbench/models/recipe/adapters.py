"""Training of the shipped adapters: the base frozen, a product of low rank beside each linear layer of it.

Rows are single examples, and the loss is on their answers alone. AdamW; the rate rises for 5 % of the steps
and then falls to zero along half a cosine. Every batch is a function of seed and step, held-out prompts never
among them. A run takes minutes and is not resumed: its adapter is written whole or not at all.

B examples, T tokens, K inputs, N outputs, r rank.
"""

from __future__ import annotations

import json
import math
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear
from torch.optim import AdamW
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from workbench.models.adapters import BASE_WEIGHTS, CONFIG, WEIGHTS, base_name, base_weights
from workbench.models.load import Model, load_model

from .batches import IGNORED
from .evaluate import answer_row, exact_match, padded
from .record import host
from .tasks import TASKS, Example, training_examples
from .tokenizer import load_tokenizer
from .train import Cost

__all__ = ["ADAPTERS", "AdapterRecipe", "LowRank", "adapted", "save_adapter", "ship_adapter", "train_adapter"]


@dataclass(frozen=True)
class AdapterRecipe:
    """A shipped adapter: what it is for, and everything that its training depends on."""

    name: str
    task: str  # one of TASKS
    base: str  # "tiny@4": tiny left after block 4
    rank: int
    steps: int
    examples_per_step: int = 64
    rate: float = 3e-3
    alpha: float = 2.0  # scale of the product, as a multiple of its rank


ADAPTERS = {
    recipe.name: recipe
    for recipe in (
        AdapterRecipe("arithmetic", "arithmetic", "tiny@4", rank=12, steps=800),
        AdapterRecipe("reverse", "reverse", "tiny@2", rank=24, steps=600),
        AdapterRecipe("recall", "recall", "tiny@2", rank=24, steps=500),
    )
}
_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_WARM_UP = 0.05  # of the steps
_LARGEST_NORM = 1.0  # of all gradients together
_SHOWN_EVERY = 50  # steps


class LowRank(nn.Module):
    """`scale * B A`, zero until it is trained: A as peft draws it, B zero."""

    def __init__(self, layer: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Parameter(torch.empty(rank, layer.in_features))  # A
        self.up = nn.Parameter(torch.zeros(layer.out_features, rank))  # B
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, K] in, [B, T, N] out."""
        return linear(linear(x, self.down), self.up) * self.scale


def new_factors(model: LlamaForCausalLM, recipe: AdapterRecipe, seed: int) -> dict[str, LowRank]:
    """Fresh factors for every linear layer of the blocks, by the layer's path; the same for the same seed."""
    torch.manual_seed(seed)
    return {
        path: LowRank(layer, recipe.rank, recipe.alpha)
        for path, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and path.endswith(_LINEAR)
    }


@contextmanager
def adapted(model: LlamaForCausalLM, factors: Mapping[str, LowRank]) -> Iterator[None]:
    """While it lasts, the model computes with the factors beside its own weights."""

    def adder(factor: LowRank) -> Callable[..., Tensor]:
        return lambda layer, args, output: output + factor(args[0])

    handles = [model.get_submodule(p).register_forward_hook(adder(f)) for p, f in factors.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def train_adapter(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    recipe: AdapterRecipe,
    steps: int,
    seed: int,
    report: Callable[[int, float], None] | None = None,
) -> dict[str, LowRank]:
    """Factors by the path of their layer, trained on the recipe's task.

    Args:
        model: the base, frozen here and not changed otherwise; float32.
        report: gets the steps done and the loss, in nats per token of an answer.
    """
    model.requires_grad_(False)
    factors = new_factors(model, recipe, seed)
    parameters = [parameter for factor in factors.values() for parameter in factor.parameters()]
    optimizer = AdamW(parameters, lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.0)
    with adapted(model, factors):
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = recipe.rate * _share_of_rate((step + 1) / steps)
            loss = _answer_loss(model, *_batch(tokenizer, recipe, seed, step))
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, _LARGEST_NORM)
            optimizer.step()
            optimizer.zero_grad()
            if report:
                report(step + 1, loss.item())
    return factors


def _share_of_rate(done: float) -> float:
    if done < _WARM_UP:
        return done / _WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP))


def _batch(
    tokenizer: PreTrainedTokenizerFast, recipe: AdapterRecipe, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """Tokens and labels, int64 [B, T]."""
    examples = training_examples(seed * 1_000_003 + step, recipe.task)
    rows = [answer_row(tokenizer, example) for example in islice(examples, recipe.examples_per_step)]
    return padded(rows, tokenizer.pad_token_id)


def _answer_loss(model: LlamaForCausalLM, inputs: Tensor, labels: Tensor) -> Tensor:
    """The head runs on tokens of answers only, which are a minority."""
    learnt = labels != IGNORED
    hidden = model.model(input_ids=inputs, use_cache=False).last_hidden_state
    return cross_entropy(model.lm_head(hidden[learnt]), labels[learnt])


# --- what is shipped --------------------------------------------------------------------------------


def ship_adapter(
    recipe: AdapterRecipe, data: Path, tasks: Sequence[Example], *, steps: int | None = None, seed: int = 0
) -> None:
    """Train an adapter on its base in the `data` folder, measure it on `tasks`, put it under `adapters/`."""
    base = load_model(data / "models" / recipe.base)
    model: Any = base.load_full(dtype=torch.float32)
    tokenizer = load_tokenizer(base.source)
    before = _exact_match(model, tokenizer, tasks)
    started, cpu = time.perf_counter(), _cpu_seconds()
    count = steps or recipe.steps
    factors = train_adapter(model, tokenizer, recipe, count, seed, _reporter(recipe, count))
    cost = Cost(time.perf_counter() - started, _cpu_seconds() - cpu)
    _round(factors)
    with adapted(model, factors):
        after = _exact_match(model, tokenizer, tasks)
    record = {
        "label": "measured",
        "adapter": asdict(recipe),
        "settings": {"steps": count, "seed": seed},
        "cost": {"wall_s": round(cost.wall_s, 1), "cpu_s": round(cost.cpu_s, 1)},
        "host": host(),
        "examples_per_task": len(tasks) // len({example.task for example in tasks}),
        "exact_match": {"before": before, "after": after},
    }
    save_adapter(factors, recipe, base, record, data / "adapters" / recipe.name)
    print(f"{recipe.name}: {before[recipe.task]:.1%} before, {after[recipe.task]:.1%} after", flush=True)


def _exact_match(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, tasks: Sequence[Example]
) -> dict[str, float]:
    depth = model.config.num_hidden_layers
    found = exact_match(model, tokenizer, tasks, (depth,))[depth]
    return {task: round(share, 4) for task, share in found.items()}


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _reporter(recipe: AdapterRecipe, steps: int) -> Callable[[int, float], None]:
    started = time.perf_counter()

    def report(step: int, loss: float) -> None:
        if step % _SHOWN_EVERY == 0 or step == steps:
            left_s = (time.perf_counter() - started) / step * (steps - step)
            print(f"{recipe.name} {step}/{steps} loss {loss:.3f} {left_s / 60:.1f} min left", flush=True)

    return report


@torch.no_grad()
def _round(factors: Mapping[str, LowRank]) -> None:
    """To what the file holds, so that what is measured is what is shipped."""
    for parameter in (p for factor in factors.values() for p in factor.parameters()):
        parameter.copy_(parameter.bfloat16())


def save_adapter(
    factors: Mapping[str, LowRank],
    recipe: AdapterRecipe,
    base: Model,
    record: Mapping[str, Any],
    folder: Path,
) -> None:
    """An adapter in peft's format (bfloat16), with its `README.md` and `record` as `training.json`.

    The folder appears whole or not at all.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    tensors = {
        f"base_model.model.{path}.lora_{letter}.weight": tensor.detach().bfloat16().contiguous()
        for path, factor in factors.items()
        for letter, tensor in (("A", factor.down), ("B", factor.up))
    }
    save_file(tensors, partial / WEIGHTS, {"format": "pt", BASE_WEIGHTS: base_weights(base)})
    _write_json(partial / CONFIG, _peft_config(recipe, base))
    _write_json(partial / "training.json", record)
    readme = _readme(recipe, base, record, (partial / WEIGHTS).stat().st_size)
    (partial / "README.md").write_text(readme, encoding="utf-8")
    for file in partial.iterdir():
        file.chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _peft_config(recipe: AdapterRecipe, base: Model) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name(base),
        "r": recipe.rank,
        "lora_alpha": recipe.alpha * recipe.rank,
        "lora_dropout": 0.0,
        "target_modules": list(_LINEAR),
        "layers_to_transform": list(range(base.n_blocks)),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "modules_to_save": None,
        "use_dora": False,
        "use_rslora": False,
    }


def _readme(recipe: AdapterRecipe, base: Model, record: Mapping[str, Any], file_bytes: int) -> str:
    before, after = record["exact_match"]["before"], record["exact_match"]["after"]
    rows = [f"| {task} | {before[task]:.1%} | {after[task]:.1%} |" for task in TASKS if task in after]
    host_, cost = record["host"], record["cost"]
    return "\n".join(
        [
            f"---\nlicense: apache-2.0\nlibrary_name: peft\nbase_model: {base_name(base)}\n---\n",
            f"# {recipe.name}\n",
            f"An adapter of low rank (LoRA, in peft's format) that has `{base_name(base)}`, "
            f"{_described(base)}, do one\ntask: {recipe.task}. It is for this task alone; the table says "
            "what it does to the others.\n",
            f"Written by `python -m workbench.models.recipe adapters --adapter {recipe.name}`; every figure "
            "is\nmeasured.\n",
            f"Rank {recipe.rank} beside all linear layers of {base.n_blocks} blocks: {file_bytes:,} bytes "
            "(bfloat16\nsafetensors).\n",
            f"## Exact match on {record['examples_per_task']} held-out examples per task\n",
            f"| Task | {base_name(base)} | with the adapter |",
            "| --- | --: | --: |",
            *rows,
            "\nGreedy decoding in float32, on `data/evaluation/tasks.jsonl`.\n",
            "## Training\n",
            f"{record['settings']['steps']:,} steps of {recipe.examples_per_step} generated examples, seed "
            f"{record['settings']['seed']}, base frozen: {cost['wall_s'] / 60:.1f} minutes and\n"
            f"{cost['cpu_s']:,.0f} CPU seconds on {host_['device']}, torch {host_['torch']}.\n",
            "## Sources and licences\n",
            "| Part | Source | Licence |",
            "| --- | --- | --- |",
            "| examples | generated by workbench/models/recipe/tasks.py | Apache-2.0 |",
            "| weights | this repository | Apache-2.0 |",
        ]
    ) + "\n"  # fmt: skip


def _described(base: Model) -> str:
    return "whole" if base.depth is None else f"`{base.source.name}` left after {base.depth} blocks"
