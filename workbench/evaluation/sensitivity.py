"""What fewer bits cost a model in accuracy: one block at a time, and one codec at a time, run for real.

Every number is a difference of two evaluations over the same text, both with all else at 16 bits. That
losses of several blocks add up is a model, of first order (Dong et al., "HAWQ-V2", NeurIPS 2020);
``additivity`` says how far it is from the truth.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from workbench.errors import PlanError
from workbench.evaluation.evaluate import evaluate
from workbench.evaluation.suite import Suite, suite_named
from workbench.plan import BITS, EDGE, WIRE_CODECS, Partition, Placement, Plan
from workbench.planner import LossTable

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["Additivity", "OnStep", "additivity", "sensitivity"]

OnStep = Callable[[int, int, str], None]
"""Called after each evaluation: how many are done, of how many, and what the last one was of."""
_FULL = 16


def sensitivity(
    model: Model,
    *,
    bits: Sequence[int] = (8, 4),
    wires: Sequence[str] = ("int8", "int4"),
    suite: str | Suite = "quick",
    on_step: OnStep | None = None,
    cache: bool = True,
    stop: Event | None = None,
    device: str = "cpu",
) -> LossTable:
    """Measure a table of losses: each block alone at each width, and each codec at the middle split point.

    Evaluations are kept one by one, as all are: what was interrupted goes on where it was.

    Args:
        bits: widths below 16.
        suite: ``"quick"``, ``"full"`` or one of your own; only its prose counts.
        on_step: told of each evaluation as it ends, in this thread.
        cache: False neither reads nor keeps evaluations.
        stop: set from another thread to end between two batches.
        device: what to compute on.

    Raises:
        CancelledRunError: ``stop`` was set.
        PlanError: a width or a codec that packs nothing, or that there is not.
        CheckpointError, TokenizerError, UnsupportedArchitectureError: as ``evaluate``.
    """
    _check(bits, wires)
    scored = _prose(suite)
    plans = _plans(model, bits, wires)
    found: dict[str, float] = {}
    for title, plan in plans.items():
        found[title] = evaluate(
            model, plan, suite=scored, cache=cache, stop=stop, device=device
        ).bits_per_byte
        if on_step is not None:
            on_step(len(found), len(plans), title)
    base = found[_BASE]
    return LossTable(
        model=model.name,
        blocks={b: tuple(found[_block(i, b)] - base for i in range(model.n_blocks)) for b in bits},
        wires={wire: found[_wire(wire)] - base for wire in wires},
        base=base,
        suite=scored.name,
        fingerprint=model.fingerprint,
    )


@dataclass(frozen=True)
class Additivity:
    """One plan of mixed widths: its loss as the table adds it up, and as it was measured."""

    plan: Plan
    predicted: float  # bits per byte over the unsplit 16-bit model
    measured: float

    @property
    def error(self) -> float:
        """Bits per byte; above 0 the sum says more than is lost."""
        return self.predicted - self.measured


def additivity(
    model: Model,
    table: LossTable,
    *,
    n: int = 10,
    seed: int = 0,
    suite: str | Suite = "quick",
    on_step: OnStep | None = None,
    cache: bool = True,
    stop: Event | None = None,
    device: str = "cpu",
) -> tuple[Additivity, ...]:
    """Run plans of random widths, each block's drawn by itself, and set them beside what the table says.

    Args:
        n: plans; every other one is split, at a random point with a random codec.
        suite: the table's own.

    Raises:
        CancelledRunError: ``stop`` was set.
        CheckpointError, TokenizerError, UnsupportedArchitectureError: as ``evaluate``.
    """
    scored, draw, found = _prose(suite), random.Random(seed), list[Additivity]()
    for i in range(n):
        placement = _drawn(draw, table, split=i % 2 == 1)
        plan = Plan(model.name, {"default": placement})
        accuracy = evaluate(model, plan, suite=scored, cache=cache, stop=stop, device=device)
        found.append(Additivity(plan, table.of(placement), accuracy.bits_per_byte - table.base))
        if on_step is not None:
            on_step(i + 1, n, str(placement.partition))
    return tuple(found)


_BASE = "16 bits"


def _block(block: int, bits: int) -> str:
    return f"block {block} at {bits} bits"


def _wire(codec: str) -> str:
    return f"wire {codec}"


def _plans(model: Model, bits: Sequence[int], wires: Sequence[str]) -> dict[str, Plan]:
    """Everything at 16 bits, then but for one block, then but for what crosses in the middle."""
    n = model.n_blocks
    whole = {_BASE: [_FULL] * n}
    whole |= {_block(i, b): [_FULL] * i + [b] + [_FULL] * (n - i - 1) for b in bits for i in range(n)}
    found = {
        title: Plan.of(model.name, Partition.unsplit(n, EDGE, widths)) for title, widths in whole.items()
    }
    return found | {_wire(codec): Plan.of(model.name, Partition.split(n, n // 2), codec) for codec in wires}


def _drawn(draw: random.Random, table: LossTable, *, split: bool) -> Placement:
    n, widths = table.n_blocks, (_FULL, *table.blocks)
    bits = [draw.choice(widths) for _ in range(n)]
    if not split:
        return Placement(Partition.unsplit(n, EDGE, bits))
    at = draw.randint(1, n - 1)
    wire = draw.choice(["fp16", *table.wires])
    return Placement(Partition.split(n, at, bits[:at], bits[at:]), wire)


def _prose(suite: str | Suite) -> Suite:
    """The suite without its tasks: a loss is one of prose, and tasks take most of the time."""
    chosen = suite_named(suite) if isinstance(suite, str) else suite
    return Suite(chosen.name, chosen.texts, ())


def _check(bits: Sequence[int], wires: Sequence[str]) -> None:
    packed = [b for b in BITS if b < _FULL]
    if not bits or any(b not in packed for b in bits):
        raise PlanError(f"sensitivity is of widths below 16: give some of {packed}, not {list(bits)}")
    if strange := [wire for wire in wires if wire not in WIRE_CODECS]:
        raise PlanError(f"{strange} are no wire codecs: give some of {WIRE_CODECS}")
