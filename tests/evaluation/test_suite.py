"""The shipped suites: quick is a part of full."""

from __future__ import annotations

import pytest

from workbench.errors import UnknownNameError
from workbench.evaluation import SUITES, suite_named


def test_quick_is_a_part_of_full() -> None:
    quick, full = (suite_named(name) for name in SUITES)
    assert set(quick.examples) < set(full.examples)
    assert all(whole.startswith(part) for part, whole in zip(quick.texts, full.texts, strict=False))
    assert {e.task for e in quick.examples} == {e.task for e in full.examples}
    assert quick.key != full.key


def test_unknown_suite_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'quick'"):
        suite_named("quik")
