"""Dynamic programming for chains of any number of devices: exact for latency and for a pipeline's throughput.

A pass over a route costs what its stages and the messages between them cost: sums for latency, the largest
for throughput. So the cheapest way to bring blocks [0, j) to the first p places needs only the cheapest
ways to bring [0, i) to the first p - 1 (the principle of optimality; for inference on chains of devices see
Zhang et al., "EdgeShard", IEEE IoT Journal 2024). Places may stay without a block; a device's memory,
pinned blocks and seconds of computing are limits of single stages, and so within the same sum.

n blocks, L places of a route; cuts count 0 to n.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from workbench.cost import Floats
from workbench.errors import InputError
from workbench.planner.answer import Answer
from workbench.planner.crossings import Message
from workbench.planner.landscape import Landscape, Plans
from workbench.planner.limits import offline_exit
from workbench.planner.problem import Limits, Problem
from workbench.planner.routes import Route, all_cuts, routes_of
from workbench.planner.score import TIMES, Score
from workbench.planner.search import Search

__all__ = ["Chains"]

_Cheapest: TypeAlias = tuple[Floats, NDArray[np.int64]]
"""What each run of blocks costs a place, and its choice of bits."""
_Key: TypeAlias = tuple[str, bool, bool]
"""A place, and whether it begins and whether it ends a route."""
_Way: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""Cuts, and each stage's choice of bits."""
_ROUNDING = 1e-9
_OF_STAGES = (
    "memory_bytes",
    "busy_s",
    "offline_quality",
    "requests_per_month",
)  # limits within a stage's sum


@dataclass(frozen=True)
class Chains:
    """Exact for every chain, in time that grows with the devices and the square of the blocks."""

    name: str = field(default="chains", init=False)

    def plan(self, problem: Problem) -> Answer:
        """The best plan and both baselines.

        Raises:
            InfeasibleError: no plan keeps every limit.
            InputError: a limit or an aim that does not add up along a chain: the exhaustive planner has them.
        """
        _check(problem)
        tables = _Tables(Landscape(problem))
        search = Search(problem, _unsplit(tables.landscape))
        for route in routes_of(problem.chain.places, u_shaped=False):
            if len(route.places) > 1 and _may_be(problem, route):
                for wire in problem.choices.wires:
                    for plans in _best_along(tables, search.score, route, wire):
                        search.look(plans)
        if not search.n_feasible:
            _note_splits(tables.landscape, search)
        return search.answer(self.name)


def _check(problem: Problem) -> None:
    aims = {name for name, weight in problem.aims.items() if weight}
    if aims - set(TIMES) and aims != {"throughput"}:
        raise InputError(
            f"objective {' and '.join(sorted(aims))} does not add up along a chain: aim at "
            f"{', '.join(TIMES)}, or at throughput alone, or use the exhaustive planner"
        )
    usual = Limits()
    beyond = [
        name
        for name in Limits.__dataclass_fields__
        if name not in _OF_STAGES and getattr(problem.limits, name) != getattr(usual, name)
    ]
    if beyond or problem.front or problem.choices.u_shaped:
        what = [*(f"limit {name}" for name in beyond), *["a front"] * bool(problem.front)]
        what += ["a U-shape"] * problem.choices.u_shaped
        raise InputError(f"{', '.join(what)} is beyond dynamic programming: use the exhaustive planner")


def _unsplit(landscape: Landscape) -> list[Plans]:
    choices, n = landscape.problem.choices, landscape.problem.model.n_blocks
    return [
        landscape.along(Route((p,)), np.array([[0, n]]), {p: choices.bits_of(p)}, choices.wires[:1])
        for p in landscape.problem.chain.places
    ]


def _may_be(problem: Problem, route: Route) -> bool:
    """Whether pins and the offline exit leave this route open."""
    ends = {"embedding": route.places[0], "head": route.places[-1]}
    for pin in problem.pins:
        if (
            pin.part == "everything"
            or ends.get(pin.part, pin.place) != pin.place
            or pin.place not in route.places
        ):
            return False
    wanted = problem.limits.offline_quality is not None
    return not wanted or (offline_exit(problem) is not None and route.places[0] == problem.user)


def _note_splits(landscape: Landscape, search: Search) -> None:
    """Where nothing keeps the limits, what plans of two neighbours lack: enough to say why."""
    problem = landscape.problem
    for route in routes_of(problem.chain.places, u_shaped=False):
        if len(route.places) == 2:
            bits = {place: problem.choices.bits_of(place) for place in route.places}
            cuts = all_cuts(route, problem.model.n_blocks)
            search.look(landscape.along(route, cuts, bits, problem.choices.wires))


