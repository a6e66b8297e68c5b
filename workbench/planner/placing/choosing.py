"""Which module for which feature: the best there is, exactly.

Features meet only in what they hold together and in limits on means. So each largest set of modules that fits
the devices is looked at once, and within it labels of features are merged to the whole front.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from workbench.cost import PlaceBytes, fits_together
from workbench.errors import DoesNotFitError, InfeasibleError
from workbench.plan import CLOUD, DEFAULT_FEATURE, EDGE, QUEUE, Placement, Plan
from workbench.planner.placing.answer import Placed, PlacingAnswer
from workbench.planner.placing.exact import exact_front
from workbench.planner.placing.problem import PLACING_AIMS, PlacingProblem
from workbench.planner.placing.refusal import refusal
from workbench.planner.placing.sentence import sentence
from workbench.planner.placing.table import Table

__all__ = ["BASELINES", "place", "placed", "plan_of"]

BASELINES: Mapping[str, str] = {"edge-only": EDGE, "cloud-only": CLOUD}
"""By name, where everything runs."""


def place(problem: PlacingProblem) -> PlacingAnswer:
    """Choose a module for every feature.

    Of equals the one with the better rival aim. Features that need the link fall back on the local module
    that is best for them, or wait. The default, where it is not demanded or named, is the best module in the
    cloud that fits, and else the best that is there.

    Raises:
        InfeasibleError: nothing keeps every limit; says which bind, and by how much.
        DoesNotFitError: the default is bound to the cloud, and nothing there fits.
        PromptError: a request is longer than a module's positions.
    """
    table = Table.of(problem)
    front = exact_front(table)
    if not len(front):
        raise refusal(table)
    choice = front.choices[0].tolist()
    best = placed(table, choice)
    baselines = {name: _baseline(table, where) for name, where in BASELINES.items()}
    plan, default, memory = plan_of(table, best.modules)
    return PlacingAnswer(
        problem,
        plan,
        best,
        {
            feature: {aim: float(table.numbers[aim][f, m]) for aim in PLACING_AIMS}
            for f, (feature, m) in enumerate(zip(problem.features, choice, strict=True))
        },
        memory,
        baselines,
        tuple(placed(table, other.tolist()) for other in front.choices),
        default,
        sentence(problem, best, baselines),
        front.n_sets,
    )


def placed(table: Table, choice: Sequence[int]) -> Placed:
    """One module per feature, by number, with its figures."""
    return Placed(table.names(choice), table.values(choice), table.broken(choice))


def _baseline(table: Table, where: str) -> Placed | None:
    """The best with all of it in one place: of those that keep the limits, else of all that fit."""
    there = np.array([p.place == where for p in table.problem.candidates.values()])
    mask = np.tile(there, (len(table.choices), 1))
    limits = [*(c.name for c in table.ceilings), *table.masks]
    for without in ([], limits):
        front = exact_front(table, without=without, mask=mask)
        if len(front):
            return placed(table, front.choices[0].tolist())
    return None


def plan_of(table: Table, modules: Mapping[str, str]) -> tuple[Plan, str, dict[str, PlaceBytes]]:
    """The plan of one module per feature, the default's module, and what each place holds.

    Raises:
        DoesNotFitError: the modules do not fit together.
        InfeasibleError: the default is bound to a place that no candidate runs in alone.
    """
    refused: DoesNotFitError | None = None
    for default, longest in _defaults(table, modules):
        plan = _plan(table, modules, default)
        try:
            return plan, default, _held(table.problem, plan, longest)
        except DoesNotFitError as error:
            refused = refused or error
    if refused is not None:
        raise refused
    bound = table.problem.bound_of(DEFAULT_FEATURE)
    raise InfeasibleError(
        f"{bound}, and no candidate runs there alone: offer one, or drop the bound",
        binding=(f"bound of {DEFAULT_FEATURE}",),
    )


def _defaults(table: Table, modules: Mapping[str, str]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Modules that may be the default, the best first, with prompt and new tokens of what they are asked."""
    problem = table.problem
    if named := modules.get(DEFAULT_FEATURE, problem.default):
        yield named, problem.longest
        return
    bound = problem.bound_of(DEFAULT_FEATURE)
    quality = dict(zip(problem.modules, table.weighted("quality").sum(axis=0).tolist(), strict=True))
    best = sorted(problem.modules, key=lambda module: quality[module])
    allowed = [m for m in best if bound is None or bound.allows(problem.candidates[m])]
    yield from ((m, problem.longest) for m in allowed if problem.candidates[m].place == CLOUD)
    used = {modules[d.feature]: (d.prompt_tokens, d.new_tokens) for d in problem.demands}
    yield from ((m, used[m]) for m in allowed if m in used)
    yield from ((m, problem.longest) for m in allowed if m not in used)


def _held(problem: PlacingProblem, plan: Plan, longest: tuple[int, int]) -> dict[str, PlaceBytes]:
    tokens = {demand.feature: (demand.prompt_tokens, demand.new_tokens) for demand in problem.demands}
    devices = dict(problem.devices)
    if problem.limits.edge_memory_bytes is not None:
        most = min(devices[EDGE].memory_bytes, int(problem.limits.edge_memory_bytes))
        devices[EDGE] = replace(devices[EDGE], memory_bytes=most)
    return fits_together(
        plan,
        problem.profiles,
        devices,
        tokens={DEFAULT_FEATURE: longest, **tokens},
        adapter_bytes=problem.adapter_bytes,
    )


def _plan(table: Table, modules: Mapping[str, str], default: str) -> Plan:
    problem = table.problem
    chosen = {DEFAULT_FEATURE: default, **modules}
    features = {
        feature: _with_fallback(table, feature, module, modules) for feature, module in chosen.items()
    }
    return Plan(problem.model, features, problem.bounds)


def _with_fallback(table: Table, feature: str, module: str, modules: Mapping[str, str]) -> Placement:
    """What needs the link has the feature whose local module is best for it, or waits."""
    problem = table.problem
    placement = problem.candidates[module]
    if placement.is_local:
        return replace(placement, fallback=None)
    bound = problem.bound_of(feature)
    local = {f: m for f, m in modules.items() if problem.candidates[m].is_local}
    if not local or (bound is not None and bound.place == CLOUD):
        return replace(placement, fallback=QUEUE)
    best = max(local, key=lambda f: _quality(table, feature, local[f]))
    return replace(placement, fallback=best if _quality(table, feature, local[best]) > 0 else QUEUE)


def _quality(table: Table, feature: str, module: str) -> float:
    """How good a module is for a feature, and for the default over all of them."""
    problem, m = table.problem, table.problem.modules.index(module)
    column = table.numbers["quality"][:, m]
    if feature in problem.features:
        return float(column[problem.features.index(feature)])
    return float(table.shares[:, 0] @ column)
