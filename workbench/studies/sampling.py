"""How a study chooses: Optuna's samplers by name, and a choice drawn from a trial."""

from __future__ import annotations

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from workbench.errors import UnknownNameError
from workbench.studies.space import Choice, Space

__all__ = ["SAMPLERS", "make_sampler", "suggest"]

SAMPLERS = ("tpe", "nsga2", "random", "grid")
"""Tree-structured Parzen estimator, NSGA-II, uniform, and every plan in order."""


def make_sampler(sampler: str | BaseSampler, seed: int | None) -> BaseSampler:
    """A sampler by name; one of Optuna's own is taken as it is.

    Raises:
        UnknownNameError: no sampler is called so.
    """
    if isinstance(sampler, BaseSampler):
        return sampler
    if sampler not in SAMPLERS:
        raise UnknownNameError("sampler", sampler, SAMPLERS)
    if sampler == "tpe":
        return TPESampler(seed=seed)
    return NSGAIISampler(population_size=20, seed=seed) if sampler == "nsga2" else RandomSampler(seed=seed)


def suggest(trial: optuna.Trial, space: Space, n_blocks: int) -> Choice:
    """Draw a choice: the split first, then only what still matters behind it."""
    choice: dict[str, int | str] = {"split": _split(trial, space, n_blocks)}
    split = int(choice["split"])
    if 0 <= split < n_blocks and space.u_shaped:
        choice["shape"] = trial.suggest_categorical("shape", ("split", "U"))
        if choice["shape"] == "U":
            choice["back"] = trial.suggest_int("back", 1, n_blocks)
    if split >= 0:
        choice["edge_bits"] = trial.suggest_categorical("edge_bits", space.edge_bits)
    if split <= n_blocks:
        choice["cloud_bits"] = trial.suggest_categorical("cloud_bits", space.cloud_bits)
    if 0 <= split <= n_blocks:
        choice["wire"] = trial.suggest_categorical("wire", space.wires)
    return choice


def _split(trial: optuna.Trial, space: Space, n_blocks: int) -> int:
    values = space.split_values(n_blocks)
    if values == tuple(range(values[0], values[-1] + 1)):
        return trial.suggest_int("split", values[0], values[-1])
    return trial.suggest_categorical("split", values)
