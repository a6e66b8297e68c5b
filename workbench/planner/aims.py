"""What a plan can be good at: its unit, whether less or more is better, and how a sentence says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["AIMS", "TIE", "Aim"]

TIE = 1.02
"""How much better a split has to be: closer than this no model here can tell two plans apart."""


@dataclass(frozen=True)
class Aim:
    """One number of a plan that a user may want to optimise."""

    name: str
    unit: str
    phrase: str  # after a number: "0.3 s in total"
    maximised: bool = False

    @property
    def sign(self) -> float:
        """Turns a value into one to be minimised."""
        return -1.0 if self.maximised else 1.0


AIMS: Mapping[str, Aim] = {
    aim.name: aim
    for aim in (
        Aim("total", "s", "in total"),
        Aim("ttft", "s", "to the first token"),
        Aim("tpot", "s", "a token"),
        Aim("edge_energy", "J", "of the user's device"),
        Aim("throughput", "tokens/s", "with as many requests under way as there are stages", maximised=True),
        Aim("price", "", "a token"),
        Aim("bytes", "B", "over the user's link"),
        Aim("memory", "B", "of the user's device"),
        Aim("loss", "bit/byte", "more than with 16-bit weights"),
    )
}
"""By name. ``total`` is the time to the last of the request's output tokens."""
