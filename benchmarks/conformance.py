"""Every causal language model of transformers, cut at every split point: are the logits equal bit for bit?

Each architecture of the causal-LM mapping is built on a tiny random configuration and run in a process of its
own: a batch with left padding in several cached chunks of one and more tokens, without padding, without a
cache, and after rewinding. The unsplit model, run with the same chunks and a cache of its own, is the truth.

    python benchmarks/conformance.py [--json FILE] [--only NAME ...] [--jobs N]
"""

from __future__ import annotations

import argparse
import copy
import inspect
import json
import multiprocessing
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from tiny_models import VOCAB, architectures, tiny_model
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from workbench.errors import UnsupportedArchitectureError
from workbench.models.anatomy import find_anatomy
from workbench.models.slice import StageModel, slice_model
from workbench.plan import CLOUD, EDGE, Partition, Stage

CHUNKS = (5, 4, 1, 3, 1)  # tokens per forward: a prefill in two chunks, one token, several, one
PADDING = 3  # of the first sequence, on the left
BATCH = 2
TARGETS = {"architectures_total": 189, "architectures_run": 150, "architectures_exact": 150}
EXACT, DIFFERS, REFUSED, NOT_BUILT = "exact", "differs", "refused", "could not be built"


@dataclass(frozen=True)
class Verdict:
    """What one architecture did."""

    model_type: str
    outcome: str  # EXACT, DIFFERS, REFUSED or NOT_BUILT
    reason: str = ""
    n_splits: int = 0  # split points that ran and were compared
    cases: tuple[str, ...] = ()  # what the unsplit model itself could do
    largest_difference: float = 0.0


@dataclass(frozen=True)
class Case:
    """A way to feed the same tokens: chunks of [B, T], with or without padding and cache."""

    name: str
    chunks: tuple[int, ...]
    padded: bool
    cached: bool
    batch: int = BATCH


CACHED = Case("cached", CHUNKS, padded=False, cached=True, batch=1)
CASES = (
    Case("one forward", (sum(CHUNKS),), padded=False, cached=False),
    CACHED,
    Case("cached batch", CHUNKS, padded=False, cached=True),
    Case("padded and cached", CHUNKS, padded=True, cached=True),
)


def examine(model_type: str) -> Verdict:
    """Build, split at every point, compare."""
    try:
        model = tiny_model(model_type)
        truths = {case: truth for case in CASES if (truth := _try_unsplit(model, case)) is not None}
    except Exception as error:  # noqa: BLE001 (any architecture may fail in its own way)
        return Verdict(model_type, NOT_BUILT, _short(error))
    if not truths:
        reason = _attempt(lambda: _unsplit(copy.deepcopy(model), CASES[0]))
        return Verdict(model_type, NOT_BUILT, f"its unsplit forward fails: {reason}")
    if min(float(truth.float().std(dim=1).mean()) for truth in truths.values()) < 1e-4:
        return Verdict(model_type, NOT_BUILT, "its random logits are the same for every token")
    try:
        n_blocks = find_anatomy(model).n_blocks
    except UnsupportedArchitectureError as error:
        return Verdict(model_type, REFUSED, str(error))
    return _compare(model_type, model, n_blocks, truths)


def _compare(model_type: str, model: PreTrainedModel, n_blocks: int, truths: dict[Case, Tensor]) -> Verdict:
    largest, done, reasons = 0.0, 0, []
    idle = _idle_blocks(model, n_blocks, next(iter(truths)))
    if idle:
        reasons.append(f"blocks {idle} change nothing")
    for partition in _partitions(n_blocks):
        try:
            stages = [slice_model(copy.deepcopy(model), stage) for stage in partition.stages]
        except UnsupportedArchitectureError as error:
            reasons.append(str(error))
            continue
        for case, truth in truths.items():
            difference = _difference(_split(stages, case), truth)
            if difference:
                reasons.append(f"{case.name}, split at {partition.split_points}: {difference}")
            largest = max(largest, difference)
        difference = _rewound(stages, model) if CACHED in truths else 0.0
        if difference:
            reasons.append(f"after a rewind, split at {partition.split_points}: {difference}")
        largest, done = max(largest, difference), done + 1
    outcome = DIFFERS if largest else EXACT if done else REFUSED
    cases = tuple(case.name for case in truths)
    return Verdict(model_type, outcome, "; ".join(reasons[:3]), done, cases, largest)


