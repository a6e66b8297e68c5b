"""What it takes to go from one plan to another while a conversation goes on.

Weights that a device does not hold yet are loaded; then keys and values of blocks that changed their place
are sent after them, or made again by a prefill of the context through the new plan, whichever is sooner.
Service stands still meanwhile: nothing is loaded in the background. Block ranges are half-open, as
everywhere.

P plans.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from workbench.cost import Floats, predict, weight_bytes
from workbench.cost.memory import activation_bits, head_bytes
from workbench.errors import InputError, PlanError, UnknownNameError
from workbench.plan import Plan, Stage
from workbench.planner.problem import Problem
from workbench.planner.quantity import quantity
from workbench.profiles import Direction, LinkProfile, ModelProfile

__all__ = ["STORAGE_BYTES_PER_S", "MoveCost", "MoveTable", "Moving", "move_cost"]

STORAGE_BYTES_PER_S = 2.1e9
"""Published: sequential reading of UFS 3.1, the storage of phones since 2020 (Samsung's eUFS 3.1, told by
https://liliputing.com/2020/03/samsungs-ufs-3-1-storage-brings-ssd-speeds-to-smartphones.html, which also has
0.25 GB/s for eMMC 5.1). Assumed of every device that ``Moving`` says nothing else of."""

_Hop = tuple[int, Direction]
_Item = tuple[object, ...]


@dataclass(frozen=True)
class Moving:
    """How weights and caches get to where they are wanted."""

    context_tokens: int = 0  # per sequence, in the caches when the plan changes
    storage_bytes_per_s: Mapping[str, float] = field(
        default_factory=dict
    )  # by place; STORAGE_BYTES_PER_S elsewhere
    over_link: frozenset[str] = (
        frozenset()
    )  # places that fetch weights from the user's end, the user from the other
    resident: frozenset[str] = frozenset()  # places that hold the whole model at every width, always
    free: bool = False  # nothing takes any time: what a move's cost is compared with

    def __post_init__(self) -> None:
        if not isinstance(self.context_tokens, int) or self.context_tokens < 0:
            raise InputError(f"context_tokens is a whole number, not negative: got {self.context_tokens!r}")
        for place, rate in self.storage_bytes_per_s.items():
            if not 0 < rate < math.inf:
                raise InputError(f"storage of {place!r} is read at a rate above 0 B/s, got {rate}")

    def check(self, problem: Problem) -> None:
        """Raises ``UnknownNameError`` where a place is none of the problem's."""
        for place in (*self.storage_bytes_per_s, *self.over_link, *self.resident):
            if place not in problem.devices:
                raise UnknownNameError("place", place, problem.devices)


@dataclass(frozen=True)
class MoveCost:
    """What one move takes, modelled."""

    seconds: float  # in all, one after the other
    load_s: float  # until every device has its weights; devices load at the same time
    cache_s: float  # until keys and values are in place
    loaded_bytes: Mapping[str, int]  # weights, by place
    link_bytes: float  # weights and caches that cross a link
    cache: str  # "none", "sent" or "rebuilt"
    why: str


def move_cost(problem: Problem, old: Plan, new: Plan, moving: Moving | int = 0) -> MoveCost:
    """What going from one plan to another takes over the problem's links.

    Args:
        moving: how weights and caches move, or only the tokens of context that the caches hold.

    Raises:
        PlanError: a plan is of another model, or has a place without a device.
        UnknownNameError: ``moving`` names a place that the problem has not.
        PromptError: the context is longer than the model's positions.
    """
    how = Moving(context_tokens=moving) if isinstance(moving, int) else moving
    table = MoveTable.of(problem, (old, new), how)
    rebuilt_s = _prefill_s(problem, new, how.context_tokens)
    load_s = float(table.load_s(problem.links)[0, 1])
    both_s = table.seconds(problem.links, np.array([0.0, rebuilt_s]), np.zeros(2))
    cache_s = float(both_s[0, 1]) - load_s
    held = _cache_fate(table, cache_s, rebuilt_s)
    loaded = {place: int(n_bytes[0, 1]) for place, n_bytes in table.loaded_bytes.items() if n_bytes[0, 1]}
    link_bytes = float(sum(n[0, 1] for n in table.fetched_bytes.values()))
    link_bytes += float(sum(n[0, 1] for n in table.cached_bytes.values())) if held == "sent" else 0.0
    why = _why(loaded, load_s, held, cache_s, how)
    return MoveCost(float(both_s[0, 1]), load_s, cache_s, loaded, link_bytes, held, why)


