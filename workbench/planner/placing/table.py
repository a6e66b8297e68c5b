"""Every feature with every module: what it takes, how good it is, and what a set of modules holds.

F features, M modules, P pieces of weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from workbench.cost import Floats, Piece, predict, weight_pieces, working_bytes
from workbench.plan import CLOUD, EDGE, Plan
from workbench.planner.limits import WITHIN
from workbench.planner.placing.problem import PLACING_AIMS, Demand, PlacingProblem
from workbench.planner.quantity import quantity
from workbench.trace import BUSY_KINDS, RequestTrace

__all__ = ["EDGE_MEMORY", "Bools", "Ceiling", "Shelf", "Table"]

Bools = NDArray[np.bool_]
EDGE_MEMORY = "memory of edge"


@dataclass(frozen=True)
class Ceiling:
    """A limit on a sum over the features: what each choice adds, and what the sum may be."""

    name: str
    unit: str
    column: Floats  # [F, M]; of what is to be large, the negative
    allowed: float

    @property
    def sign(self) -> float:
        return -1.0 if self.allowed < 0 or self.column.min() < 0 else 1.0

    def excess(self, total: float) -> float:
        """How far a sum is beyond, relative to the limit; 0 within it."""
        over = total - self.allowed
        scale = abs(self.allowed) or 1.0
        return over / scale if over > WITHIN * scale else 0.0

    def said(self, total: float) -> str:
        """What a sum is beside what was asked."""
        is_, asked = (quantity(self.sign * value, self.unit) for value in (total, self.allowed))
        return f"{self.name} is {is_}, asked for {'at least' if self.sign < 0 else 'at most'} {asked}"


@dataclass(frozen=True)
class Shelf:
    """One place's memory."""

    place: str
    name: str  # of the limit
    capacity: float
    pieces: Bools  # [M, P] which each module needs
    n_bytes: Floats  # [P]
    working: Floats  # [F, M] cache and activations of a request
    default_working: float = 0.0  # the same of the default's longest request, where its module is named

    def weights(self, modules: Bools) -> float:
        """Bytes of a set of modules, [M], what they share counted once."""
        return float(np.rint(self.n_bytes[self.pieces[modules].any(axis=0)].sum()))

    def roomy(self, modules: Bools) -> Bools:
        """Which requests have room beside the weights of a set of modules, [F, M]."""
        needed = np.maximum(self.working, self.default_working)
        found: Bools = needed <= self.capacity - self.weights(modules)
        return found


@dataclass(frozen=True)
class Table:
    """All figures of a problem; those of a pair that is no choice are there too, and count nothing."""

    problem: PlacingProblem
    numbers: Mapping[str, Floats]  # by aim, [F, M]
    local: Floats  # [F, M] share of the requests that stay on the edge: 1 or 0, or in between
    choices: Bools  # [F, M] pairs whose quality is known
    shelves: tuple[Shelf, ...]
    loaded: Bools  # [M] what is there in any case

    @classmethod
    def of(cls, problem: PlacingProblem) -> Table:
        """Predict every pair's request; the same module and request once."""
        features, modules = problem.features, problem.modules
        known: dict[tuple[str, int, int], dict[str, float]] = {}
        numbers = {name: np.zeros((len(features), len(modules))) for name in PLACING_AIMS}
        for f, demand in enumerate(problem.demands):
            for m, module in enumerate(modules):
                key = (module, demand.prompt_tokens, demand.new_tokens)
                wanted = (demand.feature, module) in problem.quality or module == problem.default
                if wanted and key not in known:
                    known[key] = _figures(problem, module, demand)
                numbers["quality"][f, m] = problem.quality.get((demand.feature, module), 0.0)
                for name, value in known.get(key, {}).items():
                    numbers[name][f, m] = value
        local = [problem.candidates[module].is_local for module in modules]
        return cls(
            problem,
            numbers,
            np.tile(np.array(local, dtype=float), (len(features), 1)),
            np.array([[(f, m) in problem.quality for m in modules] for f in features]),
            tuple(_shelf(problem, place) for place in (EDGE, CLOUD) if place in problem.devices),
            np.array([module == problem.default for module in modules]),
        )

    @property
    def shares(self) -> Floats:
        """[F, 1]."""
        return np.array(self.problem.shares)[:, None]

    def weighted(self, aim: str) -> Floats:
        """What each pair adds to a mean, [F, M]; less is better."""
        return PLACING_AIMS[aim].sign * self.shares * self.numbers[aim]

    @property
    def ceilings(self) -> tuple[Ceiling, ...]:
        """Every limit on a mean."""
        limits, found = self.problem.limits, []
        if limits.mean_latency_s is not None:
            found.append(Ceiling("mean latency", "s", self.weighted("latency"), limits.mean_latency_s))
        if self.problem.quality_floor > 0:
            found.append(Ceiling("quality", "", self.weighted("quality"), -self.problem.quality_floor))
        if limits.edge_share:
            found.append(Ceiling("edge share", "", -self.shares * self.local, -limits.edge_share))
        return tuple(found)

    @property
    def masks(self) -> dict[str, Bools]:
        """By limit on a single feature, the pairs that keep it, [F, M]."""
        problem, candidates = self.problem, list(self.problem.candidates.values())
        found = {}
        for f, feature in enumerate(problem.features):
            bound = problem.bound_of(feature)
            if bound is not None:
                mask = np.ones_like(self.choices)
                mask[f] = [bound.allows(placement) for placement in candidates]
                found[f"bound of {feature}"] = mask
            allowed_s = problem.limits.latency_of(feature) * (1 + WITHIN)
            if np.isfinite(allowed_s):
                mask = np.ones_like(self.choices)
                mask[f] = self.numbers["latency"][f] <= allowed_s
                found[f"latency of {feature}"] = mask
        return found

    def allowed(self, without: Iterable[str] = ()) -> Bools:
        """The pairs that keep every limit on a single feature but those named, [F, M]."""
        left_out = set(without)
        kept = [mask for name, mask in self.masks.items() if name not in left_out]
        found: Bools = np.logical_and.reduce([self.choices, *kept])
        return found

    def without_memory(self, names: Iterable[str]) -> Table:
        """The same where the named memories have no end."""
        left_out = set(names)
        shelves = (replace(s, capacity=np.inf) if s.name in left_out else s for s in self.shelves)
        return replace(self, shelves=tuple(shelves))

    def values(self, choice: Sequence[int]) -> dict[str, float]:
        """The means of one module per feature, and the share of the requests that stay on the edge."""
        rows, shares = np.arange(len(choice)), self.shares[:, 0]
        means = {name: float(shares @ column[rows, list(choice)]) for name, column in self.numbers.items()}
        return {**means, "edge_share": float(shares @ self.local[rows, list(choice)])}

    def needed(self, choice: Sequence[int], shelf: Shelf) -> float:
        """Bytes that a place holds for one module per feature."""
        used = self.loaded.copy()
        used[list(choice)] = True
        working = shelf.working[np.arange(len(choice)), list(choice)]
        return shelf.weights(used) + float(working.max(initial=shelf.default_working))

    def broken(self, choice: Sequence[int]) -> tuple[str, ...]:
        """Every limit that a choice does not keep, with by how much."""
        rows, modules = np.arange(len(choice)), list(choice)
        found = [
            ceiling.said(total)
            for ceiling in self.ceilings
            if ceiling.excess(total := float(ceiling.column[rows, modules].sum()))
        ]
        for name, mask in self.masks.items():
            if not mask[rows, modules].all():
                found.append(f"{name} is not kept")
        for shelf in self.shelves:
            need = self.needed(choice, shelf)
            if need > shelf.capacity:
                found.append(f"{shelf.name} is {quantity(need, 'B')}, of {quantity(shelf.capacity, 'B')}")
        return tuple(found)

    def names(self, choice: Sequence[int]) -> dict[str, str]:
        """By feature, the module."""
        modules = self.problem.modules
        return {f: modules[m] for f, m in zip(self.problem.features, choice, strict=True)}


