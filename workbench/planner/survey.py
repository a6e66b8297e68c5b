"""Who wins where: the best split against not splitting, as one parameter moves or two do.

A ``Sweep`` follows one parameter, a ``BreakEvenMap`` two; both hold numbers only, for plots and tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from workbench.cost import Floats
from workbench.errors import InputError
from workbench.planner.aims import AIMS, TIE, Aim
from workbench.planner.landscape import Landscape, Plans
from workbench.planner.limits import bounds_of, excess_of
from workbench.planner.parameters import Parameter, parameter
from workbench.planner.problem import Problem
from workbench.planner.routes import SPLIT
from workbench.planner.score import Score

__all__ = ["BreakEvenMap", "Cell", "Sweep", "break_even", "sweep"]

OnCell = Callable[[int, int], None]
"""Is told how many cells are done, of how many."""


@dataclass(frozen=True)
class Cell:
    """The best of each kind under one set of conditions: split, and unsplit by place."""

    values: dict[str, float]  # by kind, of the aim; a kind that keeps no limit is missing
    cuts: dict[str, tuple[int, ...]]  # by kind, where it is cut
    titles: dict[str, str]  # by kind, bits and codec in words

    def winner(self, aim: Aim) -> str:
        """The best kind; not splitting where a split is no more than 2 % better. "" where nothing may be."""
        if not self.values:
            return ""
        best = min(self.values, key=lambda kind: aim.sign * self.values[kind])
        others = [value for kind, value in self.values.items() if kind != SPLIT]
        if best == SPLIT and others:
            other = min(others, key=lambda value: aim.sign * value)
            ratio = self.values[SPLIT] / other if aim.maximised else other / self.values[SPLIT]
            if ratio < TIE:
                return next(kind for kind, value in self.values.items() if value == other and kind != SPLIT)
        return best


@dataclass(frozen=True)
class Sweep:
    """The best plans as one parameter moves: V values."""

    problem: Problem
    aim: Aim
    parameter: Parameter
    values: tuple[float, ...]
    cells: tuple[Cell, ...]

    def series(self, kind: str) -> Floats:
        """The aim of one kind of plan, [V]; not a number where none may be."""
        return np.array([cell.values.get(kind, np.nan) for cell in self.cells])

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Kinds that may be somewhere: splits first."""
        found = dict.fromkeys(kind for cell in self.cells for kind in cell.values)
        return tuple(sorted(found, key=lambda kind: kind != SPLIT))

    @cached_property
    def winners(self) -> tuple[str, ...]:
        """Who wins at each value."""
        return tuple(cell.winner(self.aim) for cell in self.cells)

    @cached_property
    def split_points(self) -> tuple[tuple[int, ...] | None, ...]:
        """Where the best split cuts, at each value."""
        return tuple(cell.cuts.get(SPLIT) for cell in self.cells)

    def turning_points(self) -> list[tuple[float, float, str, str]]:
        """Neighbouring values between which another kind of plan begins to win."""
        rows = list(zip(self.values, self.winners, strict=True))
        return [(a, b, won, wins) for (a, won), (b, wins) in pairwise(rows) if won != wins]


@dataclass(frozen=True)
class BreakEvenMap:
    """Who wins over two parameters: cells[i][j] at y[i] and x[j]."""

    problem: Problem
    aim: Aim
    x_parameter: Parameter
    y_parameter: Parameter
    x: tuple[float, ...]
    y: tuple[float, ...]
    cells: tuple[tuple[Cell, ...], ...]

    @cached_property
    def winners(self) -> NDArray[np.str_]:
        """[Y, X], "" where no plan keeps the limits."""
        return np.array([[cell.winner(self.aim) for cell in row] for row in self.cells])

    @cached_property
    def advantage(self) -> Floats:
        """[Y, X]: how much better the best split is than not splitting, as a ratio; 1 is break-even.

        Infinite where only splits may be, 0 where none may, not a number where nothing may.
        """
        return np.array([[_advantage(cell, self.aim) for cell in row] for row in self.cells])

    def share(self, kind: str) -> float:
        """Share of the map that a kind of plan wins."""
        return float((self.winners == kind).mean())


