"""Requests over time: drawn from a mix of features, or read from a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import InputError, UnknownNameError
from workbench.files import write_text
from workbench.plan import Plan
from workbench.profiles import DATA
from workbench.routing.request import CONTINUE, Request

__all__ = ["Workload", "bursts", "held_out_prose", "poisson", "shipped_pool"]

_PROSE_CHARACTERS, _LEAST_CHARACTERS = 120, 40
_FIELDS = ("arrival_s", "feature", "prompt", "max_new_tokens", "answer", "truth")
_REQUIRED = ("arrival_s", "prompt")
Pool = Mapping[str, Sequence[Request]]


@dataclass(frozen=True)
class Workload:
    """Requests in order of arrival."""

    requests: tuple[Request, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "requests", tuple(self.requests))
        for i, (first, second) in enumerate(pairwise(self.requests)):
            if second.arrival_s < first.arrival_s:
                raise InputError(
                    f"request {i + 2} arrives at {second.arrival_s} s, before request {i + 1} at "
                    f"{first.arrival_s} s: put them in order"
                )

    def __len__(self) -> int:
        return len(self.requests)

    def __iter__(self) -> Iterator[Request]:
        return iter(self.requests)

    @property
    def duration_s(self) -> float:
        """Until the last request arrives."""
        return self.requests[-1].arrival_s if self.requests else 0.0

    @property
    def features(self) -> tuple[str, ...]:
        """Every tag, by name."""
        return tuple(sorted({r.feature for r in self.requests if r.feature is not None}))

    def untagged(self) -> Workload:
        """The same requests where nobody says what they are: policies have to find out, and may be wrong."""
        return Workload(tuple(replace(request, feature=None) for request in self.requests))

    def check(self, plan: Plan) -> None:
        """Raises UnknownNameError where a request is tagged as a feature that a plan has not."""
        for feature in self.features:
            if feature not in plan.features:
                raise UnknownNameError("feature", feature, plan.features)

    def save(self, path: str | Path) -> None:
        """Write as CSV where the name ends in ``.csv``, else one JSON object a line."""
        path = Path(path)
        rows = [{name: getattr(request, name) for name in _FIELDS} for request in self.requests]
        if path.suffix.lower() != ".csv":
            write_text(path, "".join(json.dumps(_given(row), ensure_ascii=False) + "\n" for row in rows))
            return
        text = io.StringIO()
        table = csv.DictWriter(text, _FIELDS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        write_text(path, text.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Workload:
        """Read what ``save`` wrote, or a file of that form.

        ``arrival_s`` and ``prompt`` are required; ``feature``, ``max_new_tokens``, ``answer`` and ``truth``
        may be left out, or be empty in CSV.

        Raises:
            InputError: the file cannot be read, or a line lacks a column or has a value that cannot be; the
                message names file and line.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read as a workload: {error}") from error
        rows = _csv_rows(path, text) if path.suffix.lower() == ".csv" else _json_rows(path, text)
        requests: list[Request] = []
        for line, row in rows:
            requests.append(_request(path, line, row))
            if len(requests) > 1 and requests[-1].arrival_s < requests[-2].arrival_s:
                raise InputError(
                    f"{path}, line {line}: arrives at {requests[-1].arrival_s} s, before the line above at "
                    f"{requests[-2].arrival_s} s: put the lines in order"
                )
        if not requests:
            raise InputError(f"{path} holds no request: write one a line, with {', '.join(_REQUIRED)}")
        return cls(tuple(requests))


def poisson(
    mix: Mapping[str, float],
    rate_per_s: float,
    n: int,
    *,
    seed: int = 0,
    pool: Pool | None = None,
    max_new_tokens: int | Sequence[int] | None = None,
) -> Workload:
    """Requests that come by themselves: gaps are exponential.

    Args:
        mix: share of each feature; shares are divided by their sum.
        rate_per_s: requests a second, on average.
        n: how many requests.
        seed: the same gives the same requests.
        pool: prompts of each feature; the shipped ones, if not given.
        max_new_tokens: of every request, or values of which each request draws one; the pool's, if not given.

    Raises:
        InputError: a share, the rate or a number that cannot be.
        UnknownNameError: the pool has no prompts of a feature.
    """
    return bursts(mix, rate_per_s, 1, n, seed=seed, pool=pool, max_new_tokens=max_new_tokens)


