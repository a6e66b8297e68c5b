"""Fronts and hypervolumes against what brute force and inclusion–exclusion give."""

from __future__ import annotations

from itertools import combinations
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.planner.pareto import hypervolume, non_dominated

sizes = st.integers(1, 4)
points = sizes.flatmap(
    lambda d: st.lists(st.tuples(*[st.integers(0, 6)] * d), min_size=1, max_size=9)  # type: ignore[arg-type]
)


@given(points)
def test_front_is_what_no_other_point_beats(points: list[tuple[int, ...]]) -> None:
    def beaten(p: tuple[int, ...]) -> bool:
        return any(q != p and all(a <= b for a, b in zip(q, p, strict=True)) for q in points)

    front = {points[i] for i in non_dominated(points)}
    assert front == {p for p in points if not beaten(p)}
    assert len(non_dominated(points)) == len(front)


@given(points)
def test_volume_is_that_of_the_union_of_boxes(points: list[tuple[int, ...]]) -> None:
    reference = (7,) * len(points[0])
    expected = 0
    for size in range(1, len(points) + 1):
        for chosen in combinations(points, size):
            corner = [max(values) for values in zip(*chosen, strict=True)]
            expected += (-1) ** (size + 1) * prod(7 - c for c in corner)
    assert hypervolume(points, reference) == pytest.approx(expected)


def test_points_beyond_the_reference_count_nothing() -> None:
    assert hypervolume([(2.0, 0.0), (0.0, 1.0)], (1.0, 1.0)) == 0.0
    assert hypervolume([], (1.0, 1.0)) == 0.0