@dataclass(frozen=True)
class MoveTable:
    """What moves between each two of P plans: old plans in rows, new ones in columns."""

    moving: Moving
    loaded_bytes: Mapping[str, Floats]  # [P, P] by place, from its own storage or over links
    fetched_bytes: Mapping[_Hop, Floats]  # [P, P] of these, what crosses a link
    cached_bytes: Mapping[_Hop, Floats]  # [P, P] of keys and values, if they are sent
    changes_cache: (
        Floats  # [P, P] 1 where some block's keys and values are not where, or not what, they have to be
    )
    is_stale: Floats  # [P, P] 1 where some were made by other weights: they cannot be sent

    @classmethod
    def of(cls, problem: Problem, plans: Sequence[Plan], moving: Moving) -> MoveTable:
        """Compare each with each.

        Raises:
            PlanError, UnknownNameError: as ``move_cost``.
        """
        moving.check(problem)
        views = [_View.of(problem, plan) for plan in plans]
        loaded = {
            place: _pairs(views, partial(_missing_bytes, place)) * (place not in moving.resident)
            for place in problem.devices
        }
        has_cache = moving.context_tokens > 0
        return cls(
            moving,
            loaded,
            _fetched(problem, moving, loaded),
            _cached(problem, moving, views),
            _pairs(views, lambda old, new: old.caches != new.caches) * has_cache,
            _pairs(views, lambda old, new: old.weights != new.weights) * has_cache,
        )

    def load_s(self, links: Sequence[LinkProfile], late_s: float = 0.0) -> Floats:
        """Until every device has its weights, [P, P]: side by side; links are up after ``late_s``."""
        stored_s = [
            n / self.moving.storage_bytes_per_s.get(place, STORAGE_BYTES_PER_S)
            for place, n in self.loaded_bytes.items()
            if place not in self.moving.over_link
        ]
        fetched_s = self._crossing_s(self.fetched_bytes, links)
        fetched_s = np.where(fetched_s > 0, late_s + fetched_s, 0.0)
        return np.max([fetched_s, *stored_s], axis=0) * (not self.moving.free)

    def seconds(
        self, links: Sequence[LinkProfile], rebuilt_s: Floats, uses_link: Floats, late_s: float = 0.0
    ) -> Floats:
        """What each move takes, [P, P].

        Args:
            rebuilt_s: of a prefill of the context by each new plan, [P].
            uses_link: whether that prefill needs the user's link, [P].
            late_s: until that link is up.
        """
        if self.moving.free:
            return np.zeros_like(self.is_stale)
        load_s = self.load_s(links, late_s)
        rebuilt_s = np.maximum(load_s, np.where(uses_link, late_s, 0.0)) + rebuilt_s
        sent_s = np.maximum(load_s, late_s) + self._crossing_s(self.cached_bytes, links)
        cached_s = np.where(self.is_stale > 0, rebuilt_s, np.minimum(rebuilt_s, sent_s))
        return np.where(self.changes_cache > 0, cached_s, load_s)

    def _crossing_s(self, n_bytes: Mapping[_Hop, Floats], links: Sequence[LinkProfile]) -> Floats:
        """One large transfer after the other, each at its link's own rate.

        Slow start and loss, which only make them longer, are left out.
        """
        total_s = np.zeros_like(self.is_stale)
        for (index, direction), n in n_bytes.items():
            way = links[index].way(direction)
            total_s += np.where(n > 0, way.delay_s + n * 8 / way.rate_bps, 0.0)
        return total_s