def _idle_blocks(model: PreTrainedModel, n_blocks: int, case: Case) -> list[int]:
    """Blocks that give back what they get, so that leaving them out would not be noticed."""
    ids, mask = next(_chunks(case))
    entering = []
    for split_point in range(n_blocks + 1):
        try:
            head = slice_model(copy.deepcopy(model), Partition.split(n_blocks, split_point).stages[0])
            boundary: Any = head.forward(ids, attention_mask=mask)
            entering.append(boundary.tensors[0])
        except UnsupportedArchitectureError:
            entering.append(None)
    return [i for i in range(n_blocks) if _same(entering[i], entering[i + 1])]


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is not None and other is not None and torch.equal(one, other)


def _partitions(n_blocks: int) -> Iterator[Partition]:
    """Every split into two, a U, and a chain of three places."""
    for split_point in range(n_blocks + 1):
        yield Partition.split(n_blocks, split_point)
    if n_blocks > 1:
        yield Partition.u_shaped(n_blocks, (1, n_blocks - 1) if n_blocks > 2 else (0, n_blocks))
        middle = max(1, n_blocks // 2)
        yield Partition(
            n_blocks,
            (
                Stage(EDGE, 0, 1, embedding=True),
                Stage("fog", 1, middle + 1),
                Stage(CLOUD, middle + 1, n_blocks, head=True),
            ),
        )


# -- the two sides of the comparison --------------------------------------------------------------------


def _tokens(case: Case) -> Tensor:
    shape = (case.batch, sum(case.chunks))
    return torch.randint(4, VOCAB, shape, generator=torch.Generator().manual_seed(1))


def _mask(case: Case) -> Tensor:
    mask = torch.ones((case.batch, sum(case.chunks)), dtype=torch.long)
    mask[0, :PADDING] = 0
    return mask


def _chunks(case: Case) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Token ids [B, T] and mask [B, P + T] of each forward."""
    ids, mask, end = _tokens(case), _mask(case), 0
    for n_tokens in case.chunks:
        end += n_tokens
        yield ids[:, end - n_tokens : end], mask[:, :end] if case.padded else None


@torch.inference_mode()
def _unsplit(model: PreTrainedModel, case: Case) -> Tensor:
    """The truth: the model's own forward with a cache of its own. [B, all tokens, V]"""
    arguments = frozenset(inspect.signature(type(model).forward).parameters)
    name = next((a for a in ("past_key_values", "cache_params", "state") if a in arguments), None)
    if case.cached and name is None:
        raise ValueError("the model has no cache")
    makes_its_own = name != "past_key_values" or model.config.model_type == "minimax"
    past = DynamicCache(config=model.config) if case.cached and not makes_its_own else None
    logits, seen = [], 0
    for ids, mask in _chunks(case):
        call: dict[str, Any] = {"input_ids": ids, "use_cache": case.cached}
        if "position_ids" in arguments:
            call["position_ids"] = _positions(ids, mask, seen)
        if mask is not None and "attention_mask" in arguments:
            call["attention_mask"] = mask
        if past is not None and name is not None:
            call[name] = past
        output = model(**call)
        past = (past or getattr(output, str(name))) if case.cached else None
        seen += ids.shape[1]
        logits.append(output.logits)
        if output.logits.shape[:2] != ids.shape:
            raise ValueError(f"logits {tuple(output.logits.shape)} for tokens {tuple(ids.shape)}")
    return torch.cat(logits, dim=1)


def _positions(ids: Tensor, mask: Tensor | None, seen: int) -> Tensor:
    if mask is None:
        return torch.arange(seen, seen + ids.shape[1]).unsqueeze(0)
    return (mask.cumsum(-1) - 1).masked_fill(mask == 0, 0)[:, -ids.shape[1] :]


def _split(stages: Sequence[StageModel], case: Case) -> Tensor:
    caches = [stage.new_cache(case.batch) if case.cached else None for stage in stages]
    return torch.cat([_through(stages, caches, ids, mask) for ids, mask in _chunks(case)], dim=1)


def _through(stages: Sequence[StageModel], caches: Sequence[Any], ids: Tensor, mask: Tensor | None) -> Tensor:
    passed: Any = ids
    for stage, cache in zip(stages, caches, strict=True):
        passed = stage.forward(
            passed, attention_mask=mask, cache=cache, token_ids=ids if stage.needs_token_ids else None
        )
    return passed  # type: ignore[no-any-return]


def _rewound(stages: Sequence[StageModel], model: PreTrainedModel) -> float:
    """Take back the last two forwards, give their tokens again as one."""
    last = sum(CHUNKS[-2:])
    caches = [stage.new_cache() for stage in stages]
    for ids, mask in _chunks(CACHED):
        _through(stages, caches, ids, mask)
    for cache in caches:
        cache.rewind(last)
    again = replace(CACHED, chunks=(*CHUNKS[:-2], last))
    try:
        truth = _unsplit(copy.deepcopy(model), again)
    except Exception:  # noqa: BLE001 (any architecture may fail in its own way)
        return 0.0
    *_, (ids, mask) = _chunks(again)
    return _difference(_through(stages, caches, ids, mask), truth[:, -last:])


def _difference(ours: Tensor, truth: Tensor) -> float:
    """0 for equal bit for bit; infinite for NaN or another shape."""
    if ours.shape != truth.shape:
        return float("inf")
    if torch.equal(ours, truth):
        return 0.0
    difference = float((ours.float() - truth.float()).abs().nan_to_num(float("inf")).max())
    return difference or float("inf")


def _try_unsplit(model: PreTrainedModel, case: Case) -> Tensor | None:
    try:
        truth = _unsplit(copy.deepcopy(model), case)
    except Exception:  # noqa: BLE001 (any architecture may fail in its own way)
        return None
    return truth if bool(truth.isfinite().all()) else None


def _attempt(call: Callable[[], Any]) -> str:
    try:
        call()
    except Exception as error:  # noqa: BLE001 (any architecture may fail in its own way)
        return _short(error)
    return "its logits are not finite"


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:300]


