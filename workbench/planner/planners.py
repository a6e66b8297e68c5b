"""The one door to planning: picks the planner that is exact for a problem and quick enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from workbench.errors import UnknownNameError
from workbench.planner.answer import Answer
from workbench.planner.chains import Chains
from workbench.planner.depth import Depth
from workbench.planner.exhaustive import Exhaustive, n_plans
from workbench.planner.problem import Problem

__all__ = ["PLANNERS", "Planner", "plan"]

_SOON = 1_000_000  # plans that enumeration looks at within a second or two


class Planner(Protocol):
    """One contract for all: a problem in, plans with their predicted requests out."""

    @property
    def name(self) -> str: ...

    def plan(self, problem: Problem) -> Answer:
        """The best plan, beside both ways of not splitting.

        Raises:
            InfeasibleError: no plan keeps every limit; says which binds, and by how much.
            InputError: the problem is beyond this planner; says which one to use.
        """


PLANNERS: Mapping[str, Callable[[], Planner]] = {"exhaustive": Exhaustive, "chains": Chains, "depth": Depth}
"""By name, each exact. ``auto`` enumerates where that is soon done; ``depth`` gives each block a width."""


def plan(problem: Problem, planner: str = "auto") -> Answer:
    """Where to cut, and whether.

    Args:
        planner: one of ``PLANNERS``, or ``auto``.

    Raises:
        InfeasibleError: no plan keeps every limit; says which binds, and by how much.
        InputError: the problem is beyond the planner that was named.
        UnknownNameError: no planner is called so.
    """
    if planner != "auto" and planner not in PLANNERS:
        raise UnknownNameError("planner", planner, ["auto", *PLANNERS])
    if planner == "auto":
        planner = "exhaustive" if n_plans(problem) <= _SOON else "chains"
    return PLANNERS[planner]().plan(problem)