def _best_along(tables: _Tables, score: Score, route: Route, wire: str) -> Iterator[Plans]:
    """The best plan along a route, if any keeps the limits.

    A decode step is a sum but for two things that depend on how long it is: large messages take longer after
    a long pause, and tokens that stream to the user wait for one another. So the sum is minimised for each
    length of pause, the shortest first, until it is no less than the best that was found; where the plan that
    comes out takes longer than its sum says, all plans are looked at that no other beats in both prefill and
    decode.
    """
    weights = score.time_weights(tables.landscape.problem.request.new_tokens - 1)
    for pause in range(tables.n_pauses(wire) if weights else 1):
        way = _least(tables, route, wire, weights, pause)
        if way is None:
            return
        told = _told(tables, score, route, wire, way, pause) if weights else -np.inf
        if told >= tables.least * (1 - _ROUNDING):
            return  # longer pauses cost no less
        plans = tables.noted(tables.plans(route, wire, [way]), score)
        yield plans
        found = float(score.of(plans.numbers)[0])
        if weights and found > told * (1 + _ROUNDING) and _can_be(tables, route, wire, pause):
            for others in _fronts(tables, route, wire, pause):
                yield tables.noted(others, score)


def _least(
    tables: _Tables, route: Route, wire: str, weights: tuple[float, float] | None, pause: int
) -> _Way | None:
    """The way with the least sum, or the least largest term for throughput; None where nothing is allowed."""
    messages = tables.messages(route, wire)
    join: Callable[[Floats, Floats], Floats] = np.maximum if weights is None else np.add
    if weights is None:
        sends = [np.asarray(m.occupancy_s) for m in messages]
    else:
        sends = [weights[0] * m.prefill_s + weights[1] * m.decode_s[pause] for m in messages]
    return _shortest([tables.cheapest(route, i, weights) for i in range(len(route.places))], sends, join)


def _can_be(tables: _Tables, route: Route, wire: str, pause: int) -> bool:
    """Whether any plan's decode step is as short as the pause that it is computed for."""
    way = _least(tables, route, wire, (0.0, 1.0), pause)
    end_s = tables.landscape.crossings(wire).pauses[pause]
    return way is not None and _sums(tables, route, wire, way, pause)[1] <= end_s


def _told(tables: _Tables, score: Score, route: Route, wire: str, way: _Way, pause: int) -> float:
    """The score of a way by its sums alone."""
    prefill_s, decode_s = _sums(tables, route, wire, way, pause)
    total_s = prefill_s + (tables.landscape.problem.request.new_tokens - 1) * decode_s
    columns = {"ttft": prefill_s, "tpot": decode_s, "total": total_s}
    return float(score.of({name: np.array(seconds) for name, seconds in columns.items()}))


def _sums(tables: _Tables, route: Route, wire: str, way: _Way, pause: int) -> tuple[float, float]:
    """Seconds of a way's prefill and of its decode step, if pauses were of this length."""
    problem, crossings = tables.landscape.problem, tables.landscape.crossings(wire)
    cuts, widths = way
    prefill_s, decode_s = tables.landscape.problem.begin_s, 0.0
    for i, (width, (start, stop)) in enumerate(zip(widths, pairwise(cuts), strict=True)):
        stage = tables.stage(route, i)
        prefill_s += stage.prefill_s[width, start, stop]
        decode_s += stage.decode_s[width, start, stop]
    for message, cut in zip(tables.messages(route, wire), cuts[1:-1], strict=True):
        prefill_s += np.asarray(message.prefill_s)[cut]
        decode_s += message.decode_s[pause, cut]
    first, user = route.places[0], problem.user
    back = crossings.tokens(route.places[-1], first)
    if first != user:
        prefill_s += float(crossings.prompt(user, first).prefill_s)
        prefill_s += float(crossings.streamed(first, user).prefill_s)
    return float(prefill_s + back.prefill_s), float(decode_s + back.decode_s[pause])


@dataclass(frozen=True)
class _StageCosts:
    """One place with blocks [i, j): tables [B, n + 1, n + 1], B choices of bits."""

    place: str
    bits: tuple[int, ...]
    prefill_s: Floats
    decode_s: Floats  # of one step
    allowed: NDArray[np.bool_]

    def cheapest(self, weights: tuple[float, float] | None) -> _Cheapest:
        """Over all bits: what each run of blocks costs, and with which bits; infinite where it may not be."""
        a, b = weights or (0.0, 1.0)
        costs = np.where(self.allowed, a * self.prefill_s + b * self.decode_s, np.inf)
        return costs.min(axis=0), costs.argmin(axis=0)


