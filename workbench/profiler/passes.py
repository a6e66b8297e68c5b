"""Times a model's forward passes: prompts, and single tokens after a context, of one weight width.

Shapes: B batch, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.errors import UnsupportedArchitectureError
from workbench.models.kv_cache import StageCache
from workbench.models.slice import Boundary, StageModel
from workbench.plan import CLOUD, EDGE, Stage
from workbench.profiler.repeat import WAIT_S, repeat, spread
from workbench.profiler.watch import Watch
from workbench.profiles import PassTimes, WidthTable

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["measure_width", "prompt", "single_token", "token_ids"]

_Run = Callable[[], float]
"""One forward pass; its seconds."""
_Shape = tuple[int, int, int]
"""Tokens, context, batch."""
# Of prompts and contexts, by batch. Kernels like powers of two best, and few prompts are that long.
_LENGTHS = {1: (1, 4, 13, 61, 127, 251, 1021), 4: (1, 13, 61, 251)}
_CONTEXTS = {1: (13, 127, 509, 2039), 4: (13, 509)}
_ROUNDS = 4  # over all shapes: what slows this host down for a while slows none of them alone
_LONG = 1.0  # shares of its time that one pass may take; beyond, no longer prompt is tried
_SHAPES = sum(map(len, (*_LENGTHS.values(), *_CONTEXTS.values()))) + 4  # the last for two halves of a split


def measure_width(model: Model, bits: int, budget_s: float) -> tuple[WidthTable, tuple[str, ...]]:
    """All passes with weights of ``bits``, and what a reader must know of them."""
    each_s = budget_s / _SHAPES
    n = model.profile.n_blocks
    passes = _passes(model, model.load_stage(Stage(EDGE, 0, n, embedding=True, head=True, bits=bits)), each_s)
    overhead_s, wait_s = _overheads(model, bits, 2 * each_s)
    notes = () if overhead_s >= 0 else (f"{bits} bits: parts took longer than passes, no overhead is left",)
    return WidthTable(passes, max(0.0, overhead_s), max(0.0, wait_s)), notes


def token_ids(model: Model, tokens: int, batch: int = 1) -> Tensor:
    """Any token ids [B, T]."""
    return torch.arange(tokens).remainder(model.profile.vocab).expand(batch, tokens)


def prompt(stage: StageModel, inputs: Tensor | Boundary) -> _Run:
    """Runs a prompt with an empty cache; the seconds of the forward alone."""
    return lambda: _forward_s(stage, inputs, stage.new_cache(_batch(inputs)))


def single_token(stage: StageModel, context: Tensor | Boundary) -> _Run:
    """Runs one token after a context, which is put back each time; the seconds of the forward alone."""
    cache, inputs = stage.new_cache(_batch(context)), _last(context)
    stage.forward(context, cache=cache, logits_to_keep=1)

    def run() -> float:
        seconds = _forward_s(stage, inputs, cache)
        cache.rewind(1)
        return seconds

    return run


def _forward_s(stage: StageModel, inputs: Tensor | Boundary, cache: StageCache) -> float:
    started_s = perf_counter()
    stage.forward(inputs, cache=cache, logits_to_keep=1)
    return perf_counter() - started_s


def _batch(inputs: Tensor | Boundary) -> int:
    return (inputs if isinstance(inputs, Tensor) else inputs.tensors[0]).shape[0]


def _last(inputs: Tensor | Boundary) -> Tensor | Boundary:
    if isinstance(inputs, Tensor):
        return inputs[:, -1:]
    return Boundary(tuple(tensor[:, -1:] for tensor in inputs.tensors), inputs.names)


# ---- the whole model


def _passes(model: Model, whole: StageModel, each_s: float) -> tuple[PassTimes, ...]:
    watch = Watch(whole)
    work = {**_prompts(model, whole, each_s), **_single_tokens(model, whole)}
    columns: dict[_Shape, list[list[float]]] = {shape: [] for shape in work}
    for number in range(_ROUNDS):
        for shape, run in work.items():
            found = repeat(watch.beside(run), each_s / _ROUNDS, least=2, warm_ups=1 if number == 0 else 0)
            before = columns[shape] or [[] for _ in found]
            columns[shape] = [a + b for a, b in zip(before, found, strict=True)]
    return tuple(_pass_times(shape, *columns[shape]) for shape in work)


def _prompts(model: Model, whole: StageModel, each_s: float) -> dict[_Shape, _Run]:
    """As many lengths as there is time for, two at least."""
    found: dict[_Shape, _Run] = {}
    for batch, lengths in _LENGTHS.items():
        for done, tokens in enumerate(_up_to(lengths, model)):
            run = prompt(whole, token_ids(model, tokens, batch))
            # The better of two: a first pass, or one beside other work, may take ten times as long.
            if done > 1 and min(run(), run()) > _LONG * each_s:
                break
            found[tokens, 0, batch] = run
    return found


def _single_tokens(model: Model, whole: StageModel) -> dict[_Shape, _Run]:
    shapes = [
        (context, batch) for batch, contexts in _CONTEXTS.items() for context in _up_to(contexts, model)
    ]
    return {(1, c, batch): single_token(whole, token_ids(model, c, batch)) for c, batch in shapes}


def _up_to(points: Sequence[int], model: Model) -> tuple[int, ...]:
    """Those that the model has positions for, and else the most that it has."""
    most = model.profile.max_positions - 2
    fitting = {point for point in points if point < most}
    return tuple(sorted(fitting if len(fitting) == len(points) else {1, most, *fitting}))


def _pass_times(
    shape: _Shape, total: list[float], embedding: list[float], head: list[float], *blocks: list[float]
) -> PassTimes:
    each = tuple(median(block) for block in blocks)
    return PassTimes(*shape, each, median(embedding), median(head), median(total), spread(total))


# ---- both halves of a split


def _overheads(model: Model, bits: int, each_s: float) -> tuple[float, float]:
    """Of one pass of a stage: besides its parts, and what a pause before it adds. Means of both halves.

    Below zero where hooks cost more than there is.
    """
    found = [_overhead(stage, context, each_s) for stage, context in _halves(model, bits)]
    return (sum(o for o, _ in found) / len(found), sum(w for _, w in found) / len(found))


def _halves(model: Model, bits: int) -> list[tuple[StageModel, Tensor | Boundary]]:
    """Both stages of a split in the middle with what they have seen; the whole where it cannot be split."""
    n = model.profile.n_blocks
    at, ids = n // 2, token_ids(model, min(_up_to(_CONTEXTS[1], model)))
    try:
        front = model.load_stage(Stage(EDGE, 0, at, embedding=True, bits=bits))
        back = model.load_stage(Stage(CLOUD, at, n, head=True, bits=bits))
    except UnsupportedArchitectureError:
        return [(model.load_stage(Stage(EDGE, 0, n, embedding=True, head=True, bits=bits)), ids)]
    boundary = front.forward(ids)
    return [(front, ids)] if back.needs_token_ids else [(front, ids), (back, boundary)]


def _overhead(stage: StageModel, context: Tensor | Boundary, each_s: float) -> tuple[float, float]:
    run, beside = single_token(stage, context), Watch(stage).beside

    def once() -> tuple[float, float, float]:
        late_s = run()  # after the pause that goes before
        total_s, *parts_s = beside(run)()
        return late_s, total_s, sum(parts_s)

    late_s, total_s, parts_s = map(median, repeat(once, each_s, wait_s=WAIT_S))
    return total_s - parts_s, late_s - total_s