@dataclass(frozen=True)
class _View:
    """One plan as what each place holds."""

    items: Mapping[str, Mapping[_Item, float]]  # by place: bytes of each thing it holds
    weights: tuple[int, ...]  # widths of embedding and blocks: a cache depends on all of them below it
    caches: tuple[
        tuple[str, int, int], ...
    ]  # by block: where, made by weights of which width, bytes a number

    @classmethod
    def of(cls, problem: Problem, plan: Plan) -> _View:
        model, partition = problem.model, plan.partition
        if partition.n_blocks != model.n_blocks:
            raise PlanError(f"the plan cuts {partition.n_blocks} blocks, {model.name!r} has {model.n_blocks}")
        if strange := [place for place in partition.places if place not in problem.devices]:
            raise PlanError(f"no device for {strange}: the problem has {list(problem.devices)}")
        items: dict[str, dict[_Item, float]] = {}
        for stage in partition.stages:
            items.setdefault(stage.place, {}).update(_items(model, stage))
        caches = [
            (stage.place, bits, activation_bits(stage.bits) // 8)
            for stage in partition.stages
            for bits in stage.widths
        ]
        weights = (activation_bits(partition.stages[0].bits), *(bits for _, bits, _ in caches))
        return cls(items, weights, tuple(caches))


def _pairs(views: Sequence[_View], of: Callable[[_View, _View], float]) -> Floats:
    """[P, P], old plans in rows."""
    return np.array([[of(old, new) for new in views] for old in views], dtype=float)


def _missing_bytes(place: str, old: _View, new: _View) -> float:
    """Of what a place has to hold, what it did not under the old plan."""
    held = old.items.get(place, {})
    return sum(n for item, n in new.items.get(place, {}).items() if item not in held)


def _items(model: ModelProfile, stage: Stage) -> dict[_Item, float]:
    """Bytes of each thing that a stage holds; a tied embedding and head are one thing, where they overlap."""
    found: dict[_Item, float] = {
        ("block", b, bits): weight_bytes(model.block_params[b], model.block_quantizable[b], bits)
        for b, bits in enumerate(stage.widths, stage.start)
    }
    width = activation_bits(stage.bits)
    ends = {"embedding": model.embedding_params * width // 8, "head": head_bytes(model, stage.bits)}
    both = min(ends.values()) if model.tied else 0
    for name, n_bytes in ends.items():
        if getattr(stage, name):
            found |= {(name, width): n_bytes - both, ("tied", width): both}
    return found


def _fetched(problem: Problem, moving: Moving, loaded: Mapping[str, Floats]) -> dict[_Hop, Floats]:
    """Weights that come over links: to the user from the far end, to everybody else from the user."""
    chain, found = problem.chain, dict[_Hop, Floats]()
    for place in moving.over_link:
        source = chain.places[-1] if place == chain.user else chain.user
        for hop in chain.hops(source, place):
            found[hop] = found.get(hop, 0.0) + loaded[place]
    return found


def _cached(problem: Problem, moving: Moving, views: Sequence[_View]) -> dict[_Hop, Floats]:
    """Keys and values that would cross each link."""
    chain, places = problem.chain, problem.chain.places
    sizes = _cache_elements(problem, moving.context_tokens)
    routes = {(a, b): chain.hops(a, b) for a in places for b in places}

    def crossing(hop: _Hop, old: _View, new: _View) -> float:
        pairs = zip(sizes, old.caches, new.caches, strict=True)
        return sum(n * was[2] for n, was, now in pairs if hop in routes[was[0], now[0]])

    hops = (*routes[places[0], places[-1]], *routes[places[-1], places[0]])
    return {hop: _pairs(views, partial(crossing, hop)) for hop in hops}


def _cache_elements(problem: Problem, context: int) -> list[int]:
    """Numbers in each block's cache."""
    model, batch = problem.model, problem.request.batch
    seen = [min(context, window or context) for window in model.window]
    return [n * positions * batch for n, positions in zip(model.kv_elements, seen, strict=True)]


def _prefill_s(problem: Problem, plan: Plan, context: int) -> float:
    """The context through the whole plan once, up to the next token at the user's."""
    if not context:
        return 0.0
    found = predict(
        plan,
        problem.model,
        problem.devices,
        problem.links,
        prompt_tokens=context,
        new_tokens=1,
        batch=problem.request.batch,
        link_kind=problem.link_kind,
        must_fit=False,
    )
    return found.ttft_s


def _cache_fate(table: MoveTable, cache_s: float, rebuilt_s: float) -> str:
    if not table.changes_cache[0, 1]:
        return "none"
    return "rebuilt" if table.is_stale[0, 1] or cache_s >= rebuilt_s * (1 - 1e-9) else "sent"


def _why(loaded: Mapping[str, int], load_s: float, held: str, cache_s: float, moving: Moving) -> str:
    parts = [f"{place} loads {quantity(n, 'B')}" for place, n in loaded.items()]
    weights = (
        f"{' and '.join(parts)} of weights in {quantity(load_s, 's')}" if parts else "no weights to load"
    )
    context = f"caches of {moving.context_tokens} tokens"
    cache = {
        "none": "no cache to move",
        "sent": f"{context} are sent",
        "rebuilt": f"{context} are made again",
    }[held]
    return f"{weights}; {cache}" + (f" in {quantity(cache_s, 's')}" if held != "none" else "")
