"""How profiles are read from plain JSON types and checked; every complaint is a ProfileError."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from workbench.errors import InputError, ProfileError, UnknownNameError
from workbench.trace import LABELS, Label

__all__ = ["Source", "check", "load", "read", "sources_of"]

P = TypeVar("P")


@dataclass(frozen=True)
class Source:
    """Where a field's value comes from."""

    text: str  # document, page, test
    label: Label = "published"
    url: str = ""

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise UnknownNameError("label", self.label, LABELS)


def read(cls: type[P], data: Mapping[str, Any], readers: Mapping[str, Callable[[Any], Any]]) -> P:
    """Make a profile of JSON types.

    Args:
        readers: by field, what turns its JSON into its value; the others are taken as they are.

    Raises:
        ProfileError: a field is missing, unknown or out of range.
    """
    try:
        return cls(**{**data, **{key: made(data[key]) for key, made in readers.items() if key in data}})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        name = data.get("name", "?") if isinstance(data, Mapping) else data
        raise ProfileError(f"{name!r} is no {cls.__name__}: {error}") from error


def sources_of(data: Mapping[str, Any]) -> dict[str, Source]:
    """Where each field comes from."""
    return {key: source(value) for key, value in data.items()}


def source(data: Source | Mapping[str, Any]) -> Source:
    """One of them."""
    return data if isinstance(data, Source) else Source(**data)


def load(path: Path) -> dict[str, Any]:
    """A file's JSON object, named as the file where it gives no name itself."""
    return {"name": path.stem, **json.loads(path.read_text(encoding="utf-8"))}


def check(name: str, positive: Mapping[str, float], not_negative: Mapping[str, float]) -> None:
    """Nothing where all numbers are finite, and above zero or not below it.

    Raises:
        ProfileError: names the first that is not.
    """
    for key, value in positive.items():
        if not 0 < value < math.inf:
            raise ProfileError(f"{name!r}: {key} must be above 0 and finite, got {value}")
    for key, value in not_negative.items():
        if not 0 <= value < math.inf:
            raise ProfileError(f"{name!r}: {key} must be finite and not negative, got {value}")
