"""The plans that an online policy moves between, and what each takes under any condition.

Of every way to cut, the bits and codec that are best over the conditions; and whatever is best in any of
them. What a device computes does not depend on the link, so that it is computed once; a load of factor f
adds (f - 1) times what a place computes in the request.

P plans.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from workbench.cost import Floats
from workbench.errors import InfeasibleError, InputError
from workbench.links.traces import LinkStep
from workbench.plan import Plan
from workbench.planner.landscape import Landscape, Plans
from workbench.planner.limits import bounds_of, excess_of
from workbench.planner.moving import MoveTable, Moving
from workbench.planner.online.observing import Observation
from workbench.planner.problem import Problem
from workbench.planner.routes import Route, partition_along
from workbench.profiles import LinkProfile

__all__ = ["Candidates", "Conditions", "observed"]

_MOST_SAMPLES = 24  # of the conditions that plans are chosen for


@dataclass(frozen=True)
class Conditions:
    """What holds for a while: the user's link, and how loaded the devices are."""

    link: LinkProfile
    link_up: bool = True
    load: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two of them alike."""
        link = self.link
        return link.uplink_bps, link.downlink_bps, link.rtt_s, link.loss


def observed(base: LinkProfile, seen: Observation) -> Conditions:
    """Conditions as they seem; what cannot be seen, such as loss, is as the profile has it."""
    step = LinkStep(0.0, seen.uplink_bps, seen.downlink_bps, seen.rtt_s)
    return Conditions(step.over(base), seen.link_up, seen.load)


class Candidates:
    """A few plans of one problem, asked again and again."""

    def __init__(
        self,
        problem: Problem,
        conditions: Sequence[Conditions],
        moving: Moving | None = None,
        *,
        most: int = 48,
    ) -> None:
        """Choose them.

        Args:
            conditions: under which they are to be good.
            most: plans to keep.

        Raises:
            InputError: the problem's aim is not the total time alone, or there is no link or condition.
            InfeasibleError: no plan keeps the limits that do not depend on the link.
        """
        _check(problem, conditions)
        self.problem, self.moving = problem, moving or Moving()
        self._asking = _Asking(problem)
        context = self.moving.context_tokens
        request = replace(problem.request, prompt_tokens=max(1, context), new_tokens=1)
        self._refilling = _Asking(problem.with_(request=request, limits=type(problem.limits)()))
        self._groups = _chosen(self._asking, _spread(conditions), most)
        self.plans: tuple[Plan, ...] = tuple(
            p for group in self._groups for p in group.plans(problem.model.name)
        )
        self.uses_link = np.array([set(plan.partition.places) != {problem.user} for plan in self.plans])

    def __len__(self) -> int:
        return len(self.plans)

    def index(self, plan: Plan) -> int:
        """Which of them a plan is.

        Raises:
            InputError: none.
        """
        for i, known in enumerate(self.plans):
            if known is plan or known == plan:
                return i
        raise InputError(f"{plan} is none of the {len(self)} plans that were to choose from")

    def seconds(self, conditions: Conditions) -> Floats:
        """Of one request by each plan, [P]; infinite where a plan needs a link that is down."""
        found = self._asking.total_s(self._groups, conditions)
        return found if conditions.link_up else np.where(self.uses_link, np.inf, found)

    @cached_property
    def table(self) -> MoveTable:
        """What moves between each two."""
        return MoveTable.of(self.problem, self.plans, self.moving)

    def move_s(self, conditions: Conditions, wait_s: float = 0.0) -> Floats:
        """From each plan to each other, [P, P]; what needs a link that is down never gets there.

        Args:
            wait_s: until the link is up; the conditions are those of that moment.
        """
        late_s = wait_s if conditions.link_up else np.inf
        links = (conditions.link, *self.problem.links[1:])
        rebuilt_s = np.zeros(len(self))
        if self.moving.context_tokens and not self.moving.free:
            rebuilt_s = self._refilling.total_s(self._groups, conditions)
        return self.table.seconds(links, rebuilt_s, self.uses_link, late_s)


@dataclass(frozen=True)
class _Group:
    """Some of the candidates: cuts of one route with the same bits and codec."""

    route: Route
    cuts: NDArray[np.int64]  # [., L + 1]
    bits: Mapping[str, int]  # by place
    wire: str

    def ask(self, landscape: Landscape) -> Plans:
        widths = {place: (bits,) for place, bits in self.bits.items()}
        return landscape.along(self.route, self.cuts, widths, (self.wire,))

    def plans(self, model: str) -> list[Plan]:
        return [
            Plan.of(model, partition_along(self.route, cuts.tolist(), self.bits), self.wire)
            for cuts in self.cuts
        ]


class _Asking:
    """One problem under changing conditions, each asked once."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self._landscape = problem, Landscape(problem)
        self._known: dict[tuple[object, ...], tuple[Floats, Mapping[str, Floats]]] = {}

    def landscape(self, conditions: Conditions) -> Landscape:
        links = (conditions.link, *self.problem.links[1:])
        return self._landscape.over(self.problem.with_(links=links))

    def total_s(self, groups: Sequence[_Group], conditions: Conditions) -> Floats:
        """Seconds of a request, [P]."""
        if conditions.key not in self._known:
            self._known[conditions.key] = self._ask(groups, self.landscape(conditions))
        total_s, busy_s = self._known[conditions.key]
        return _loaded(total_s, busy_s, conditions.load)

    def _ask(self, groups: Sequence[_Group], landscape: Landscape) -> tuple[Floats, Mapping[str, Floats]]:
        found = [group.ask(landscape) for group in groups]
        busy_s = {
            place: np.concatenate([plans.busy_s.get(place, np.zeros(len(plans))) for plans in found])
            for place in self.problem.devices
        }
        return np.concatenate([plans.numbers["total"] for plans in found]), busy_s


