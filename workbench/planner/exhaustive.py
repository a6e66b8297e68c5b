"""The oracle: every way to cut x every width on each side x every codec, looked at, not searched.

A model of 80 blocks has 81 split points; with 3 x 3 widths and 4 codecs that is 2,900 plans, for NumPy a
matter of milliseconds. For one cut, neither dynamic programming nor a minimum cut through the graph of
operations is needed: blocks form a chain, and every cut of a chain is a place in it. (Minimum cuts are for
models whose layers branch: Hu et al., "DADS", INFOCOM 2019.)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from math import prod

from workbench.errors import InputError
from workbench.planner.answer import Answer
from workbench.planner.landscape import Landscape
from workbench.planner.problem import Problem
from workbench.planner.routes import routes_of
from workbench.planner.search import Search

__all__ = ["Exhaustive", "n_plans"]


@dataclass(frozen=True)
class Exhaustive:
    """Looks at every plan.

    Args:
        most: plans that it looks at; beyond that it refuses. Five million take some ten seconds.
    """

    most: int = 5_000_000
    name: str = field(default="exhaustive", init=False)

    def plan(self, problem: Problem) -> Answer:
        """The best plan, the front, both baselines.

        Raises:
            InfeasibleError: no plan keeps every limit; says which binds, and by how much.
            InputError: there are more plans than ``most``.
        """
        if (n := n_plans(problem)) > self.most:
            raise InputError(
                f"{n:,} plans are more than exhaustive planning looks at ({self.most:,}): use the planner "
                "'chains', or offer fewer bits and codecs"
            )
        batches = Landscape(problem).plans()  # unsplit ones first
        search = Search(problem, list(islice(batches, len(problem.chain.places))))
        for plans in batches:
            search.look(plans)
        return search.answer(self.name)


def n_plans(problem: Problem) -> int:
    """How many plans there are to look at."""
    choices, total = problem.choices, 0
    for route in routes_of(problem.chain.places, u_shaped=choices.u_shaped):
        widths = [len(choices.bits_of(place)) for place in route.distinct]
        wires = len(choices.wires) if len(route.places) > 1 else 1
        total += route.n_plans(problem.model.n_blocks) * prod(widths) * wires
    return total
