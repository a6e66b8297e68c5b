"""Plans whose every block has a width of its own, as columns of numbers.

N plans, L places of a route, n blocks, B widths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from workbench.cost import BlockColumns, Floats
from workbench.plan import Plan
from workbench.planner.depth.families import Family
from workbench.planner.landscape import Landscape, Pass, Plans, StageRuns
from workbench.planner.routes import Route, partition_along

__all__ = ["MixedPlans", "Widths", "mixed_plans"]

_Ints = NDArray[np.int64]
_Column = TypeVar("_Column", Floats, NDArray[np.int64])
_BLOCK_BY_BLOCK = ("prefill_s", "decode_s", "held_bytes")
Widths = NDArray[np.uint8]


@dataclass(frozen=True)
class MixedPlans(Plans):
    """Plans along one route; ``bits`` are the widest of each place."""

    widths: Widths = field(default_factory=lambda: np.zeros((0, 0), dtype=np.uint8))  # [N, n]
    blur: Mapping[str, float] = field(default_factory=dict)  # by goal, how far off the true front they may be

    def plan(self, model: str, index: int) -> Plan:
        """One of them."""
        cuts, widths = self.cuts[index].tolist(), self.widths[index].tolist()
        bits: dict[str, int | Sequence[int]] = {}
        for i, place in enumerate(self.route.places):
            has_blocks = cuts[i + 1] > cuts[i]
            bits[place] = widths if has_blocks else int(self.bits[place][index])
        return Plan.of(model, partition_along(self.route, cuts, bits), self.wires[int(self.wire[index])])

    def taken(self, index: _Ints) -> MixedPlans:
        """Some of them."""
        return replace(
            self,
            cuts=self.cuts[index],
            bits=_rows(self.bits, index),
            wire=self.wire[index],
            numbers=_rows(self.numbers, index),
            memory_bytes=_rows(self.memory_bytes, index),
            busy_s=_rows(self.busy_s, index),
            widths=self.widths[index],
        )


def mixed_plans(
    landscape: Landscape,
    families: Sequence[Family],
    cuts: _Ints,
    widths: Widths,
    wires: Sequence[str],
    wire: _Ints,
    pause: int | None = None,
) -> MixedPlans:
    """Plans along the places of some families, each of another place.

    Args:
        landscape: of the families' devices.
        cuts: [N, L + 1].
        widths: [N, n], each block's one of its place's family.
        wire: [N], which of ``wires``.
        pause: which of ``Crossings.pauses`` all messages are taken to follow; each plan's own by default.
    """
    computing = _Computing(landscape, families, cuts, widths, wire)
    pass_ = _Pass(landscape, computing, tuple(wires), pause)
    memory, user = computing.memory_bytes, landscape.problem.user
    nothing = np.zeros(len(cuts))
    return MixedPlans(
        route=computing.route,
        cuts=cuts,
        bits={family.place: widest for family, widest in zip(families, computing.widest, strict=True)},
        wires=tuple(wires),
        wire=wire,
        numbers={**pass_.numbers(), "memory": memory.get(user, nothing)},
        memory_bytes=memory,
        busy_s=pass_.busy_s,
        exit_head_bytes=computing.exit_head_bytes(user),
        widths=widths,
    )


def _rows(columns: Mapping[str, _Column], index: _Ints) -> dict[str, _Column]:
    return {name: column[index] for name, column in columns.items()}


class _Pass(Pass):
    """A request whose messages follow pauses of one length, where one is given."""

    def __init__(
        self, landscape: Landscape, computing: _Computing, wires: tuple[str, ...], pause: int | None
    ) -> None:
        self._pause = pause
        super().__init__(landscape, computing, wires)

    def _settle(self) -> None:
        if self._pause is None:
            super()._settle()
        else:
            self.decode_s = self.decode_s[self._pause]


@dataclass(frozen=True)
class _Computing:
    """What the places of a route compute and hold; in each plan every block has its own width."""

    landscape: Landscape
    families: Sequence[Family]
    cuts: _Ints
    widths: Widths
    wire: _Ints

    @cached_property
    def route(self) -> Route:
        return Route(tuple(family.place for family in self.families))

    @cached_property
    def stages(self) -> list[StageRuns]:
        return [self._stage(i) for i in range(len(self.families))]

    @cached_property
    def widest(self) -> list[_Ints]:
        """Of each place, [N]; where it has no block, the width that its ends go by."""
        found = []
        for i, family in enumerate(self.families):
            widest = np.where(self._own(i), self.widths, 0).max(axis=1, initial=0).astype(np.int64)
            found.append(np.where(widest > 0, widest, family.ends))
        return found

    @cached_property
    def memory_bytes(self) -> Mapping[str, Floats]:
        return {family.place: self._memory(i) for i, family in enumerate(self.families)}

    @cached_property
    def loss(self) -> Floats | None:
        losses = self.landscape.problem.losses
        if losses is None:
            return None
        total = np.zeros(len(self.cuts))
        for i, family in enumerate(self.families):
            rows = {bits: np.array(losses.block(bits)) for bits in family.widths}
            total = total + self._sums(i, rows)
        return total

    def exit_head_bytes(self, user: str) -> Floats | float:
        for i, family in enumerate(self.families):
            if family.place == user:
                ends = self._ends(i)
                return float(ends.head_bytes - ends.shared_bytes)
        return 0.0

    def _stage(self, i: int) -> StageRuns:
        """What its ends take, and on top of it every block at its own width."""
        nothing = np.zeros(self.widths.shape[1])
        bare = replace(self._ends(i), prefill_s=nothing, decode_s=nothing, held_bytes=nothing)
        runs, columns = StageRuns.of(bare, self.cuts, i, i in (0, len(self.families) - 1)), self._columns(i)
        sums = {
            name: getattr(runs, name) + self._sums(i, {b: getattr(c, name) for b, c in columns.items()})
            for name in _BLOCK_BY_BLOCK
        }
        return replace(
            runs, prefill_s=sums["prefill_s"], decode_s=sums["decode_s"], held_bytes=sums["held_bytes"]
        )

    def _memory(self, i: int) -> Floats:
        first, last = i == 0, i == len(self.families) - 1
        ends, stage = self._ends(i), self.stages[i]
        fixed = ends.embedding_bytes * first + ends.head_bytes * last - ends.shared_bytes * (first and last)
        return stage.held_bytes + stage.alive_bytes + float(fixed)

    def _ends(self, i: int) -> BlockColumns:
        return self.landscape.columns(self.families[i].place, self.families[i].ends)

    def _columns(self, i: int) -> dict[int, BlockColumns]:
        family = self.families[i]
        return {bits: self.landscape.columns(family.place, bits) for bits in family.widths}

    def _own(self, i: int) -> NDArray[np.bool_]:
        """Which blocks are the place's, [N, n]."""
        blocks = np.arange(self.widths.shape[1])
        return (blocks >= self.cuts[:, i, None]) & (blocks < self.cuts[:, i + 1, None])

    def _sums(self, i: int, rows: Mapping[int, Floats]) -> Floats:
        """Over the place's blocks, of a column that depends on the width: [N]."""
        total, own = np.zeros(len(self.cuts)), self._own(i)
        for bits, row in rows.items():
            total += ((self.widths == bits) & own) @ row
        return total