def _figures(problem: PlacingProblem, module: str, demand: Demand) -> dict[str, float]:
    trace = predict(
        Plan(problem.model, {"default": replace(problem.candidates[module], fallback=None)}),
        problem.profiles[problem.model_of(module)],
        problem.devices,
        problem.link,
        prompt_tokens=demand.prompt_tokens,
        new_tokens=demand.new_tokens,
        link_kind=problem.link_kind,
        must_fit=False,
    )
    n_bytes = trace.bytes_up + trace.bytes_down
    return {
        "latency": trace.total_s,
        "energy": trace.energy_j.get(EDGE, 0.0) + trace.energy_j.get("radio", 0.0),
        "bytes": float(n_bytes),
        "price": _hours(problem, trace) + n_bytes * problem.prices.per_gb / 1e9,
    }


def _hours(problem: PlacingProblem, trace: RequestTrace) -> float:
    """What the places' devices cost while they compute."""
    per_hour = problem.prices.per_hour
    return sum(s.duration_s * per_hour.get(s.place, 0.0) / 3600 for s in trace.spans if s.kind in BUSY_KINDS)


def _shelf(problem: PlacingProblem, place: str) -> Shelf:
    needs: list[dict[Piece, float]] = []
    working = np.zeros((len(problem.demands), len(problem.candidates)))
    for m, (module, placement) in enumerate(problem.candidates.items()):
        name, model = problem.model_of(module), problem.profiles[problem.model_of(module)]
        needs.append(weight_pieces(name, model, placement, problem.adapter_bytes).get(place, {}))
        for f, demand in enumerate(problem.demands):
            asked = {"prompt_tokens": demand.prompt_tokens, "new_tokens": demand.new_tokens}
            found = working_bytes(model, placement, **asked)
            working[f, m] = found[place].total if place in found else 0
    sizes = {piece: n_bytes for need in needs for piece, n_bytes in need.items()}
    capacity = float(problem.devices[place].memory_bytes)
    if place == EDGE and problem.limits.edge_memory_bytes is not None:
        capacity = min(capacity, problem.limits.edge_memory_bytes)
    pieces = np.array([[piece in need for piece in sizes] for need in needs], dtype=bool)
    return Shelf(
        place,
        f"memory of {place}",
        capacity,
        pieces.reshape(len(needs), len(sizes)),
        np.array(list(sizes.values()), dtype=float),
        working,
        _default_working(problem, place),
    )


def _default_working(problem: PlacingProblem, place: str) -> float:
    if problem.default is None:
        return 0.0
    prompt, new = problem.longest
    model = problem.profiles[problem.model_of(problem.default)]
    placement = problem.candidates[problem.default]
    found = working_bytes(model, placement, prompt_tokens=prompt, new_tokens=new)
    return float(found[place].total) if place in found else 0.0
