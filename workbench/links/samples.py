"""One look at a path: what it is asked to be at a moment, and what was found there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from workbench.trace import Label

__all__ = ["LinkSample"]


@dataclass(frozen=True)
class LinkSample:
    """A moment of a path that is watched. ``None`` where nothing was found: no load, or nothing came back."""

    t_s: float  # since watching began
    asked_up_bps: float
    asked_down_bps: float
    asked_rtt_s: float  # without load
    up_outage: bool  # nothing is to get through
    down_outage: bool
    up_bps: float | None  # of an application's bytes, as they arrived
    down_bps: float | None
    rtt_s: float | None  # of one byte there and one back; late by an outage that it fell into
    label: Label  # of what was found: "modelled" where nothing was sent

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LinkSample:
        """Read what ``to_dict`` gave."""
        return cls(**data)
