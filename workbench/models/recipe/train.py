"""Training of the shipped models: step-based, seeded, resumable, on a CPU or a GPU.

Muon moves the matrices (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural
networks"), AdamW the embedding and the norms. The rate rises for 2 % of the steps, stays, and falls
to zero over the last 60 %. The last 15 % of the steps see rows twice as long.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.optim import AdamW, Muon, Optimizer
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from .architecture import Architecture, build_model, training_loss
from .batches import Mix, TokenStreams, make_batch

__all__ = ["Cost", "Settings", "plain_copy", "save_model", "train"]


@dataclass(frozen=True)
class Settings:
    """Everything that a training run depends on, beside its text."""

    steps: int
    seed: int = 0
    tokens_per_step: int = 4096
    length: int = 512
    """Tokens per row; twice as many in the last 15 % of the steps."""
    matrix_rate: float = 0.02
    other_rate: float = 3e-3
    weight_decay: float = 0.05
    mix: Mix = field(default_factory=Mix)


@dataclass(frozen=True)
class Cost:
    """What training took on this host, over all the pieces of an interrupted run. Measured."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    tokens: int = 0


@dataclass
class _Run:
    model: LlamaForCausalLM
    optimizers: tuple[Optimizer, ...]
    step: int = 0
    cost: Cost = Cost()


def train(
    architecture: Architecture,
    settings: Settings,
    streams: TokenStreams,
    tokenizer: PreTrainedTokenizerFast,
    *,
    device: torch.device,
    checkpoint: Path,
    every: int = 200,
    report: Callable[[LlamaForCausalLM, int], str] | None = None,
    compiled: bool | None = None,
) -> tuple[LlamaForCausalLM, Cost]:
    """A trained model, continued from `checkpoint` if one of the same settings is there.

    Every `every` steps the checkpoint is replaced and what `report` says is printed. Stopping at any
    time loses at most the steps since. `compiled` blocks train about 15 % faster; None compiles them where
    there is a C++ compiler.
    """
    run = _start(architecture, settings, device, compiled)
    _resume(run, architecture, settings, checkpoint)
    before, started = run.cost, (time.perf_counter(), _cpu_seconds())
    for step in range(run.step, settings.steps):
        losses = _train_step(run, architecture, settings, streams, tokenizer, step)
        run.step = step + 1
        run.cost = _cost_since(before, started, run.step * settings.tokens_per_step)
        _print_progress(architecture.name, run, settings, losses)
        if run.step % every == 0 or run.step == settings.steps:
            _save_checkpoint(run, architecture, settings, checkpoint)
            if report:
                print(f"\n{architecture.name} step {run.step}: {report(run.model, run.step)}", flush=True)
    return run.model, run.cost


def _start(
    architecture: Architecture, settings: Settings, device: torch.device, compiled: bool | None
) -> _Run:
    model = build_model(architecture, settings.seed).to(device)
    if _has_compiler() if compiled is None else compiled:
        for block in model.model.layers:
            block.compile(dynamic=False)
        model.model.norm.compile(dynamic=False)
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in named if p.ndim != 2 or "embed" in name]
    muon = Muon(matrices, lr=settings.matrix_rate, weight_decay=settings.weight_decay)
    adam = AdamW(others, lr=settings.other_rate, betas=(0.9, 0.95), weight_decay=0.0)
    return _Run(model, (muon, adam))


def _has_compiler() -> bool:
    return any(shutil.which(name) for name in ("c++", "g++", "clang++"))


def _train_step(
    run: _Run,
    architecture: Architecture,
    settings: Settings,
    streams: TokenStreams,
    tokenizer: PreTrainedTokenizerFast,
    step: int,
) -> dict[int, float]:
    length = settings.length * (2 if step >= 0.85 * settings.steps else 1)
    batch = make_batch(
        streams, tokenizer, step,
        seed=settings.seed, length=length, tokens=settings.tokens_per_step, mix=settings.mix,
    )  # fmt: skip
    device = run.model.device
    inputs, labels = (torch.from_numpy(item).to(device) for item in (batch.inputs, batch.labels))
    with torch.autocast(device.type, torch.bfloat16):
        loss, losses = training_loss(run.model, inputs, labels, architecture.exit_weights, step)
    loss.backward()
    _set_rates(run.optimizers, settings, step)
    for optimizer in run.optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return {depth: value.item() for depth, value in losses.items()}


def _set_rates(optimizers: tuple[Optimizer, ...], settings: Settings, step: int) -> None:
    done = (step + 1) / settings.steps
    factor = min(1.0, done / 0.02, (1.0 - done) / 0.6 + 1e-4)
    for optimizer, rate in zip(optimizers, (settings.matrix_rate, settings.other_rate), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate * factor


# --- what it costs, what is printed, what is kept ---------------------------------------------------


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _cost_since(before: Cost, started: tuple[float, float], tokens: int) -> Cost:
    return Cost(
        wall_s=before.wall_s + time.perf_counter() - started[0],
        cpu_s=before.cpu_s + _cpu_seconds() - started[1],
        tokens=tokens,
    )


def _print_progress(name: str, run: _Run, settings: Settings, losses: dict[int, float]) -> None:
    terminal = sys.stdout.isatty()
    if not terminal and run.step % 20:
        return
    rate = run.cost.tokens / max(run.cost.wall_s, 1e-9)
    left = (settings.steps - run.step) * settings.tokens_per_step / rate
    shown = " ".join(f"{depth}:{loss:.3f}" for depth, loss in losses.items())
    line = f"{name} {run.step}/{settings.steps} loss {shown} {rate:.0f} tok/s {left / 60:.1f} min left"
    print(f"\r{line}  " if terminal else line, end="" if terminal else "\n", flush=True)


def _fingerprint(architecture: Architecture, settings: Settings) -> str:
    return json.dumps([asdict(architecture), asdict(settings)], sort_keys=True)


def _save_checkpoint(run: _Run, architecture: Architecture, settings: Settings, path: Path) -> None:
    state: dict[str, Any] = {
        "fingerprint": _fingerprint(architecture, settings),
        "model": run.model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in run.optimizers],
        "step": run.step,
        "cost": asdict(run.cost),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def _resume(run: _Run, architecture: Architecture, settings: Settings, path: Path) -> None:
    if not path.exists():
        return
    state = torch.load(path, map_location=run.model.device, weights_only=True)
    if state["fingerprint"] != _fingerprint(architecture, settings):
        print(f"{path} is of other settings: training starts anew", flush=True)
        return
    run.model.load_state_dict(state["model"])
    for optimizer, saved in zip(run.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    run.step, run.cost = state["step"], Cost(**state["cost"])


def save_model(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, record: Mapping[str, Any], folder: Path
) -> None:
    """Model (bfloat16 safetensors), tokenizer and `record` (as `training.json`) in `folder`.

    Each file appears whole or not at all.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    plain_copy(model).to(torch.bfloat16).save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    (partial / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(partial.iterdir()):
        file.chmod(0o644)
        file.replace(folder / file.name)
    partial.rmdir()


def plain_copy(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """The same model where it is, with no compiled parts: for other shapes than training's."""
    copy = LlamaForCausalLM(model.config)
    copy.load_state_dict(model.state_dict())
    return copy.to(model.device).eval()
