"""What a prompt asks for, from its text: logistic regression on hashed n-grams, small enough for any edge.

Features are hashed (Weinberger et al. 2009) n-grams of one to four characters and words, of the first 200
characters. Weights are kept as 8-bit integers. Probabilities are calibrated by one temperature, fitted on
prompts that training did not see (Guo et al. 2017). B buckets, L labels, N texts.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import InputError
from workbench.files import write_text
from workbench.routing.calibration import calibration_error

__all__ = ["Classifier", "Guess", "Score", "fit"]

READ_CHARACTERS = 200
_BITS = 12  # 2 ** bits buckets
_LONGEST = 4  # characters of an n-gram
_TOKEN = re.compile(r"\w+|[^\w\s]")
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Guess:
    """The likeliest feature, and the calibrated probability that it is the right one."""

    feature: str
    sureness: float


@dataclass(frozen=True)
class Score:
    """How good guesses were."""

    accuracy: float
    ece: float  # expected calibration error of the sureness
    n: int


@dataclass(frozen=True, eq=False)
class Classifier:
    """Weights and what they were trained on. Safe to share between threads."""

    labels: tuple[str, ...]
    weights: NDArray[np.int8]  # [B, L]
    scales: Floats  # [L]: what one step of a weight is worth
    offsets: Floats  # [L]
    temperature: float
    facts: Mapping[str, Any] = field(default_factory=dict)  # what it was trained and tested on

    def __post_init__(self) -> None:
        n = len(self.labels)
        shape = self.weights.shape
        if n < 2 or len(set(self.labels)) != n or len(shape) != 2 or shape[1] != n:
            raise InputError(f"a classifier has one column of weights per label: {n} labels, weights {shape}")
        if shape[0] & (shape[0] - 1) or self.scales.shape != (n,) or self.offsets.shape != (n,):
            raise InputError(f"buckets are a power of two, scales and offsets one per label: got {shape[0]}")
        if not self.temperature > 0:
            raise InputError(f"a temperature is above 0: got {self.temperature}")

    def probabilities(self, text: str) -> dict[str, float]:
        """Of every label, calibrated; they sum to 1."""
        return dict(zip(self.labels, self._softmax(text).tolist(), strict=True))

    def predict(self, text: str) -> Guess:
        """The likeliest label."""
        given = self._softmax(text)
        best = int(given.argmax())
        return Guess(self.labels[best], float(given[best]))

    def score(self, texts: Sequence[str], labels: Sequence[str]) -> Score:
        """Accuracy and calibration on texts whose labels are known.

        Raises:
            InputError: no texts, or not as many labels.
        """
        _check_examples(texts, labels)
        guesses = [self.predict(text) for text in texts]
        right = [guess.feature == label for guess, label in zip(guesses, labels, strict=True)]
        ece = calibration_error([guess.sureness for guess in guesses], right)
        return Score(sum(right) / len(right), ece, len(right))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        return {
            "labels": list(self.labels),
            "weights": base64.b64encode(np.ascontiguousarray(self.weights).tobytes()).decode(),
            "scales": [float(f"{s:.9g}") for s in self.scales],
            "offsets": [float(f"{b:.9g}") for b in self.offsets],
            "temperature": self.temperature,
            "facts": dict(self.facts),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Classifier:
        """Read what ``to_dict`` gave.

        Raises:
            InputError: a field is missing or does not fit the others.
        """
        try:
            labels = tuple(map(str, data["labels"]))
            raw = np.frombuffer(base64.b64decode(data["weights"], validate=True), dtype=np.int8)
            return cls(
                labels,
                raw.reshape(-1, max(1, len(labels))),
                np.asarray(data["scales"], dtype=np.float32),
                np.asarray(data["offsets"], dtype=np.float32),
                float(data["temperature"]),
                dict(data["facts"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no classifier ({type(error).__name__}: {error})") from error

    def save(self, path: str | Path) -> None:
        """Write as JSON, whole or not at all."""
        write_text(Path(path), json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Classifier:
        """Read what ``save`` wrote.

        Raises:
            InputError: the file cannot be read, or is no classifier.
        """
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read as a classifier: {error}") from error

    def _logits(self, text: str) -> Floats:
        buckets, values = _features(text, self.weights.shape[0])
        return (values @ self.weights[buckets]) * self.scales + self.offsets

    def _softmax(self, text: str) -> NDArray[np.float64]:
        return _softmax(self._logits(text)[None].astype(np.float64) / self.temperature)[0]


def fit(
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    steps: int = 250,
    decay: float = 1e-4,
    held_out_share: float = 0.2,
    seed: int = 0,
) -> Classifier:
    """Train a classifier: the same texts, labels and seed give the same one.

    Full-batch Adam (Kingma and Ba 2015) on the cross-entropy with L2 ``decay``; then the temperature, on
    the share that was held out.

    Raises:
        InputError: fewer than two labels, no texts to hold out, or not as many labels as texts.
    """
    _check_examples(texts, labels)
    names = tuple(sorted(set(labels)))
    n_held = int(len(texts) * held_out_share)
    if len(names) < 2 or not 0 < n_held < len(texts):
        raise InputError(
            f"a classifier needs two labels and texts to hold out: got labels {names}, {n_held} of "
            f"{len(texts)} held out"
        )
    order = np.random.default_rng(seed).permutation(len(texts))
    x = np.stack([_row(texts[i]) for i in order])  # [N, B]
    y = np.array([names.index(labels[i]) for i in order])
    weights, offsets = _trained(x[n_held:], y[n_held:], len(names), steps, decay)
    scales = np.maximum(np.abs(weights).max(axis=0), 1e-6) / 127
    small = np.round(weights / scales).astype(np.int8)
    logits = (x[:n_held] @ small.astype(np.float32)) * scales + offsets
    temperature = _temperature(logits.astype(np.float64), y[:n_held])
    return Classifier(names, small, scales.astype(np.float32), offsets.astype(np.float32), temperature)


def _check_examples(texts: Sequence[str], labels: Sequence[str]) -> None:
    if len(texts) != len(labels) or not len(texts):
        raise InputError(f"{len(texts)} texts need as many labels, at least one: got {len(labels)}")


def _trained(
    x: Floats, y: NDArray[np.int64], n_labels: int, steps: int, decay: float, rate: float = 0.1
) -> tuple[Floats, Floats]:
    """Weights [B, L] and offsets [L]."""
    wanted = np.eye(n_labels, dtype=np.float32)[y]  # [N, L]
    found = np.zeros((x.shape[1] + 1, n_labels), dtype=np.float32)  # the offsets are its last row
    mean, square = np.zeros_like(found), np.zeros_like(found)
    for step in range(1, steps + 1):
        error = (_softmax(x @ found[:-1] + found[-1]) - wanted) / np.float32(len(y))
        slope = np.concatenate([x.T @ error + np.float32(decay) * found[:-1], error.sum(axis=0)[None]])
        mean += np.float32(0.1) * (slope - mean)
        square += np.float32(0.01) * (slope * slope - square)
        scaled = (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
        found -= np.float32(rate * (1 - (step - 1) / steps)) * scaled.astype(np.float32)
    return found[:-1], found[-1]


def _temperature(logits: NDArray[np.float64], y: NDArray[np.int64]) -> float:
    """The one that makes held-out labels likeliest, to within 1 %."""
    candidates = np.geomspace(0.05, 20, 600)
    picked = np.arange(len(y))
    losses = [-np.log(_softmax(logits / t)[picked, y] + 1e-12).mean() for t in candidates]
    return float(f"{candidates[int(np.argmin(losses))]:.6g}")


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def _row(text: str) -> Floats:
    buckets, values = _features(text, 1 << _BITS)
    return np.bincount(buckets, weights=values, minlength=1 << _BITS).astype(np.float32)


def _features(text: str, n_buckets: int) -> tuple[NDArray[np.int64], Floats]:
    """Buckets and values of a text: int64[F], float32[F]. Both kinds weigh the same however long it is."""
    read = "\x02" + text[:READ_CHARACTERS].lower()
    grams = _gram_hashes(np.frombuffer(read.encode("utf-32-le", "surrogatepass"), dtype=np.uint32))
    words = _TOKEN.findall(read[1:])
    tagged = [*words, *(f"{place} {word}" for place, word in enumerate(words[:2]))]
    hashes = [zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in tagged]
    mixed = np.concatenate([grams, np.asarray(hashes, dtype=np.uint32)])
    mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(0x27D4EB2F)
    values = np.full(len(mixed), 1 / np.sqrt(len(grams)), dtype=np.float32)
    values[len(grams) :] = 1 / np.sqrt(max(1, len(words)))
    values[len(grams) + len(words) :] = 0.5
    return (mixed >> np.uint32(33 - n_buckets.bit_length())).astype(np.int64), values


def _gram_hashes(codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Of every n-gram of one to four code points."""
    hashes = (codes + np.uint32(1)) * np.uint32(0x9E3779B1)
    found = [hashes]
    for length in range(1, min(_LONGEST, len(codes))):
        before = hashes[:-1]
        hashes = (before ^ (before >> np.uint32(13))) * np.uint32(0x85EBCA77) + codes[length:] + np.uint32(7)
        found.append(hashes)
    return np.concatenate(found)
