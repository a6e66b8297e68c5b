"""Optuna's search for weight bits of every block, over the same sums that ``planner.Depth`` is exact for.

What a sampler finds in so many trials can be set beside the true front. Nothing is kept in a file: no trial
needs weights, and each takes a few milliseconds.

n blocks, M aims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import optuna
from optuna.samplers import BaseSampler

from workbench.cost import Floats
from workbench.errors import InputError
from workbench.planner import Problem
from workbench.planner.depth import Family, MixedPlans, families_of, mixed_plans
from workbench.planner.landscape import Landscape
from workbench.planner.limits import bounds_of
from workbench.studies import store
from workbench.studies.sampling import make_sampler

__all__ = ["search_widths"]

_WITHIN = 1e-9  # relative excess that is rounding
_TOGETHER = "32 bits are never mixed with others: leave them out of the choices of bits"


def search_widths(
    problem: Problem, n_trials: int, *, sampler: str | BaseSampler = "nsga2", seed: int = 0
) -> Floats:
    """Try so many plans of two places and one cut, each block with a width of its own.

    Args:
        problem: its front says what is minimised; a plan beyond a limit is infinitely bad.
        sampler: one of ``SAMPLERS``, or a sampler of Optuna.

    Returns:
        What each plan came to, in the order of the trials: [trials, M].

    Raises:
        InputError: the problem has another number of places, no front, or 32 bits among its choices.
    """
    trier = _Trier(problem)
    with store.quiet():
        study = optuna.create_study(
            directions=["minimize"] * len(problem.front), sampler=make_sampler(sampler, seed)
        )
        study.optimize(trier, n_trials=n_trials)
    return np.array([trial.values for trial in study.get_trials(deepcopy=False)])


@dataclass
class _Trier:
    """One plan after the other, each through the planner's own columns."""

    problem: Problem
    _landscapes: dict[tuple[str, ...], Landscape] = field(default_factory=dict)

    def __post_init__(self) -> None:
        places = self.problem.chain.places
        if len(places) != 2 or not self.problem.front:
            raise InputError("widths are searched for two places and a front: name its aims")
        if any(32 in self.problem.choices.bits_of(place) for place in places):
            raise InputError(_TOGETHER)

    def __call__(self, trial: optuna.Trial) -> tuple[float, ...]:
        plans = self._plans(trial)
        if max(float(bound.excess[0]) for bound in bounds_of(self.problem, plans)) > _WITHIN:
            return (float("inf"),) * len(self.problem.front)
        return tuple(float(plans.numbers[name][0]) for name in self.problem.front)

    def _plans(self, trial: optuna.Trial) -> MixedPlans:
        """The one plan of a trial. ``split`` is -1 for cloud-only and n + 1 for edge-only."""
        n, places = self.problem.model.n_blocks, self.problem.chain.places
        split = trial.suggest_int("split", -1, n + 1)
        wires = self.problem.choices.wires
        wire = trial.suggest_categorical("wire", range(len(wires)))
        cuts = [0, min(max(split, 0), n), n] if 0 <= split <= n else [0, n]
        route = places if len(cuts) == 3 else places[1:] if split < 0 else places[:1]
        widths = [self._width(trial, block, route[-1 if block >= cuts[-2] else 0]) for block in range(n)]
        families = tuple(
            self._family(p, set(widths[a:b])) for p, a, b in zip(route, cuts, cuts[1:], strict=False)
        )
        return mixed_plans(
            self._landscape(families),
            families,
            np.array([cuts]),
            np.array([widths], dtype=np.uint8),
            wires,
            np.array([wire]),
        )

    def _width(self, trial: optuna.Trial, block: int, place: str) -> int:
        """The same parameter wherever the block is, so that a sampler can carry over what it learned."""
        choices = [self.problem.choices.bits_of(p) for p in self.problem.chain.places]
        index: int = trial.suggest_categorical(f"block{block}", range(max(map(len, choices))))
        own = self.problem.choices.bits_of(place)
        return own[index % len(own)]

    def _family(self, place: str, widths: set[int]) -> Family:
        found = families_of(self.problem, place)
        return next((f for f in found if widths <= set(f.widths) and f.needed & widths), found[0])

    def _landscape(self, families: Sequence[Family]) -> Landscape:
        key = tuple(f"{family.place}: {family.device.name}" for family in families)
        if key not in self._landscapes:
            devices = {**self.problem.devices, **{family.place: family.device for family in families}}
            self._landscapes[key] = Landscape(self.problem.with_(devices=devices))
        return self._landscapes[key]
