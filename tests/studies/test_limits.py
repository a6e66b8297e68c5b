"""Limits are read as they are written; what asks for the wrong side is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InputError, UnknownNameError
from workbench.records import OBJECTIVES
from workbench.studies import limits_text, parse_limits

numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(st.dictionaries(st.sampled_from(sorted(OBJECTIVES)), numbers))
def test_they_survive_being_written(limits: dict[str, float]) -> None:
    assert parse_limits(limits_text(limits)) == limits


def test_spaces_signs_and_semicolons_are_free() -> None:
    assert parse_limits(" latency<=0.5 ;accuracy ≥ .9,") == {"latency": 0.5, "accuracy": 0.9}
    assert parse_limits("") == {}


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("latency < 1", InputError, "no limit"),
        ("latency", InputError, "no limit"),
        ("latency >= 1", InputError, "latency <= 1"),
        ("accuracy <= 1", InputError, "accuracy >= 1"),
        ("latency <= 1.2.3", InputError, "no number"),
        ("speed <= 1", UnknownNameError, "objective"),
    ],
)
def test_what_is_no_limit_is_refused(text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        parse_limits(text)