@dataclass
class _Tables:
    """Costs of stages, each computed once: they depend on a place and whether it begins or ends a route."""

    landscape: Landscape
    _stages: dict[_Key, _StageCosts] = field(default_factory=dict)
    _cheapest: dict[tuple[_Key, tuple[float, float] | None], _Cheapest] = field(default_factory=dict)
    least: float = np.inf  # score of the best split so far

    def noted(self, plans: Plans, score: Score) -> Plans:
        """The same plans, the best of which is remembered."""
        self.least = min(self.least, float(score.of(plans.numbers).min()))
        return plans

    def n_pauses(self, wire: str) -> int:
        """How many lengths of pause the messages tell apart."""
        return len(self.landscape.crossings(wire).pauses)

    def messages(self, route: Route, wire: str) -> list[Message]:
        """From each place of a route to the next."""
        crossings = self.landscape.crossings(wire)
        return [crossings.boundary(sender, receiver) for sender, receiver in pairwise(route.places)]

    def plans(self, route: Route, wire: str, ways: Sequence[_Way]) -> Plans:
        """Ways with the same widths, with all that they take."""
        stages = [self.stage(route, i) for i in range(len(route.places))]
        bits = {stage.place: (stage.bits[w],) for stage, w in zip(stages, ways[0][1], strict=True)}
        return self.landscape.along(route, np.array([cuts for cuts, _ in ways]), bits, (wire,))

    def stage(self, route: Route, position: int) -> _StageCosts:
        key = _key(route, position)
        if key not in self._stages:
            bits = self.landscape.problem.choices.bits_of(key[0])
            found = [_seconds(self.landscape, key, b) for b in bits]
            allowed = [_allowed(self.landscape, key, b, *table) for b, table in zip(bits, found, strict=True)]
            prefill_s, decode_s = (np.stack([table[phase] for table in found]) for phase in (0, 1))
            self._stages[key] = _StageCosts(key[0], bits, prefill_s, decode_s, np.stack(allowed))
        return self._stages[key]

    def cheapest(self, route: Route, position: int, weights: tuple[float, float] | None) -> _Cheapest:
        key = _key(route, position), weights
        if key not in self._cheapest:
            self._cheapest[key] = self.stage(route, position).cheapest(weights)
        return self._cheapest[key]


def _key(route: Route, position: int) -> _Key:
    return route.places[position], position == 0, position == len(route.places) - 1


def _seconds(landscape: Landscape, key: _Key, bits: int) -> tuple[Floats, Floats]:
    """Prefill and decode seconds of a place by first and last block, with what it packs and unpacks."""
    problem, (place, first, last) = landscape.problem, key
    columns, device = landscape.columns(place, bits), problem.devices[place]
    n, request = problem.model.n_blocks, problem.request
    elements = np.array(problem.model.boundary_elements, dtype=float) * request.batch
    start, stop = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    present = (stop > start) | first | last
    found = []
    for phase, (column, tokens) in enumerate(
        ((columns.prefill_s, request.prompt_tokens), (columns.decode_s, 1))
    ):
        codec_s = device.encode_s + elements * tokens * device.encode_s_per_element
        seconds = columns.overhead_s + _runs(column)
        seconds = seconds + (0.0 if first else codec_s[:, None]) + (0.0 if last else codec_s[None, :])
        seconds = np.where(present, seconds, 0.0)
        if first:
            seconds = seconds + columns.embedding_s[phase]
            seconds = seconds + (device.stream_overhead_s if phase and place != problem.user else 0.0)
        if last:
            seconds = seconds + columns.head_s + device.sample_s
        found.append(seconds)
    return found[0], found[1]


