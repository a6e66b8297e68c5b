"""Optuna's search for a module for every feature, over the same figures that ``planner.place`` is exact for.

With cascades, a threshold is searched besides: how sure a module on the edge has to be of its answer. What a
sampler finds in so many trials can be set beside the true front. Nothing is kept in a file: no trial needs
weights, and each takes less than a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import optuna
from optuna.samplers import BaseSampler

from workbench.cost import Floats
from workbench.errors import InputError
from workbench.planner import PLACING_AIMS, Placed, PlacingProblem
from workbench.planner.placing import Cascades, Table, best_first, escalating
from workbench.studies import store
from workbench.studies.sampling import make_sampler

__all__ = ["PlacingSearch", "search_placing"]

_MOST_TRIALS = 2  # trials for each placing asked for
_Key = tuple[tuple[int, ...], tuple[tuple[str, float], ...]]


@dataclass(frozen=True)
class PlacingSearch:
    """What a search found."""

    points: Floats  # [trials, 2] the problem's aim and its rival, to be minimised; infinite beyond a limit
    front: tuple[Placed, ...]  # what no other trial beats, the aim's best first; empty where none keeps all
    n_evaluated: int  # different placings; a trial that repeats one is not evaluated again


def search_placing(
    problem: PlacingProblem,
    n_trials: int,
    *,
    sampler: str | BaseSampler = "nsga2",
    seed: int = 0,
    cascades: Cascades | None = None,
    thresholds: Sequence[float] = (),
    per_feature: bool = False,
) -> PlacingSearch:
    """Try so many ways to give every feature a module, each module for all of them first.

    Args:
        n_trials: different placings to evaluate. A trial that repeats one costs nothing and is not counted,
            up to twice as many trials in all.
        sampler: one of ``SAMPLERS``, or a sampler of Optuna.
        cascades: of pairs that pass on what they are not sure of; the problem then names a default.
        thresholds: to choose from; needed with cascades.
        per_feature: a threshold for each feature, not one for them all.

    Raises:
        InputError: no trial, or cascades without thresholds, or thresholds without cascades.
        UnknownNameError: no sampler is called so.
    """
    if n_trials < 1:
        raise InputError(f"a search needs at least one trial: got {n_trials}")
    if bool(cascades) != bool(len(thresholds)):
        raise InputError("cascades and the thresholds to choose from go together: give both, or neither")
    trier = _Trier(Table.of(problem), cascades or {}, tuple(thresholds), per_feature)
    with store.quiet():
        study = optuna.create_study(directions=["minimize", "minimize"], sampler=make_sampler(sampler, seed))
        for start in trier.starts():
            study.enqueue_trial(start)
        study.optimize(
            trier,
            n_trials=_MOST_TRIALS * n_trials,
            callbacks=[lambda study, _: study.stop() if len(trier.known) >= n_trials else None],
        )
    points = np.array([trial.values for trial in study.get_trials(deepcopy=False)])
    return PlacingSearch(points, trier.front, len(trier.known))


@dataclass
class _Trier:
    """One placing after the other, each looked at once."""

    table: Table
    cascades: Cascades
    thresholds: tuple[float, ...]
    per_feature: bool
    known: dict[_Key, tuple[tuple[float, float], Placed]] = field(default_factory=dict)

    def __call__(self, trial: optuna.Trial) -> tuple[float, float]:
        choice = tuple(self._module(trial, f) for f in range(len(self.table.choices)))
        names = self.table.names(choice)
        passing = {f: self._threshold(trial, f) for f, m in names.items() if (f, m) in self.cascades}
        key = (choice, tuple(passing.items()))
        if key not in self.known:
            self.known[key] = self._evaluated(choice, passing)
        return self.known[key][0]

    def starts(self) -> Iterator[dict[str, int]]:
        """The same module for every feature that may have it."""
        for module in range(self.table.choices.shape[1]):
            features = np.flatnonzero(self.table.choices[:, module]).tolist()
            yield {self._name(feature): module for feature in features}

    def _name(self, feature: int) -> str:
        return f"module of {self.table.problem.features[feature]}"

    def _module(self, trial: optuna.Trial, feature: int) -> int:
        choices = np.flatnonzero(self.table.choices[feature]).tolist()
        return int(trial.suggest_categorical(self._name(feature), choices))

    def _threshold(self, trial: optuna.Trial, feature: str) -> float:
        name = f"threshold of {feature}" if self.per_feature else "threshold"
        return float(trial.suggest_categorical(name, self.thresholds))

    def _evaluated(
        self, choice: tuple[int, ...], passing: Mapping[str, float]
    ) -> tuple[tuple[float, float], Placed]:
        table = escalating(self.table, self.cascades, passing) if passing else self.table
        found = Placed(table.names(choice), table.values(choice), table.broken(choice), passing)
        problem = table.problem
        first, second = (
            float("inf") if found.broken else PLACING_AIMS[aim].sign * found.values[aim]
            for aim in (problem.aim, problem.rival_aim)
        )
        return (first, second), found

    @property
    def front(self) -> tuple[Placed, ...]:
        kept = [row for row in self.known.values() if not row[1].broken]
        points = np.array([point for point, _ in kept]).reshape(-1, 2)
        return tuple(kept[i][1] for i in best_first(points))
