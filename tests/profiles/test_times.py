"""Measured times: a grid gives its own points back, straight lines between them, and no nonsense."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.profiles.tables import FACTS, LENGTHS, table_of, tables
from workbench.errors import ProfileError
from workbench.profiles import ModelTimes, PassTimes, WidthTable


def _plane(block: int, tokens: int, context: int, batch: int) -> float:
    """Linear in everything: what interpolation and extrapolation have to meet exactly."""
    return 1e-3 * (block + 1) * (1 + 0.01 * tokens + 0.001 * context) * (1 + 0.2 * batch)


PLANE = table_of(3, _plane)


@given(st.integers(1, 4000), st.integers(1, 64))
def test_what_is_linear_in_the_prompt_is_met_everywhere(tokens: int, batch: int) -> None:
    expected = [_plane(b, tokens, 0, batch) for b in range(3)]
    assert PLANE.blocks_s(tokens, 0, batch) == pytest.approx(expected)


@given(st.integers(1, 4000), st.integers(1, 64))
def test_what_is_linear_in_the_context_is_met_everywhere(context: int, batch: int) -> None:
    expected = [_plane(b, 1, context, batch) for b in range(3)]
    assert PLANE.blocks_s(1, context, batch) == pytest.approx(expected)


@given(tables(2))
def test_what_was_measured_comes_back(table: WidthTable) -> None:
    for measured in table.passes:
        shape = (measured.tokens, measured.context, measured.batch)
        assert table.blocks_s(*shape) == pytest.approx(measured.blocks_s)
        assert table.covers(*shape)
        if not measured.context:
            assert table.embedding_s(measured.tokens, measured.batch) == pytest.approx(measured.embedding_s)


@given(tables(2), st.integers(1, 3000), st.integers(0, 3000), st.integers(1, 64))
def test_nothing_takes_less_than_no_time(table: WidthTable, tokens: int, context: int, batch: int) -> None:
    assert min(table.blocks_s(tokens, context, batch)) >= 0
    assert table.embedding_s(tokens, batch) >= 0
    assert table.head_s(batch) >= 0


@given(tables(4), st.integers(1, 60), st.integers(0, 100), st.integers(1, 4))
def test_a_sum_of_blocks_is_the_sum_of_each(table: WidthTable, tokens: int, context: int, batch: int) -> None:
    if tokens > 1 and context:
        context = 0  # with a past, the sum may be cut off at zero where its parts are not
    each = table.blocks_s(tokens, context, batch)
    surface = table.blocks_surface([1, 3])
    assert surface.at(tokens, context, batch) <= each[1] + each[3] + 1e-9
    if table.covers(tokens, context, batch):
        assert surface.at(tokens, context, batch) == pytest.approx(each[1] + each[3])


def test_more_prompt_after_a_context_costs_both() -> None:
    chunk = PLANE.blocks_s(16, 128, 1)
    alone, past, first = (PLANE.blocks_s(*shape) for shape in ((16, 0, 1), (1, 128, 1), (1, 16, 1)))
    assert chunk == pytest.approx([a + p - f for a, p, f in zip(alone, past, first, strict=True)])
    assert not PLANE.covers(16, 128, 1)


def test_it_says_where_it_goes_beyond_what_was_measured() -> None:
    inside = [(64, 0, 1), (40, 0, 3), (1, 100, 2)]
    outside = [(65, 0, 1), (1, 129, 1), (1, 15, 1), (16, 0, 5)]
    assert [PLANE.covers(*shape) for shape in inside] == [True] * 3
    assert [PLANE.covers(*shape) for shape in outside] == [False] * 4


def test_the_spread_is_the_median_over_all_shapes() -> None:
    spreads = [0.3, *[0.1] * (len(PLANE.passes) - 1)]
    passes = tuple(replace(p, spread=s) for p, s in zip(PLANE.passes, spreads, strict=True))
    assert replace(PLANE, passes=passes).spread == 0.1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"passes": ()}, "at least one pass"),
        ({"overhead_s": -1.0}, "overhead_s"),
        ({"wait_s": float("nan")}, "wait_s"),
        ({"passes": PLANE.passes[:3]}, "two prompt lengths and two contexts for batch 1"),
        ({"passes": (*PLANE.passes, PLANE.passes[0])}, "once"),
        ({"passes": (replace(PLANE.passes[0], blocks_s=(1.0,)), *PLANE.passes[1:])}, "the same blocks"),
    ],
)
def test_a_table_that_cannot_be_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ProfileError, match=said):
        replace(PLANE, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes", [{"blocks_s": (-1.0,)}, {"blocks_s": ()}, {"tokens": 0}, {"head_s": -1.0}, {"total_s": 0.0}]
)
def test_a_pass_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ProfileError):
        replace(PassTimes(1, 0, 1, (1.0,), 0.1, 0.1, 1.2), **changes)  # type: ignore[arg-type]


def test_times_survive_json() -> None:
    times = ModelTimes("host", "abc", FACTS, {16: PLANE, 4: PLANE}, notes=("a note",))
    assert ModelTimes.from_dict(times.to_dict()) == times
    assert hash(times) == hash(ModelTimes.from_dict(times.to_dict()))


@pytest.mark.parametrize("field", ["device", "config_key", "host", "widths"])
def test_a_field_that_is_missing_is_named(field: str) -> None:
    data = ModelTimes("host", "abc", FACTS, {16: PLANE}).to_dict()
    del data[field]
    with pytest.raises(ProfileError, match=field):
        ModelTimes.from_dict(data)


def test_times_of_another_version_or_with_strange_words_are_refused() -> None:
    data = ModelTimes("host", "abc", FACTS, {16: PLANE}).to_dict()
    with pytest.raises(ProfileError, match="version 7"):
        ModelTimes.from_dict({**data, "version": 7})
    with pytest.raises(ProfileError, match="colour"):
        ModelTimes.from_dict({**data, "colour": "red"})
    with pytest.raises(ProfileError):
        ModelTimes.from_dict({**data, "widths": {"16": {"passes": [{"tokens": 1}], "overhead_s": 0}}})
    with pytest.raises(ProfileError, match="one at least"):
        ModelTimes.from_dict({**data, "widths": {}})


def test_a_batch_that_lies_between_is_between() -> None:
    low, high = (PLANE.blocks_s(LENGTHS[-1], 0, batch)[0] for batch in (1, 4))
    assert low < PLANE.blocks_s(LENGTHS[-1], 0, 2)[0] < high
