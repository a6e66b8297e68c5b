"""What adds up along depth: aims and limits as sums over blocks, and a constant for each cut and codec.

A large message takes longer after a long pause, which a slow pass makes (``planner.crossings``), so a pass
is a sum only among plans of one length of pause. Each length has criteria of its own, with the steps that it
is for as a range to stay in. A plan that leaves its range, up by a hair, may have struck out one that stays:
fronts are exact where all later messages fit a first window, and else to within what the next length of
pause adds.

n blocks, B widths of a place, K ways to cut that pins leave open, W codecs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from workbench.cost import Floats
from workbench.errors import InputError
from workbench.planner.depth.families import Family
from workbench.planner.depth.mixed import mixed_plans
from workbench.planner.landscape import Landscape, Plans
from workbench.planner.limits import WITHIN, Bound, bounds_of
from workbench.planner.routes import Route, all_cuts

__all__ = ["ADDITIVE", "Criteria", "Goals", "check_aims"]

ADDITIVE = ("total", "ttft", "tpot", "edge_energy", "price", "bytes", "memory", "loss")
"""Aims that are sums over blocks; the throughput is the slowest stage's."""
_UNITS = 2.0**40  # of a criterion's largest sum: whole numbers add up in any order to the same
_MEMORY, _COMPUTING, _PAUSE = "memory of ", "computing of ", "pause"
Goals = Mapping[str, Mapping[str, float]]
"""What a front is of: by name the weights of aims, each one of ``ADDITIVE``, that are added up."""


@dataclass(frozen=True)
class Criteria:
    """C criteria of one route, in whole units: the goals, which make the front, and limits."""

    names: tuple[str, ...]
    is_goal: NDArray[np.bool_]  # [C]
    compared: NDArray[np.bool_]  # [C] what makes one plan better than another; not a range to stay in
    floors: Floats  # [C] the least that a sum may come to, for a range
    rooms: Floats  # [C] the most; infinite without a limit
    blocks: tuple[Floats, ...]  # of each place [n, B, C]
    fixed: Floats  # [K, W, C]
    cuts: tuple[int, ...]  # [K] where the second place begins; n alone where there is one place
    units: Floats  # [C]

    @classmethod
    def of(
        cls, landscape: Landscape, families: Sequence[Family], goals: Goals, wires: Sequence[str], pause: int
    ) -> Criteria | None:
        """Of stages of some families; None where pins leave no way to cut.

        Args:
            pause: which of ``Crossings.pauses`` the messages follow; plans of longer steps are left out.
        """
        frame = _Frame.of(landscape, families, wires, pause)
        if frame is None:
            return None
        terms = frame.terms(goals)
        names = tuple(sorted(terms, key=lambda name: name == "loss"))  # which differs most: last when sorting
        blocks = tuple(np.stack([terms[name].blocks[i] for name in names], -1) for i in range(len(families)))
        fixed = np.stack([terms[name].fixed for name in names], -1)
        units = _units(blocks, fixed)
        floors, rooms = (np.array([getattr(terms[n], end) for n in names]) for end in ("floor", "room"))
        return cls(
            names,
            np.array([name in goals or name in _PHASES for name in names]),
            np.array([name != _PAUSE for name in names]),
            np.floor(floors / units + 0.5),
            np.floor(rooms / units + 0.5),
            tuple(np.rint(block / units) for block in blocks),
            np.rint(fixed / units),
            tuple(frame.cuts[:, 1].tolist()),
            units,
        )


def check_aims(names: Sequence[str]) -> None:
    """Raises ``InputError`` where an aim is no sum over blocks."""
    if strange := sorted(set(names) - set(ADDITIVE)):
        raise InputError(
            f"objective {' and '.join(strange)} does not add up along depth: aim at {', '.join(ADDITIVE)}"
        )


_PHASES = ("prefill", "decode")
"""Criteria in place of all times, where these are no sums: tokens that stream queue on the link."""