def bursts(
    mix: Mapping[str, float],
    rate_per_s: float,
    burst: int,
    n: int,
    *,
    seed: int = 0,
    pool: Pool | None = None,
    max_new_tokens: int | Sequence[int] | None = None,
) -> Workload:
    """As ``poisson``, but ``burst`` requests come at once, and bursts that much more seldom."""
    _check_count("n", n)
    _check_count("burst", burst)
    if not _is_positive(rate_per_s):
        raise InputError(f"rate_per_s is above 0 and finite: got {rate_per_s!r}")
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(burst / rate_per_s, -(-n // burst))
    arrivals = np.repeat(np.cumsum(gaps), burst)[:n]
    prompts = _drawn(mix, n, shipped_pool() if pool is None else pool, rng)
    lengths = _lengths(max_new_tokens, n, rng)
    return Workload(
        tuple(
            replace(request, arrival_s=round(float(at), 6), max_new_tokens=length or request.max_new_tokens)
            for request, at, length in zip(prompts, arrivals, lengths, strict=True)
        )
    )


@cache
def shipped_pool() -> dict[str, tuple[Request, ...]]:
    """The held-out tasks with their answers, and pieces of held-out prose for ``continue``, by feature."""
    pool: dict[str, list[Request]] = {}
    for line in _shipped("tasks.jsonl"):
        request = Request(line["prompt"], line["task"], answer=line["answer"])
        pool.setdefault(line["task"], []).append(request)
    pieces = [piece for text in held_out_prose() for piece in _pieces(text)]
    pool[CONTINUE] = [Request(piece, CONTINUE) for piece in pieces]
    return {feature: tuple(requests) for feature, requests in pool.items()}


def held_out_prose() -> list[str]:
    """The shipped texts that no shipped model was trained on."""
    return [line["text"] for line in _shipped("prose.jsonl")]


# --- drawing ---------------------------------------------------------------------------------------


def _drawn(mix: Mapping[str, float], n: int, pool: Pool, rng: np.random.Generator) -> list[Request]:
    for feature, share in mix.items():
        if not (_is_number(share) and 0 <= share < np.inf):
            raise InputError(f"the share of {feature!r} is at least 0 and finite: got {share!r}")
        if not pool.get(feature):
            raise UnknownNameError("feature with prompts", feature, pool)
    total = sum(mix.values())
    if not total > 0:
        raise InputError(f"a mix needs a feature with a share above 0: got {dict(mix)}")
    names = list(mix)
    picked = rng.choice(len(names), n, p=[mix[name] / total for name in names])
    return [pool[names[i]][int(rng.integers(len(pool[names[i]])))] for i in picked]


def _lengths(given: int | Sequence[int] | None, n: int, rng: np.random.Generator) -> list[int | None]:
    if given is None:
        return [None] * n
    values = [given] if isinstance(given, int) else list(given)
    if not values:
        raise InputError("max_new_tokens needs at least one value to draw from")
    for value in values:
        _check_count("max_new_tokens", value)
    return [int(values[i]) for i in rng.integers(len(values), size=n)]


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"{name} is a whole number of at least 1: got {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < np.inf


def _shipped(name: str) -> list[dict[str, str]]:
    text = (DATA / "evaluation" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _pieces(text: str) -> Iterator[str]:
    """Beginnings to go on from: about ``_PROSE_CHARACTERS`` characters each, cut between words.

    A table or a ruler, of which less is left, is no beginning.
    """
    for start in range(0, len(text) - _PROSE_CHARACTERS, 4 * _PROSE_CHARACTERS):
        piece = text[start : start + _PROSE_CHARACTERS]
        piece = piece if start == 0 else piece.partition(" ")[2]
        piece = piece.rpartition(" ")[0].strip()
        if len(piece) >= _LEAST_CHARACTERS:
            yield piece


# --- files -----------------------------------------------------------------------------------------


def _given(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    table = csv.DictReader(io.StringIO(text), strict=True)
    _check_columns(path, 1, table.fieldnames or ())
    while True:
        line = table.line_num + 1
        try:
            row = next(table, None)
        except csv.Error as error:
            raise InputError(f"{path}, line {line}: no CSV ({error})") from error
        if row is None:
            return
        if None in row or None in row.values():
            raise InputError(f"{path}, line {line}: has other columns than the first line")
        yield line, {name: value for name, value in row.items() if value != "" or name == "prompt"}


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, written in enumerate(text.split("\n"), 1):
        if not written.strip():
            continue
        try:
            row = json.loads(written)
        except ValueError as error:
            raise InputError(f"{path}, line {line}: no JSON ({error})") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {line}: a request is a JSON object: got {written[:60]}")
        _check_columns(path, line, row)
        yield line, _given(row)


def _check_columns(path: Path, line: int, names: Sequence[str] | Mapping[str, Any]) -> None:
    if missing := [name for name in _REQUIRED if name not in names]:
        raise InputError(f"{path}, line {line}: lacks {', '.join(missing)}: known are {', '.join(_FIELDS)}")
    if unknown := sorted(set(names) - set(_FIELDS)):
        raise InputError(f"{path}, line {line}: {unknown} mean nothing here: known are {', '.join(_FIELDS)}")


def _request(path: Path, line: int, row: Mapping[str, Any]) -> Request:
    fields = dict(row)
    try:
        fields["arrival_s"] = _number(fields.get("arrival_s"), "arrival_s", float)
        if "max_new_tokens" in fields:
            fields["max_new_tokens"] = _number(fields["max_new_tokens"], "max_new_tokens", int)
        return Request(**fields)
    except InputError as error:
        raise InputError(f"{path}, line {line}: {error}") from error


def _number(value: object, name: str, kind: type[int] | type[float]) -> Any:
    """A number as it stands in JSON, or as text in CSV."""
    if not isinstance(value, str):
        return value
    try:
        return kind(value)
    except ValueError as error:
        raise InputError(f"{name} is no number: {value!r}") from error
