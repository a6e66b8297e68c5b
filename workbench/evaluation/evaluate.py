"""The accuracy of a plan, found by running it, and kept by content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache as memoized
from pathlib import Path
from threading import Event, RLock
from typing import TYPE_CHECKING

from workbench.cache import content_key, read_cached, write_cached
from workbench.errors import CancelledRunError, PlanError
from workbench.evaluation.pipeline import StageShelf, run_stages
from workbench.evaluation.rows import Batch, batches, rows_of
from workbench.evaluation.score import Score, score
from workbench.evaluation.suite import Suite, suite_named
from workbench.models.adapters import load_adapter
from workbench.plan import DEFAULT_FEATURE, EDGE, Partition, Placement, Plan
from workbench.records import Accuracy

if TYPE_CHECKING:
    from workbench.models import Model
    from workbench.models.slice import StageModel

__all__ = ["evaluate", "shelf_of_stages"]

_ROOM = "evaluation"
_MAX_LOGITS = 1 << 25  # elements at once: 128 MB in float32
_MAX_TOKENS = 4096
_shelf = StageShelf()
_one_at_a_time = RLock()


def evaluate(
    model: Model,
    plan: Plan,
    *,
    suite: str | Suite = "quick",
    cache: bool = True,
    stop: Event | None = None,
    feature: str = DEFAULT_FEATURE,
    device: str = "cpu",
) -> Accuracy:
    """Run a plan's stages and codec over a suite, in this process.

    Which device the plan puts a stage on, and what link is between them, changes no number: results are
    kept in the cache folder under the weights, the stages' blocks and bits, the codec and the
    suite.

    Args:
        suite: ``"quick"``, ``"full"`` or one of your own.
        cache: False neither reads nor keeps results.
        stop: set from another thread to end between two batches.
        device: what to compute on; results are taken to be the same on all.

    Raises:
        CancelledRunError: ``stop`` was set.
        CheckpointError: the weights are missing, incomplete or damaged.
        PlanError: the plan is for a model of another number of blocks.
        TokenizerError: the model has no tokenizer, or another model's.
        UnsupportedArchitectureError: the model cannot be split there truthfully.
    """
    chosen = suite_named(suite) if isinstance(suite, str) else suite
    placement = plan.placement(feature)
    if placement.partition.n_blocks != model.n_blocks:
        needed = f"{placement.partition.n_blocks} blocks, {model.name!r} has {model.n_blocks}"
        raise PlanError(f"the plan is for a model of {needed}: make it for this model")
    key = _key(model, placement, chosen)
    with _one_at_a_time:
        if cache and (kept := read_cached(_ROOM, key)) is not None:
            return Accuracy.from_dict(kept["accuracy"])
        reference = _reference(model, chosen, cache, stop, device)
        found = _run(model, placement, chosen, stop, device)
        accuracy = _accuracy(found, reference, chosen)
        if cache:
            write_cached(_ROOM, key, {"accuracy": accuracy.to_dict(), "plan": str(plan)})
        return accuracy


def _key(model: Model, placement: Placement, suite: Suite) -> str:
    """Of all that accuracy depends on; places are left out on purpose."""
    own = placement.partition.stages
    stages = [[s.start, s.stop, s.embedding, s.head, s.bits, *s.block_bits] for s in own]
    wire = placement.wire if placement.partition.split_points else None
    adapter = None if placement.adapter is None else load_adapter(placement.adapter, model).fingerprint
    return content_key([_method(), model.fingerprint, stages, wire, suite.key, adapter])


@memoized
def _method() -> str:
    """The hash of the code that loads, packs, codes and scores: other code, other results."""
    package = Path(__file__).parents[1]
    rooms = (package / room for room in ("quantization", "models", "evaluation"))
    files = sorted(file for room in rooms for file in room.glob("*.py"))
    return content_key([f.read_text(encoding="utf-8") for f in files])


def _reference(model: Model, suite: Suite, cache: bool, stop: Event | None, device: str) -> list[int]:
    """Greedy next tokens of the unsplit model in float32."""
    whole = Placement(Partition.unsplit(model.n_blocks, EDGE, bits=32))
    key = content_key(["greedy", _key(model, whole, suite)])
    if cache and (kept := read_cached(_ROOM, key)) is not None:
        return list(kept)
    greedy = _run(model, whole, suite, stop, device).greedy
    if cache:
        write_cached(_ROOM, key, greedy)
    return greedy


def _run(model: Model, placement: Placement, suite: Suite, stop: Event | None, device: str) -> Score:
    rows = rows_of(suite, model.tokenizer, model.profile.max_positions)
    at_once = max(256, min(_MAX_TOKENS, _MAX_LOGITS // model.profile.vocab))
    with shelf_of_stages(model, placement, device) as stages:
        return score(
            lambda ids: run_stages(stages, placement.wire, ids), _stoppable(batches(rows, at_once), stop)
        )


@contextmanager
def shelf_of_stages(model: Model, placement: Placement, device: str) -> Iterator[list[StageModel]]:
    """A placement's stages, loaded once for all that measures in this process; nobody else runs them."""
    with _one_at_a_time:
        yield _shelf.stages(model, placement, device)


def _stoppable(found: Iterator[Batch], stop: Event | None) -> Iterator[Batch]:
    for batch in found:
        if stop is not None and stop.is_set():
            raise CancelledRunError("the evaluation was stopped: nothing of it was kept")
        yield batch


def _accuracy(found: Score, reference: list[int], suite: Suite) -> Accuracy:
    return Accuracy(
        bits_per_byte=found.bits / suite.n_bytes,
        exact_match=found.exact_match,
        agreement=found.agreement(reference),
        suite=suite.name,
        n_bytes=suite.n_bytes,
    )