def _allowed(
    landscape: Landscape, key: _Key, bits: int, prefill_s: Floats, decode_s: Floats
) -> NDArray[np.bool_]:
    """Where a place may have blocks [i, j), by all limits that concern it alone."""
    problem, (place, first, last) = landscape.problem, key
    columns, n = landscape.columns(place, bits), problem.model.n_blocks
    start, stop = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    present = (stop > start) | first | last
    offline = problem.limits.offline_quality is not None and place == problem.user
    spare = columns.head_bytes - columns.shared_bytes if offline and not last else 0
    ends = columns.embedding_bytes * first + columns.head_bytes * last + spare
    received = 0.0 if first else columns.received_bytes[:, None]
    at_ends = max(columns.embedding_alive_bytes * first, columns.head_alive_bytes * last)
    working = np.maximum(columns.alive_bytes, at_ends) + received
    room = min(problem.devices[place].memory_bytes, problem.limits.memory_bytes.get(place, np.inf))
    allowed = (stop >= start) & (
        np.where(present, _runs(columns.held_bytes) + ends + working, 0.0) <= room * (1 + 1e-9)
    )
    if place in problem.limits.busy_s:
        begin_s = problem.begin_s if place == problem.user else 0.0
        busy_s = begin_s + prefill_s + (problem.request.new_tokens - 1) * decode_s
        allowed &= busy_s <= problem.limits.busy_s[place] * (1 + 1e-9)
    for pin in problem.pins:
        if pin.part == "blocks" and pin.place != place:
            allowed &= np.minimum(stop, pin.stop or n) <= np.maximum(start, pin.start)
    if (exit_ := offline_exit(problem)) is not None and place == problem.user:
        allowed &= stop >= exit_.after
    return allowed


def _shortest(
    stages: Sequence[_Cheapest], sends: Sequence[Floats], join: Callable[[Floats, Floats], Floats]
) -> _Way | None:
    """The cheapest cuts and bits; None where nothing is allowed.

    Args:
        sends: by stage but the last, what handing over costs at each split point.
        join: how costs add up: a sum, or the larger.
    """
    reached, behind = stages[0][0][0], []  # [j]: blocks [0, j) are with the first place
    for (costs, _), send in zip(stages[1:], sends, strict=True):
        ways = join(join(reached, send)[:, None], costs)  # [i, j]
        behind.append(ways.argmin(axis=0))
        reached = ways.min(axis=0)
    if not np.isfinite(reached[-1]):
        return None
    cuts = [len(reached) - 1]
    for via in reversed(behind):
        cuts.insert(0, int(via[cuts[0]]))
    cuts.insert(0, 0)
    runs = zip(stages, pairwise(cuts), strict=True)
    return tuple(cuts), tuple(int(widths[i, j]) for (_, widths), (i, j) in runs)


def _fronts(tables: _Tables, route: Route, wire: str, pause: int) -> Iterator[Plans]:
    """Every way that no other beats in both prefill and decode, for one length of pause."""
    messages = tables.messages(route, wire)
    labels: dict[int, list[_Label]] = {0: [_Label(0.0, 0.0, (0,), ())]}
    for p in range(len(route.places)):
        stage, reached = tables.stage(route, p), dict[int, list[_Label]]()
        for i, before in labels.items():
            sent = (messages[p - 1].prefill_s[i], messages[p - 1].decode_s[pause, i]) if p else (0.0, 0.0)  # type: ignore[index]
            for b, j in np.argwhere(stage.allowed[:, i, :]).tolist():
                more = (sent[0] + stage.prefill_s[b, i, j], sent[1] + stage.decode_s[b, i, j])
                reached.setdefault(j, []).extend(label.grown(*more, j, b) for label in before)
        labels = {j: _undominated(found) for j, found in reached.items()}
    ways = [(label.cuts, label.widths) for label in labels.get(tables.landscape.problem.model.n_blocks, [])]
    for widths in dict.fromkeys(w for _, w in ways):
        yield tables.plans(route, wire, [way for way in ways if way[1] == widths])


@dataclass(frozen=True)
class _Label:
    """A way to bring some blocks to some places."""

    prefill_s: float
    decode_s: float
    cuts: tuple[int, ...]
    widths: tuple[int, ...]

    def grown(self, prefill_s: float, decode_s: float, cut: int, width: int) -> _Label:
        cuts, widths = (*self.cuts, cut), (*self.widths, width)
        return _Label(self.prefill_s + prefill_s, self.decode_s + decode_s, cuts, widths)


def _undominated(labels: list[_Label]) -> list[_Label]:
    kept: list[_Label] = []
    for label in sorted(labels, key=lambda it: (it.prefill_s, it.decode_s)):
        if not kept or label.decode_s < kept[-1].decode_s:
            kept.append(label)
    return kept


def _runs(column: Floats) -> Floats:
    """Sums over every run of blocks [i, j), [n + 1, n + 1]."""
    sums = np.concatenate([[0.0], np.cumsum(column)])
    return sums[None, :] - sums[:, None]
