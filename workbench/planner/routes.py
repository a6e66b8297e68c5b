"""Which places a request may pass in turn, and every way to cut a model along them.

A route of L places has L - 1 cuts, in order of depth, at any of the split points 0 to n. The first place has
the embedding and the last the head, even where they have no block; one between that has none is passed by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise
from math import comb

import numpy as np
from numpy.typing import NDArray

from workbench.plan import Partition, Stage

__all__ = ["SPLIT", "Route", "all_cuts", "partition_along", "routes_of"]

SPLIT = "split"
"""The kind of every plan with more than one place."""


@dataclass(frozen=True)
class Route:
    """Places that a pass visits in turn; U-shaped where it comes back to the first."""

    places: tuple[str, ...]

    @property
    def distinct(self) -> tuple[str, ...]:
        """Each place once, in order of first use."""
        return tuple(dict.fromkeys(self.places))

    @property
    def kind(self) -> str:
        """``SPLIT``, or the place that has it all: ``edge-only``."""
        return SPLIT if len(self.places) > 1 else f"{self.places[0]}-only"

    def n_plans(self, n_blocks: int) -> int:
        """How many ways there are to cut."""
        return comb(n_blocks + len(self.places) - 1, len(self.places) - 1)


def routes_of(places: Sequence[str], *, u_shaped: bool) -> tuple[Route, ...]:
    """Unsplit at each place, every stretch of neighbours outward, and on request back from the second."""
    n = len(places)
    outward = [Route(tuple(places[a:b])) for a in range(n) for b in range(a + 1, n + 1)]
    back = [Route((places[0], places[1], places[0]))] if u_shaped and n > 1 else []
    return tuple(sorted(outward, key=lambda route: len(route.places)) + back)


def all_cuts(route: Route, n_blocks: int) -> NDArray[np.int64]:
    """Every way to cut: [P, L + 1] with 0 in front and n behind. A U-shape leaves blocks to its middle."""
    inner = len(route.places) - 1
    chosen = list(combinations_with_replacement(range(n_blocks + 1), inner))
    cuts = np.pad(np.array(chosen, dtype=np.int64).reshape(len(chosen), inner), ((0, 0), (1, 1)))
    cuts[:, -1] = n_blocks
    if len(route.distinct) < len(route.places):
        cuts = cuts[cuts[:, 1] < cuts[:, 2]]
    return cuts


def partition_along(route: Route, cuts: Sequence[int], bits: Mapping[str, int | Sequence[int]]) -> Partition:
    """The partition that cuts a route so.

    Args:
        bits: by place, of all blocks, or of each of the model's blocks.
    """
    n, last = int(cuts[-1]), len(route.places) - 1
    stages = []
    for i, (place, (start, stop)) in enumerate(zip(route.places, pairwise(map(int, cuts)), strict=True)):
        if start < stop or i in (0, last):
            width = bits[place]
            own = {"bits": width} if isinstance(width, int) else {"block_bits": tuple(width[start:stop])}
            stages.append(Stage(place, start, stop, embedding=i == 0, head=i == last, **own))
    return Partition(n, tuple(stages))