def sweep(problem: Problem, name: str, values: Sequence[float], *, on_cell: OnCell | None = None) -> Sweep:
    """How the best plans move with one parameter.

    Args:
        name: one of ``PARAMETERS``.
        values: in its unit.

    Raises:
        InputError: no value, or one that cannot be.
        UnknownNameError: no parameter is called so.
    """
    knob, values = parameter(name), _checked(values)
    surveyor = _Surveyor(problem)
    cells = []
    for i, value in enumerate(values):
        cells.append(surveyor.cell(knob.set(problem, value), same_computing=knob.is_of_links))
        if on_cell is not None:
            on_cell(i + 1, len(values))
    return Sweep(problem, surveyor.aim, knob, values, tuple(cells))


def break_even(
    problem: Problem,
    x: str,
    x_values: Sequence[float],
    y: str,
    y_values: Sequence[float],
    *,
    on_cell: OnCell | None = None,
) -> BreakEvenMap:
    """Where splitting begins to pay, over two parameters.

    Args:
        x, y: of ``PARAMETERS``, e.g. ``"bandwidth"`` and ``"rtt"``.

    Raises:
        InputError: a parameter given twice, no value, or one that cannot be.
        UnknownNameError: no parameter is called so.
    """
    if x == y:
        raise InputError(f"a map needs two parameters: {x!r} is given twice")
    across, up = parameter(x), parameter(y)
    x_values, y_values = _checked(x_values), _checked(y_values)
    rows = list(_rows(problem, across, x_values, up, y_values, on_cell))
    return BreakEvenMap(problem, AIMS[problem.main_aim], across, up, x_values, y_values, tuple(rows))


def _rows(
    problem: Problem,
    across: Parameter,
    x_values: Sequence[float],
    up: Parameter,
    y_values: Sequence[float],
    on_cell: OnCell | None,
) -> Iterator[tuple[Cell, ...]]:
    """Computing is shared along a row, or over all where both parameters are the link's."""
    surveyor, done, n = _Surveyor(problem), 0, len(x_values) * len(y_values)
    for y_value in y_values:
        there = up.set(problem, y_value)
        if not up.is_of_links:
            surveyor = _Surveyor(there)
        row = []
        for x_value in x_values:
            row.append(surveyor.cell(across.set(there, x_value), same_computing=across.is_of_links))
            done += 1
            if on_cell is not None:
                on_cell(done, n)
        yield tuple(row)


class _Surveyor:
    """Looks at all plans of problems that differ in little."""

    def __init__(self, problem: Problem) -> None:
        self.aim = AIMS[problem.main_aim]
        self._landscape = Landscape(problem)

    def cell(self, problem: Problem, *, same_computing: bool) -> Cell:
        landscape = self._landscape.over(problem) if same_computing else Landscape(problem)
        best: dict[str, tuple[float, Plans, int]] = {}
        batches = list(landscape.plans())
        score = Score(problem, [plans for plans in batches if len(plans.route.places) == 1])
        for plans in batches:
            kind, excess = plans.route.kind, excess_of(bounds_of(problem, plans))
            scores = np.where(excess <= 0, score.of(plans.numbers), np.inf)
            index = int(np.argmin(scores))
            if scores[index] < best.get(kind, (np.inf,))[0]:
                best[kind] = (float(scores[index]), plans, index)
        return self._told(best)

    def _told(self, best: dict[str, tuple[float, Plans, int]]) -> Cell:
        return Cell(
            values={kind: float(plans.numbers[self.aim.name][i]) for kind, (_, plans, i) in best.items()},
            cuts={kind: tuple(plans.cuts[i, 1:-1].tolist()) for kind, (_, plans, i) in best.items()},
            titles={kind: str(plans.plan("", i)).removeprefix(": ") for kind, (_, plans, i) in best.items()},
        )


def _advantage(cell: Cell, aim: Aim) -> float:
    unsplit = [value for kind, value in cell.values.items() if kind != SPLIT]
    if SPLIT not in cell.values:
        return 0.0 if unsplit else float("nan")
    if not unsplit:
        return float("inf")
    other, own = min(unsplit, key=lambda value: aim.sign * value), cell.values[SPLIT]
    return own / other if aim.maximised else other / own


def _checked(values: Sequence[float]) -> tuple[float, ...]:
    found = tuple(float(value) for value in values)
    if not found or not all(np.isfinite(found)) or min(found) < 0:
        raise InputError(f"a parameter needs values that are finite and not negative: got {list(found)[:8]}")
    return found
