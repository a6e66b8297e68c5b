"""Optuna's search over widths of blocks finds plans that are there, and none beyond the exact front."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cost.models import llama
from tests.planner.problems import EDGE_CLOUD
from workbench import profiles
from workbench.errors import InputError
from workbench.planner import Choices, Depth, Limits, LossTable, Problem
from workbench.studies.widths import search_widths

LOSSES = LossTable(
    "four", {8: (1e-3, 0.0, -1e-4, 2e-3), 4: (0.03, 0.01, 0.02, 0.05)}, {"int8": 1e-3, "int4": 0.02}
)
FOUR = llama("four", 4, 512, 1408, 8, 4, 8000, tied=True)
PROBLEM = Problem(FOUR, EDGE_CLOUD, (profiles.link("lte"),), losses=LOSSES, front=("total", "loss"))


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random"])
def test_no_trial_is_better_than_the_exact_front(sampler: str) -> None:
    points = search_widths(PROBLEM, 60, sampler=sampler)
    exact = [np.stack([p.numbers[name] for name in PROBLEM.front], 1) for p in Depth().fronts(PROBLEM)]
    front = np.concatenate(exact)
    assert points.shape == (60, 2)
    for point in points:
        assert (front <= point + 1e-12).all(axis=1).any()


def test_plans_beyond_a_limit_count_for_nothing() -> None:
    points = search_widths(PROBLEM.with_(limits=Limits(loss=0.01)), 60)
    assert np.isinf(points).any()
    assert points[np.isfinite(points[:, 0])][:, 1].max() <= 0.01 * (1 + 1e-9)


def test_what_cannot_be_searched_is_said() -> None:
    with pytest.raises(InputError, match="front"):
        search_widths(PROBLEM.with_(front=()), 1)
    with pytest.raises(InputError, match="32"):
        search_widths(PROBLEM.with_(choices=Choices(bits={"edge": (32, 16)})), 1)
