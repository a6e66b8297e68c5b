"""How near to the modelled time a dilated step ends: real torch work that is shorter, then the wait."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch

from workbench.devices import make_pace

MODELLED_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
WORK_SHARE = 0.4  # of the modelled time that is worked; the rest is waited
SPENT_S = 1.0  # for each modelled time, at least
LEAST, MOST = 3, 200  # steps
SIZE = 128


@dataclass(frozen=True)
class Case:
    """Steps of one modelled time."""

    modelled_s: float
    taken_s: float  # median
    error: float  # median of |taken - modelled| / modelled
    worst_error: float
    overruns: int  # steps in which the work alone took longer
    steps: int


def dilation_errors(modelled_s: tuple[float, ...] = MODELLED_S) -> list[Case]:
    """Modelled against taken time of steps that work less than they should take."""
    torch.set_num_threads(1)
    left, right = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)
    torch.mm(left, right)
    return [_case(modelled, left, right) for modelled in modelled_s]


def _case(modelled_s: float, left: torch.Tensor, right: torch.Tensor) -> Case:
    pace = make_pace("dilation")
    steps = min(MOST, max(LEAST, round(SPENT_S / modelled_s)))
    taken = [_step(pace.end_step, modelled_s, left, right) for _ in range(steps)]
    errors = [abs(seconds / modelled_s - 1) for seconds in taken]
    return Case(
        modelled_s, statistics.median(taken), statistics.median(errors), max(errors), pace.overruns, steps
    )


def _step(
    end_step: Callable[[float, float | None], float],
    modelled_s: float,
    left: torch.Tensor,
    right: torch.Tensor,
) -> float:
    """As an observer sees it: from before the work until ``end_step`` is back."""
    started_s = perf_counter()
    while perf_counter() - started_s < WORK_SHARE * modelled_s:
        torch.mm(left, right)
    end_step(started_s, modelled_s)
    return perf_counter() - started_s


def median_error(cases: list[Case]) -> float:
    """Over all modelled times alike."""
    return statistics.median(case.error for case in cases)