def _loaded(total_s: Floats, busy_s: Mapping[str, Floats], load: Mapping[str, float]) -> Floats:
    extra: Floats = np.zeros_like(total_s)
    for place, factor in load.items():
        if place in busy_s:
            extra = extra + (factor - 1.0) * busy_s[place]
    return total_s + extra


def _check(problem: Problem, conditions: Sequence[Conditions]) -> None:
    if set(problem.aims) != {"total"}:
        raise InputError(
            f"moving online saves seconds: the aim has to be the total alone, not {sorted(problem.aims)}"
        )
    if not problem.links:
        raise InputError(
            "with one device there is no link to watch and nothing to move: give two devices or more"
        )
    if not conditions:
        raise InputError("give at least one condition to choose plans for")


def _spread(conditions: Sequence[Conditions]) -> list[Conditions]:
    """A few that stand for all: evenly along sorted uplinks, round trips and loads."""
    found: dict[tuple[object, ...], Conditions] = {}
    for of in (
        lambda c: c.link.uplink_bps,
        lambda c: c.link.rtt_s,
        lambda c: max(c.load.values(), default=1.0),
    ):
        ordered = sorted(conditions, key=of)
        for i in np.linspace(0, len(ordered) - 1, _MOST_SAMPLES // 3).round().astype(int):
            found[(*ordered[i].key, *sorted(ordered[i].load.items()))] = ordered[i]
    return list(found.values())


def _chosen(asking: _Asking, conditions: Sequence[Conditions], most: int) -> list[_Group]:
    """The plans that are kept, of all there are."""
    first = list(asking.landscape(conditions[0]).plans())
    fits = np.concatenate([_fits(asking.problem, plans) for plans in first])
    if not fits.any():
        raise InfeasibleError(
            f"no plan of {asking.problem.model.name!r} keeps the limits that hold on any link: let the "
            "exhaustive planner say which binds"
        )
    rows = [[_totals_s(plans, c) for plans in asking.landscape(c).plans()] for c in conditions]
    table = np.stack([np.concatenate(row) for row in rows])  # [conditions, all plans]
    table[:, ~fits] = np.inf
    return list(_groups(first, _kept(first, table, most)))


def _totals_s(plans: Plans, conditions: Conditions) -> Floats:
    return _loaded(plans.numbers["total"], plans.busy_s, conditions.load)


def _fits(problem: Problem, plans: Plans) -> NDArray[np.bool_]:
    """Whether each plan keeps what does not depend on the link's condition: all limits but those of times."""
    lasting = replace(problem.limits, ttft_s=None, tpot_s=None, total_s=None)
    return excess_of(bounds_of(problem.with_(limits=lasting), plans)) <= 0


def _kept(batches: Sequence[Plans], table: Floats, most: int) -> NDArray[np.bool_]:
    """What is best in any condition, unsplit plans, and then the best on average; of each cut one."""
    mean_s = table.mean(axis=0)
    cuts = [(plans.route, *map(int, row)) for plans in batches for row in plans.cuts]
    best: dict[tuple[object, ...], int] = {}
    for i in np.argsort(mean_s, kind="stable"):
        if np.isfinite(mean_s[i]):
            best.setdefault(cuts[i], int(i))
    unsplit = [i for (route, *_), i in best.items() if len(route.places) == 1]  # type: ignore[attr-defined]
    wanted = [*np.argmin(table, axis=1), *unsplit, *best.values()]
    kept = np.zeros(table.shape[1], dtype=bool)
    kept[list(dict.fromkeys(map(int, wanted)))[:most]] = True
    return kept


def _groups(batches: Sequence[Plans], kept: NDArray[np.bool_]) -> Iterator[_Group]:
    start = 0
    for plans in batches:
        index = np.flatnonzero(kept[start : start + len(plans)])
        keys = np.stack([*(plans.bits[place][index] for place in plans.route.distinct), plans.wire[index]])
        for key in np.unique(keys, axis=1).T:
            own = index[(keys == key[:, None]).all(axis=0)]
            bits = dict(zip(plans.route.distinct, map(int, key[:-1]), strict=True))
            yield _Group(plans.route, plans.cuts[own], bits, plans.wires[int(key[-1])])
        start += len(plans)
