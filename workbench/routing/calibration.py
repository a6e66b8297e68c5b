"""From the tokens of an answer to the probability that it is right.

A raw score is made of the log-probabilities that the model gave to its own tokens. Platt scaling (Platt
1999, "Probabilistic outputs for support vector machines") maps it to a probability, for each feature by
itself: a score that means much for arithmetic may mean little for extraction.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import InputError
from workbench.files import write_text

__all__ = ["LEAST_EXAMPLES", "Calibration", "answer_score", "calibration_error", "raw_confidence"]

LEAST_EXAMPLES = 20
"""A feature with fewer examples is calibrated by all of them together."""
_LOWEST = -50.0  # of a score: below that no float32 probability can be told from 0
_TOLERANCE = 1e-4  # a log-probability in half precision may be a little above 0
Floats = NDArray[np.float64]


def answer_score(logprobs: Sequence[float]) -> float:
    """The mean of an answer's token log-probabilities and its least one, in equal parts: nats, at most 0.

    The mean alone hides the one token that was guessed. Give the tokens up to the newline, with it.

    Raises:
        InputError: no token, or a value that is no log-probability.
    """
    if not len(logprobs):
        raise InputError("an answer without tokens has no score: give the log-probability of each token")
    values = np.asarray(logprobs, dtype=np.float64)
    if np.isnan(values).any() or (values > _TOLERANCE).any():
        raise InputError(f"log-probabilities are at most 0: got {list(logprobs)[:8]}")
    values = np.clip(values, _LOWEST, 0.0)
    return float((values.mean() + values.min()) / 2)


def raw_confidence(logprobs: Sequence[float]) -> float:
    """A probability from the score alone, in [0, 1]: what stands in where nothing was calibrated."""
    return math.exp(answer_score(logprobs))


def calibration_error(probabilities: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error over bins of equal width (Guo et al. 2017), from 0 to 1.

    Raises:
        InputError: no values, or lists that are not equally long.
    """
    given, hits = np.asarray(probabilities, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if len(given) != len(hits) or not len(given):
        raise InputError(f"{len(given)} probabilities need as many outcomes, at least one: got {len(hits)}")
    of_bin = np.minimum((given * bins).astype(int), bins - 1)
    gaps = [abs(given[of_bin == b].sum() - hits[of_bin == b].sum()) for b in range(bins)]
    return float(sum(gaps) / len(given))


@dataclass(frozen=True)
class Calibration:
    """What a score means: per feature a slope and an offset, of log-odds against the score."""

    curves: Mapping[str, tuple[float, float]]  # feature → (slope per nat, offset)
    pooled: tuple[float, float]  # of all examples together
    n_examples: Mapping[str, int] = field(default_factory=dict)  # per feature, of those it was fitted on

    def __post_init__(self) -> None:
        for slope, offset in (*self.curves.values(), self.pooled):
            if not (math.isfinite(slope) and math.isfinite(offset) and slope >= 0):
                raise InputError(f"a calibration curve has a slope of at least 0: got ({slope}, {offset})")

    @classmethod
    def fit(cls, features: Sequence[str], scores: Sequence[float], right: Sequence[bool]) -> Calibration:
        """Fit on answers whose rightness is known.

        Args:
            features: of each answer.
            scores: of each answer, from ``answer_score``.
            right: whether it was.

        Raises:
            InputError: no answers, lists that are not equally long, or a score that is no number.
        """
        if not len(features) == len(scores) == len(right) or not len(features):
            raise InputError(
                f"calibration needs as many features, scores and outcomes, at least one: got "
                f"{len(features)}, {len(scores)} and {len(right)}"
            )
        x, y = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=bool)
        if not np.isfinite(x).all():
            raise InputError("a score is a finite number: take answer_score of the log-probabilities")
        names = np.asarray(features, dtype=object)
        counts = {name: int((names == name).sum()) for name in sorted(set(features))}
        curves = {
            name: _platt(x[names == name], y[names == name])
            for name, n in counts.items()
            if n >= LEAST_EXAMPLES
        }
        return cls(curves, _platt(x, y), counts)

    def probability(self, feature: str, score: float) -> float:
        """That an answer of this score is right; by all features together where this one was never seen."""
        slope, offset = self.curves.get(feature, self.pooled)
        return float(_sigmoid(np.asarray(slope * max(score, _LOWEST) + offset)))

    def source_of(self, feature: str) -> str:
        """Whose examples a probability rests on, to be told."""
        if feature in self.curves:
            return f"calibrated on {self.n_examples.get(feature, 0)} answers of {feature}"
        return f"calibrated on all features together: {feature} has too few answers of its own"

    def ece(self, features: Iterable[str], scores: Sequence[float], right: Sequence[bool]) -> float:
        """Expected calibration error on other answers than those it was fitted on."""
        given = [self.probability(f, s) for f, s in zip(features, scores, strict=True)]
        return calibration_error(given, right)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        curves = {name: list(curve) for name, curve in self.curves.items()}
        return {"curves": curves, "pooled": list(self.pooled), "n_examples": dict(self.n_examples)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """Read what ``to_dict`` gave.

        Raises:
            InputError: a field is missing or out of range.
        """
        try:
            curves = {str(name): _pair(curve) for name, curve in data["curves"].items()}
            return cls(curves, _pair(data["pooled"]), {k: int(v) for k, v in data["n_examples"].items()})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"this is no calibration ({type(error).__name__}: {error})") from error

    def save(self, path: str | Path) -> None:
        """Write as JSON, whole or not at all."""
        write_text(Path(path), json.dumps(self.to_dict(), indent=1, sort_keys=True) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read what ``save`` wrote.

        Raises:
            InputError: the file cannot be read, or is no calibration.
        """
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read as a calibration: {error}") from error


def _pair(values: Sequence[float]) -> tuple[float, float]:
    slope, offset = map(float, values)
    return slope, offset


def _sigmoid(x: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(x / 2))


def _platt(x: Floats, y: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset by damped Newton steps, on Platt's smoothed targets, which no single class breaks."""
    n_right, n_wrong = int(y.sum()), int((~y).sum())
    target = np.where(y, (n_right + 1) / (n_right + 2), 1 / (n_wrong + 2))
    design = np.stack([x, np.ones_like(x)], axis=1)  # [N, 2]
    found = np.array([0.0, math.log((n_right + 1) / (n_wrong + 1))])
    for _ in range(100):
        given = _sigmoid(design @ found)
        slope = design.T @ (given - target) + 1e-6 * found
        curvature = (design * (given * (1 - given))[:, None]).T @ design + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        step *= min(1.0, 2.0 / (np.abs(step).max() + 1e-12))
        found -= step
        if np.abs(step).max() < 1e-9:
            break
    if found[0] >= 0:
        return float(found[0]), float(found[1])
    return 0.0, math.log(target.mean() / (1 - target.mean()))  # a surer answer is never the worse one