# -- processes ------------------------------------------------------------------------------------------


def _worker(model_type: str, sender: Any, memory_bytes: int) -> None:
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    try:
        verdict = examine(model_type)
    except BaseException as error:  # noqa: BLE001 (any architecture may fail in its own way)
        verdict = Verdict(model_type, DIFFERS, f"it raised {_short(error)}", largest_difference=float("inf"))
    sender.send(verdict)


def run_alone(model_type: str, timeout_s: float, memory_bytes: int) -> Verdict:
    """Examine in a process of its own, ended after ``timeout_s``."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_worker, args=(model_type, sender, memory_bytes))
    process.start()
    sender.close()
    try:
        if receiver.poll(timeout_s):
            verdict: Verdict = receiver.recv()
            return verdict
        return Verdict(model_type, NOT_BUILT, f"not done after {timeout_s:.0f} s")
    except EOFError:
        return Verdict(model_type, NOT_BUILT, "its process died, perhaps of too much memory")
    finally:
        process.kill()
        process.join()


# -- the report -----------------------------------------------------------------------------------------


def figures(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """The benchmark's numbers; a refusal at every split point counts as not run."""
    run = [v for v in verdicts if v.outcome in (EXACT, DIFFERS)]
    return {
        "architectures_total": len(verdicts),
        "architectures_run": len(run),
        "architectures_exact": sum(v.outcome == EXACT for v in run),
        "architectures_refused": sum(v.outcome == REFUSED for v in verdicts),
        "architectures_not_built": sum(v.outcome == NOT_BUILT for v in verdicts),
        "splits_compared": sum(v.n_splits for v in verdicts),
    }


def _line(verdict: Verdict) -> str:
    text = verdict.outcome
    if verdict.outcome == DIFFERS:
        text += f" by {verdict.largest_difference:.3g}"
    if verdict.outcome in (EXACT, DIFFERS):
        text += f" ({verdict.n_splits} splits: {', '.join(verdict.cases)})"
    return f"{verdict.model_type:28} {text}" + (f" [{verdict.reason}]" if verdict.reason else "")


def _report(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    return {
        "benchmark": "conformance",
        "host": {
            "machine": platform.machine(),
            "system": platform.platform(),
            "processor": platform.processor(),
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "figures": figures(verdicts),
        "cases": [asdict(verdict) for verdict in verdicts],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, write; 1 where an architecture differs or too few run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", type=Path, help="write the report here")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these model types only")
    parser.add_argument("--jobs", type=int, default=1, help="how many at once")
    parser.add_argument("--timeout", type=float, default=180, help="seconds per architecture")
    parser.add_argument("--memory", type=float, default=6, help="GiB per architecture")
    options = parser.parse_args(arguments)
    transformers.logging.set_verbosity_error()
    began, names = time.monotonic(), options.only or list(architectures())
    verdicts = []
    with ThreadPoolExecutor(options.jobs) as pool:
        memory = int(options.memory * 2**30)
        for verdict in pool.map(lambda name: run_alone(name, options.timeout, memory), names):
            verdicts.append(verdict)
            print(_line(verdict), flush=True)
    print(f"\n{time.monotonic() - began:.0f} s")
    numbers = figures(verdicts)
    for name, value in numbers.items():
        print(f"{name:28} {value:6}" + (f"  target {TARGETS[name]}" if name in TARGETS else ""))
    if options.json:
        options.json.write_text(json.dumps(_report(verdicts), indent=1) + "\n", encoding="utf-8")
    differing = any(v.outcome == DIFFERS for v in verdicts)
    return int(
        differing or (not options.only and numbers["architectures_run"] < TARGETS["architectures_run"])
    )


if __name__ == "__main__":
    sys.exit(main())
