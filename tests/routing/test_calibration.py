"""Scores become probabilities that hold: on synthetic answers whose true probability is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InputError
from workbench.routing import Calibration, answer_score, calibration_error, raw_confidence

LOGPROBS = st.lists(st.floats(-60, 0), min_size=1, max_size=20)


def _answers(slope: float, offset: float, n: int, seed: int) -> tuple[list[float], list[bool]]:
    rng = np.random.default_rng(seed)
    scores = -rng.exponential(1.0, n)
    right = rng.random(n) < 1 / (1 + np.exp(-(slope * scores + offset)))
    return scores.tolist(), right.tolist()


@given(LOGPROBS)
def test_a_score_lies_between_the_least_token_and_the_mean(logprobs: list[float]) -> None:
    clipped = np.clip(logprobs, -50, 0)
    assert clipped.min() - 1e-9 <= answer_score(logprobs) <= clipped.mean() + 1e-9
    assert 0 <= raw_confidence(logprobs) <= 1


@given(LOGPROBS, st.data())
def test_a_surer_token_never_lowers_the_score(logprobs: list[float], data: st.DataObject) -> None:
    i = data.draw(st.integers(0, len(logprobs) - 1))
    better = [*logprobs[:i], logprobs[i] / 2, *logprobs[i + 1 :]]
    assert answer_score(better) >= answer_score(logprobs) - 1e-9


@pytest.mark.parametrize("logprobs", [[], [0.5], [float("nan")]])
def test_what_is_no_log_probability_is_refused(logprobs: list[float]) -> None:
    with pytest.raises(InputError):
        answer_score(logprobs)


def test_a_curve_is_found_again_for_each_feature() -> None:
    true = {"copy": (1.0, 3.0), "sort": (4.0, 1.0)}
    drawn = {name: _answers(*curve, 4000, seed) for seed, (name, curve) in enumerate(true.items())}
    features = [name for name, (scores, _) in drawn.items() for _ in scores]
    scores, right = ([v for answers in drawn.values() for v in answers[i]] for i in (0, 1))
    found = Calibration.fit(features, scores, right)
    for name, curve in true.items():
        assert found.curves[name] == pytest.approx(curve, rel=0.2)
        again, hits = _answers(*curve, 4000, 7)
        assert found.ece([name] * 4000, again, hits) < 0.03
        raw = calibration_error(np.exp(again).tolist(), hits)
        assert raw > 2 * found.ece([name] * 4000, again, hits)


def test_a_feature_never_seen_falls_back_to_all_and_says_so() -> None:
    scores, right = _answers(2.0, 1.0, 100, 0)
    found = Calibration.fit(["copy"] * 95 + ["rare"] * 5, scores, right)
    assert "rare" not in found.curves
    assert found.probability("unheard", -1.0) == found.probability("rare", -1.0)
    assert found.source_of("copy") == "calibrated on 95 answers of copy"
    assert "all features together: unheard" in found.source_of("unheard")


@given(st.lists(st.tuples(st.floats(-60, 0), st.booleans()), min_size=1, max_size=60), st.floats(-60, 0))
def test_any_answers_give_probabilities_that_grow_with_the_score(
    answers: list[tuple[float, bool]], score: float
) -> None:
    """All right, all wrong, one answer, or surer ones that are wrong: a threshold always means something."""
    scores, right = [a[0] for a in answers], [a[1] for a in answers]
    found = Calibration.fit(["copy"] * len(scores), scores, right)
    low, high = found.probability("copy", score - 1), found.probability("copy", score)
    assert 0 <= low <= high <= 1


def test_it_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    scores, right = _answers(2.0, 1.0, 100, 0)
    found = Calibration.fit(["copy"] * 100, scores, right)
    found.save(tmp_path / "calibration.json")
    assert Calibration.load(tmp_path / "calibration.json") == found
    (tmp_path / "broken.json").write_text('{"curves": {"copy": [1]}, "pooled": [1, 2], "n_examples": {}}')
    with pytest.raises(InputError, match=r"broken\.json cannot be read as a calibration"):
        Calibration.load(tmp_path / "broken.json")
    with pytest.raises(InputError, match="slope of at least 0"):
        Calibration({}, (-1.0, 0.0))


@pytest.mark.parametrize(
    ("probabilities", "right", "error"),
    [
        ([0.9] * 10, [True] * 9 + [False], 0.0),
        ([1.0, 1.0], [False, False], 1.0),
        ([0.5, 1.0], [True, True], 0.25),
    ],
)
def test_the_calibration_error_by_hand(probabilities: list[float], right: list[bool], error: float) -> None:
    assert calibration_error(probabilities, right) == pytest.approx(error)


def test_lists_that_do_not_fit_are_refused() -> None:
    for call in (
        lambda: calibration_error([], []),
        lambda: calibration_error([0.5], []),
        lambda: Calibration.fit([], [], []),
        lambda: Calibration.fit(["a"], [0.1, 0.2], [True]),
        lambda: Calibration.fit(["a"], [float("nan")], [True]),
    ):
        with pytest.raises(InputError):
            call()
