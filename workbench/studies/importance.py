"""How much each choice of a plan matters for each objective, by Optuna's PED-ANOVA.

S. Watanabe, A. Bansal, F. Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
Subspaces", IJCAI 2023 (arXiv:2304.10255): how differently a parameter is distributed among the best trials
and among all. Its form for parameters that only some plans have, such as the wire codec, is arXiv:2601.20800.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial

from workbench.records import Objective
from workbench.studies import store

__all__ = ["importance_of"]

_MIN_TRIALS = 10
_BEST = 0.1  # of the trials count as good, as in the paper …
_MIN_BEST = 5  # … but not fewer than Optuna's documentation advises


def importance_of(trials: Sequence[FrozenTrial], goals: Sequence[Objective]) -> dict[str, dict[str, float]]:
    """Shares by objective, then by parameter, largest first.

    Args:
        trials: complete, each of another plan.
        goals: the objectives in the order of the trials' values.

    Returns:
        Shares that add up to 1; nothing for an objective whose trials are fewer than ten, or whose best
        values are no better than the rest.
    """
    return {goal.name: _shares(trials, position, goal) for position, goal in enumerate(goals)}


def _shares(trials: Sequence[FrozenTrial], position: int, goal: Objective) -> dict[str, float]:
    known = [trial for trial in trials if math.isfinite(trial.values[position])]
    if not _telling([trial.values[position] for trial in known], goal):
        return {}
    evaluator = PedAnovaImportanceEvaluator(target_quantile=_share_of_best(len(known)))
    evaluator._min_n_trials_in_regime = 1  # one trial adds nothing, and with 2, warns of that each time
    found = get_param_importances(_alone(known, position, goal), evaluator=evaluator)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _share_of_best(n_trials: int) -> float:
    return max(_BEST, _MIN_BEST / n_trials)


def _telling(values: Sequence[float], goal: Objective) -> bool:
    """Whether there are enough trials, and some that are not among the best."""
    if len(values) < _MIN_TRIALS:
        return False
    ranked = sorted(values, reverse=goal.direction == "maximize")
    last_of_best = math.ceil(_share_of_best(len(values)) * len(values)) - 1
    return ranked[last_of_best] != ranked[-1]


def _alone(trials: Sequence[FrozenTrial], position: int, goal: Objective) -> optuna.Study:
    """The same trials as a study of one objective."""
    with store.quiet():
        study = optuna.create_study(direction=goal.direction)
    study.add_trials(
        optuna.trial.create_trial(value=t.values[position], params=t.params, distributions=t.distributions)
        for t in trials
    )
    return study
