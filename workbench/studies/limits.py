"""Limits as text: ``latency <= 0.5, accuracy >= 0.9``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from workbench.errors import InputError
from workbench.records import Objective, objective

__all__ = ["limits_text", "parse_limits"]

_ONE = re.compile(r"\s*(\w+)\s*(<=|>=|≤|≥)\s*([-+\d.eE_]+)\s*")
_SIGNS = {"minimize": "<=", "maximize": ">="}


def parse_limits(text: str) -> dict[str, float]:
    """Limits by objective, in the objectives' units (s, B, J, shares); an empty text has none.

    Raises:
        InputError: something that is no limit, or one that asks for the wrong side.
        UnknownNameError: no objective is called so.
    """
    return dict(_limit(part) for part in re.split("[,;]", text) if part.strip())


def _limit(part: str) -> tuple[str, float]:
    found = _ONE.fullmatch(part)
    if found is None:
        raise InputError(f"{part.strip()!r} is no limit: write for example latency <= 0.5, accuracy >= 0.9")
    name, sign, number = found.groups()
    goal = objective(name)
    if sign.replace("≤", "<=").replace("≥", ">=") != _sign(goal):
        raise InputError(f"{name} is to {goal.direction}: its limit is written {name} {_sign(goal)} {number}")
    try:
        return name, float(number)
    except ValueError:
        raise InputError(f"{number!r} is no number: write for example {name} {_sign(goal)} 0.5") from None


def limits_text(limits: Mapping[str, float]) -> str:
    """What ``parse_limits`` reads."""
    return ", ".join(f"{name} {_sign(objective(name))} {bound!r}" for name, bound in limits.items())


def _sign(goal: Objective) -> str:
    return _SIGNS[goal.direction]
