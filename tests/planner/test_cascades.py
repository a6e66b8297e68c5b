"""Cascades as counting has them, and fronts over thresholds as trying every placing has them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.planner.placings import TASKS, covers, small_problem
from workbench.errors import InputError, UnknownNameError
from workbench.plan import EDGE, Bound
from workbench.planner import Cascade, PlacingLimits, mean_curve
from workbench.planner.placing import Table, escalating, exact_front, hybrid_front

_SCORES = st.lists(st.tuples(st.integers(0, 10), st.booleans(), st.booleans()), min_size=1, max_size=30).map(
    lambda rows: Cascade(*np.array(rows, dtype=float).T / [[10], [1], [1]])
)


@given(_SCORES, st.lists(st.floats(0, 1.1), min_size=1, max_size=5), st.floats(0, 3), st.floats(0, 3))
def test_a_cascade_is_what_counting_gives(
    cascade: Cascade, thresholds: list[float], edge_s: float, cloud_s: float
) -> None:
    curve = cascade.curve(thresholds, edge_s=edge_s, cloud_s=cloud_s)
    rows = list(zip(cascade.probability, cascade.right_edge, cascade.right_cloud, strict=True))
    for i, threshold in enumerate(thresholds):
        right = [cloud if p < threshold else edge for p, edge, cloud in rows]
        passed = [p < threshold for p, _, _ in rows]
        assert curve.quality[i] == pytest.approx(np.mean(right))
        assert curve.escalated[i] == pytest.approx(np.mean(passed))
        assert curve.latency_s[i] == pytest.approx(edge_s + np.mean(passed) * cloud_s)
    assert (np.diff(curve.escalated[np.argsort(thresholds)]) >= 0).all()
    whole = cascade.curve()
    assert (whole.escalated[0], whole.escalated[-1]) == (0.0, 1.0)
    assert whole.quality[-1] == pytest.approx(cascade.right_cloud.mean())


@given(_SCORES, _SCORES, st.integers(1, 5))
def test_features_of_a_cascade_are_weighed_by_share(one: Cascade, two: Cascade, share: int) -> None:
    at = np.linspace(0, 1, 5)
    curves = {"a": one.curve(at, edge_s=1.0, cloud_s=2.0), "b": two.curve(at)}
    mean = mean_curve(curves, {"a": share, "b": 1})
    for name in ("quality", "escalated", "latency_s"):
        parts = share * getattr(curves["a"], name) + getattr(curves["b"], name)
        assert getattr(mean, name) == pytest.approx(parts / (share + 1))


def test_cascades_that_cannot_be_are_refused() -> None:
    ones = np.ones(3)
    with pytest.raises(InputError, match="same answers"):
        Cascade(ones, ones, np.ones(2))
    with pytest.raises(InputError, match="from 0 to 1"):
        Cascade(2 * ones, ones, ones)
    with pytest.raises(InputError, match="at least one"):
        Cascade(*[np.ones(0)] * 3)
    cascade = Cascade(ones, ones, ones)
    with pytest.raises(InputError, match="negative"):
        cascade.curve(edge_s=-1.0)
    with pytest.raises(InputError, match="numbers"):
        cascade.curve([float("nan")])
    for curves, shares in (({}, {}), ({"a": cascade.curve()}, {})):
        with pytest.raises(InputError, match=r"curve|share"):
            mean_curve(curves, shares)
    with pytest.raises(InputError, match="different thresholds"):
        mean_curve({"a": cascade.curve(), "b": cascade.curve([0.5])}, {"a": 1.0, "b": 1.0})


_AT = (0.0, 0.3, 0.7, 1.01)


@settings(max_examples=50)
@given(_SCORES, _SCORES, st.sampled_from([None, 0.6]), st.sampled_from([None, 0.5]))
def test_a_front_with_thresholds_is_exact(
    one: Cascade, two: Cascade, quality: float | None, edge_share: float | None
) -> None:
    limits = PlacingLimits(quality=quality, edge_share=edge_share)
    problem = small_problem(features=TASKS[:2], default="cloud", limits=limits)
    cascades = {("copy", "exit"): one, ("reverse", "edge 4 bit"): two}
    table = Table.of(problem)
    points = []
    for threshold in _AT:
        at = escalating(table, cascades, dict.fromkeys(TASKS[:2], threshold))
        for choice in itertools.product(range(3), repeat=2):
            if not at.broken(choice):
                values = at.values(choice)
                points.append((values["latency"], -values["quality"]))
    assume(points)
    found = hybrid_front(table, cascades, _AT)
    ours = np.array([(placed.values["latency"], -placed.values["quality"]) for placed in found])
    assert covers(ours, np.array(points))
    assert covers(np.array(points), ours)
    assert all(placed.broken == () for placed in found)
    assert all(t in _AT for placed in found for t in placed.thresholds.values())


def test_what_is_passed_on_takes_both() -> None:
    problem = small_problem(features=TASKS[:2], default="cloud", bounds=(Bound("reverse", EDGE),))
    unsure = Cascade(np.zeros(4), np.zeros(4), np.ones(4))
    table = Table.of(problem)
    cascades = {("copy", "exit"): unsure, ("reverse", "exit"): unsure}
    all_of_it = escalating(table, cascades, {"copy": 0.5, "reverse": 0.5})
    for aim in ("latency", "energy", "bytes"):
        column = table.numbers[aim]
        assert all_of_it.numbers[aim][0, 0] == pytest.approx(column[0, 0] + column[0, 2])
        assert all_of_it.numbers[aim][1, 0] == column[1, 0]  # it has to stay
    assert (all_of_it.numbers["quality"][0, 0], all_of_it.local[0, 0], all_of_it.local[1, 0]) == (1, 0, 1)
    assert len(exact_front(all_of_it))
    with pytest.raises(InputError, match="default"):
        escalating(Table.of(small_problem()), cascades, {})
    with pytest.raises(UnknownNameError, match="feature"):
        escalating(table, {("nothing", "exit"): unsure}, {})
    with pytest.raises(InputError, match="threshold"):
        hybrid_front(table, cascades, ())
