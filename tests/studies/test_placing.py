"""Optuna's search for modules finds what the exact front has, and never anything beyond it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.planner.placings import DEVICES, LINK, MODELS, POOL
from workbench.errors import InputError, UnknownNameError
from workbench.planner import Cascade, Demand, Placed, PlacingLimits, PlacingProblem, hypervolume
from workbench.planner.placing import Table, exact_front, hybrid_front, placed
from workbench.studies import search_placing

FEATURES = ("copy", "sort", "recall", "extract")
MODULES = ("exit", "edge", "split", "cloud")
RNG = np.random.default_rng(3)
QUALITY = {
    (f, m): float(np.clip(q + RNG.normal(0, 0.08), 0, 1))
    for f in FEATURES
    for m, q in zip(MODULES, (0.6, 0.75, 0.8, 0.95), strict=True)
}
PROBLEM = PlacingProblem(
    "small",
    tuple(Demand(f, share, 32, 8) for f, share in zip(FEATURES, (4, 3, 2, 1), strict=True)),
    {m: POOL[m] for m in MODULES},
    MODELS,
    DEVICES,
    LINK,
    QUALITY,
    default="cloud",
)
CASCADES = {
    (f, "exit"): Cascade(p := RNG.uniform(size=200), (RNG.uniform(size=200) < p).astype(float), np.ones(200))
    for f in FEATURES[:3]
}
THRESHOLDS = (0.2, 0.5, 0.8)


def _exact(problem: PlacingProblem) -> list[Placed]:
    table = Table.of(problem)
    return [placed(table, choice) for choice in exact_front(table).choices.tolist()]


def _points(front: list[Placed] | tuple[Placed, ...]) -> list[tuple[float, float]]:
    return [(p.values["latency"], -p.values["quality"]) for p in front]


def _share(found: list[tuple[float, float]], exact: list[tuple[float, float]]) -> float:
    reference = tuple(max(column) + 0.1 * (max(column) - min(column)) for column in zip(*exact, strict=True))
    return hypervolume(found, reference) / hypervolume(exact, reference)


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_a_search_finds_the_exact_front(sampler: str) -> None:
    found = search_placing(PROBLEM, 150, sampler=sampler)
    exact = _points(_exact(PROBLEM))
    assert len(exact) > 5
    assert 0.95 <= _share(_points(found.front), exact) <= 1 + 1e-9
    assert found.n_evaluated <= 150 <= len(found.points) <= 300
    for point in found.points:
        assert (np.array(exact) <= point + 1e-9).all(axis=1).any()


def test_a_search_with_a_threshold_finds_the_exact_front() -> None:
    found = search_placing(PROBLEM, 150, cascades=CASCADES, thresholds=THRESHOLDS)
    exact = _points(hybrid_front(Table.of(PROBLEM), CASCADES, THRESHOLDS))
    assert 0.95 <= _share(_points(found.front), exact) <= 1 + 1e-9
    assert any(placed.thresholds for placed in found.front)
    assert all(len(set(placed.thresholds.values())) <= 1 for placed in found.front)


def test_each_module_is_tried_for_everything_first() -> None:
    table = Table.of(PROBLEM)
    found = search_placing(PROBLEM, len(MODULES))
    for point, module in zip(found.points, range(len(MODULES)), strict=True):
        values = table.values([module] * len(FEATURES))
        assert point == pytest.approx([values["latency"], -values["quality"]])


def test_a_threshold_for_each_feature_is_a_larger_space() -> None:
    found = search_placing(PROBLEM, 150, cascades=CASCADES, thresholds=THRESHOLDS, per_feature=True)
    assert any(len(set(placed.thresholds.values())) > 1 for placed in found.front)


def test_what_was_tried_is_not_evaluated_again() -> None:
    two = PROBLEM.with_(
        demands=PROBLEM.demands[:2],
        quality={pair: q for pair, q in QUALITY.items() if pair[0] in FEATURES[:2]},
    )
    found = search_placing(two, 100, sampler="random")
    assert found.n_evaluated == len(np.unique(found.points, axis=0)) <= 16
    assert len(found.points) == 200


def test_what_breaks_a_limit_counts_for_nothing() -> None:
    limited = PROBLEM.with_(limits=PlacingLimits(edge_share=0.6, edge_memory_bytes=1e7))
    found = search_placing(limited, 100)
    assert np.isinf(found.points).any()
    assert all(placed.values["edge_share"] >= 0.6 - 1e-9 for placed in found.front)
    assert all("edge" not in placed.modules.values() for placed in found.front)
    assert search_placing(PROBLEM, 20).front == search_placing(PROBLEM, 20).front


def test_what_cannot_be_searched_is_said() -> None:
    with pytest.raises(InputError, match="at least one trial"):
        search_placing(PROBLEM, 0)
    with pytest.raises(InputError, match="go together"):
        search_placing(PROBLEM, 1, thresholds=(0.5,))
    with pytest.raises(InputError, match="go together"):
        search_placing(PROBLEM, 1, cascades=CASCADES)
    with pytest.raises(UnknownNameError, match="sampler"):
        search_placing(PROBLEM, 1, sampler="luck")
    with pytest.raises(InputError, match="default"):
        search_placing(
            PROBLEM.with_(default=None), 20, cascades=CASCADES, thresholds=THRESHOLDS, sampler="random"
        )