@dataclass(frozen=True)
class _Term:
    """One criterion."""

    blocks: tuple[Floats, ...]  # of each place [n, B]
    fixed: Floats  # [K, W]
    room: float = np.inf
    floor: float = -np.inf


@dataclass(frozen=True)
class _Frame:
    """One route with its cuts, and plans that have one width at each place: what constants are taken from."""

    landscape: Landscape
    families: Sequence[Family]
    n_wires: int
    pause: int
    cuts: NDArray[np.int64]  # [K, L + 1]
    plans: Plans  # [K * W]

    @classmethod
    def of(
        cls, landscape: Landscape, families: Sequence[Family], wires: Sequence[str], pause: int
    ) -> _Frame | None:
        cuts = all_cuts(Route(tuple(family.place for family in families)), landscape.problem.model.n_blocks)
        plans = _uniform(landscape, families, cuts, wires[:1], pause)
        pins = [bound for bound in bounds_of(landscape.problem, plans) if bound.unit == "pin"]
        cuts = cuts[np.all([bound.excess <= WITHIN for bound in pins], axis=0)] if pins else cuts
        if not len(cuts):
            return None
        plans = _uniform(landscape, families, cuts, wires, pause)
        return cls(landscape, families, len(wires), pause, cuts, plans)

    @cached_property
    def queues(self) -> bool:
        """Whether tokens may be made faster than the link takes them to the user: then times are no sums."""
        problem, family = self.landscape.problem, self.families[0]
        if family.place == problem.user:
            return False
        ends = self.landscape.columns(family.place, family.ends)
        device = problem.devices[family.place]
        fixed_s = ends.overhead_s + ends.embedding_s[1] + ends.head_s
        fixed_s += device.sample_s + device.stream_overhead_s
        least_s = fixed_s + self._block(family, "decode").min(axis=1).sum()
        crossings = self.landscape.crossings(problem.choices.wires[0])  # token ids are not encoded
        return bool(least_s <= crossings.streamed(family.place, problem.user).occupancy_s * (1 + WITHIN))

    def terms(self, goals: Goals) -> dict[str, _Term]:
        """Goals first, then every limit that is no goal."""
        found: dict[str, _Term] = {}
        for name, weights in goals.items():
            found |= self._goal(name, weights)
        for bound in bounds_of(self.landscape.problem, self.plans):
            if bound.unit != "pin" and not (self.queues and self._is_timed(bound.name)):
                found[bound.name] = self._limit(bound)
        if len(self.families) > 1:
            pauses = (-np.inf, *self.landscape.crossings(self.plans.wires[0]).pauses)
            found[_PAUSE] = replace(
                self._term(self._blocks("tpot"), self.plans.numbers["tpot"], pauses[self.pause + 1]),
                floor=pauses[self.pause],
            )
        return found

    def _goal(self, name: str, weights: Mapping[str, float]) -> dict[str, _Term]:
        found = {} if not self.queues else {n: w for n, w in weights.items() if not self._is_timed(n)}
        if self.queues and len(found) < len(weights):
            nothing = np.zeros((len(self.cuts), self.n_wires))
            phases = {phase: _Term(self._blocks(phase), nothing) for phase in _PHASES}
            return phases | (self._goal(name, found) if found else {})
        values = np.sum([weight * self.plans.numbers[aim] for aim, weight in weights.items()], axis=0)
        parts = [[weight * block for block in self._blocks(aim)] for aim, weight in weights.items()]
        blocks = tuple(np.sum(part, axis=0) for part in zip(*parts, strict=True))
        return {name: self._term(blocks, values)}

    def _limit(self, bound: Bound) -> _Term:
        room = bound.allowed * (1 + WITHIN)
        scale = {"battery": self.landscape.problem.limits.requests_per_month or 0.0}.get(bound.name, 1.0)
        name = {"battery": "edge_energy", "data a month": "bytes"}.get(bound.name, bound.name)
        blocks = tuple(scale * block for block in self._blocks(name))
        return self._term(blocks, bound.needed, room)

    def _term(self, blocks: tuple[Floats, ...], values: Floats, room: float = np.inf) -> _Term:
        """Constants are what is left of plans of one width when their blocks are taken away."""
        fixed = np.array(values, dtype=float).reshape(len(self.cuts), self.n_wires)
        for i, (family, block) in enumerate(zip(self.families, blocks, strict=True)):
            sums = np.concatenate([[0.0], np.cumsum(self._own_row(family, block))])
            fixed = fixed - (sums[self.cuts[:, i + 1]] - sums[self.cuts[:, i]])[:, None]
        return _Term(blocks, fixed, room)

    def _own_row(self, family: Family, block: Floats) -> Floats:
        return block[:, family.widths.index(family.ends)]

    def _is_timed(self, name: str) -> bool:
        return name in ("total", "ttft", "tpot", "edge_energy", "price", "battery")

    def _blocks(self, name: str) -> tuple[Floats, ...]:
        """What each block of each place adds to a criterion, by width: [n, B]."""
        return tuple(self._block(family, name) for family in self.families)

    def _block(self, family: Family, name: str) -> Floats:
        place, problem = family.place, self.landscape.problem
        if name == "loss":
            assert problem.losses is not None
            return np.stack([np.array(problem.losses.block(b)) for b in family.widths], -1)
        columns = [self.landscape.columns(place, b) for b in family.widths]
        if name == _MEMORY + place or (name == "memory" and place == problem.user):
            return np.stack([column.held_bytes for column in columns], -1)
        a, b = self._rates(name).get(place, (0.0, 0.0))
        return np.stack([a * column.prefill_s + b * column.decode_s for column in columns], -1)

    def _rates(self, name: str) -> Mapping[str, tuple[float, float]]:
        """What a second of prefill and one of a decode step add, by place."""
        problem, places = self.landscape.problem, [family.place for family in self.families]
        steps = float(problem.request.new_tokens - 1)
        user, tokens = problem.devices[problem.user], problem.request.batch * problem.request.new_tokens
        everywhere = {"total": (1.0, steps), "ttft": (1.0, 0.0), "tpot": (0.0, min(steps, 1.0))}
        everywhere |= {"prefill": (1.0, 0.0), "decode": (0.0, min(steps, 1.0))}
        if name in everywhere:
            return dict.fromkeys(places, everywhere[name])
        if name.startswith(_COMPUTING):
            return {name.removeprefix(_COMPUTING): (1.0, steps)}
        of_busy: Mapping[str, float] = {}
        if name == "edge_energy":
            of_busy = {place: user.active_w if place == problem.user else user.idle_w for place in places}
        if name == "price":
            of_busy = {place: price / 3600 / tokens for place, price in problem.prices.per_hour.items()}
        return {place: (each, each * steps) for place, each in of_busy.items()}


def _uniform(
    landscape: Landscape,
    families: Sequence[Family],
    cuts: NDArray[np.int64],
    wires: Sequence[str],
    pause: int,
) -> Plans:
    """Every cut with every codec [K * W], each block at the width of its place's ends."""
    cut, wire = (axis.ravel() for axis in np.indices((len(cuts), len(wires))))
    blocks = np.arange(landscape.problem.model.n_blocks)
    second = np.array(families[-1].ends, dtype=np.uint8)
    widths = np.where(blocks < cuts[cut, 1, None], np.uint8(families[0].ends), second)
    return mixed_plans(landscape, families, cuts[cut], widths, wires, wire, pause)


def _units(blocks: Sequence[Floats], fixed: Floats) -> Floats:
    """Of each criterion, so that no sum is more than ``_UNITS`` of them: [C]."""
    most = sum(np.abs(block).max(axis=1).sum(axis=0) for block in blocks) + np.abs(fixed).max(axis=(0, 1))
    return np.where(most > 0, most, 1.0) / _UNITS
