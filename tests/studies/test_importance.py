"""Importance: shares that add up to one, or nothing where there is nothing to tell."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial

from workbench.records import objective
from workbench.studies.importance import importance_of

GOALS = (objective("latency"), objective("accuracy"))
SPLIT, WIRE = IntDistribution(-1, 9), CategoricalDistribution(("fp16", "int8"))
NUMBERS = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, math.inf])


def trial(split: int, wire: str, *values: float) -> FrozenTrial:
    """Unsplit at both ends, where there is no wire."""
    crosses = 0 <= split <= 8
    params = {"split": split, **({"wire": wire} if crosses else {})}
    distributions = {"split": SPLIT, **({"wire": WIRE} if crosses else {})}
    return optuna.trial.create_trial(values=list(values), params=params, distributions=distributions)


trials = st.lists(
    st.builds(trial, st.integers(-1, 9), st.sampled_from(("fp16", "int8")), NUMBERS, NUMBERS), max_size=40
)


@given(trials)
def test_shares_add_up_to_one_or_there_are_none(found: list[FrozenTrial]) -> None:
    shares = importance_of(found, GOALS)
    assert list(shares) == ["latency", "accuracy"]
    for of_goal in shares.values():
        assert not of_goal or sum(of_goal.values()) == pytest.approx(1)
        assert list(of_goal.values()) == sorted(of_goal.values(), reverse=True)


def test_what_decides_an_objective_is_the_most_important() -> None:
    plans = [(split, wire) for split in range(9) for wire in ("fp16", "int8")]
    found = [trial(split, wire, float(split), float(wire == "int8")) for split, wire in plans]
    shares = importance_of(found, GOALS)
    assert shares["latency"]["split"] > 0.9
    assert shares["accuracy"]["wire"] > 0.5


@pytest.mark.parametrize("values", [[1.0] * 30, [float(i) for i in range(9)], [5.0] * 29 + [1.0], []])
def test_too_little_to_tell_is_nothing(values: list[float]) -> None:
    found = [trial(i % 9, "fp16", value) for i, value in enumerate(values)]
    assert importance_of(found, GOALS[:1]) == {"latency": {}}


def test_a_study_knows_its_importance_from_the_first_trial_on(make_study: Any) -> None:
    study = make_study()
    assert study.importance() == {"latency": {}, "memory": {}}
    for _ in range(20):
        study.optimize(1)
        study.importance()
    assert {"split", "edge_bits", "cloud_bits", "wire"} >= set(study.importance()["latency"]) > set()
