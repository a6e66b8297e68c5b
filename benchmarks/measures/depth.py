"""Weight bits of every block: dynamic programming, every plan one by one, and Optuna, on the same sums.

    python -m benchmarks.measures.depth

Nothing is run: times are modelled, losses of `tiny` are the shipped ones, those of the large model made up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from workbench.cost import Floats
from workbench.models import load_model, read_architecture
from workbench.planner import Choices, Depth, LossTable, Problem
from workbench.planner.depth import families_of, mixed_plans
from workbench.planner.landscape import Landscape
from workbench.planner.limits import bounds_of
from workbench.planner.pareto import hypervolume
from workbench.planner.routes import all_cuts, routes_of
from workbench.profiles import device, link
from workbench.studies.widths import search_widths

__all__ = ["depth"]

TRIALS = (200, 1000)
SEEDS = (0, 1, 2)
_FRONT = ("total", "loss")
Case = dict[str, Any]


def main() -> None:
    """Print every figure."""
    print(json.dumps(depth()[0], indent=2))


def depth() -> tuple[dict[str, float], list[Case]]:
    """Figures by name, and a case for each search of Optuna's.

    ``depth_hypervolume_share`` is that of the planner's front over that of every plan, and
    ``optuna_hypervolume_share`` the mean of what NSGA-II reached of the same after so many trials; ``_80``
    on 80 blocks, over the planner's own front. The reference point is the worst of every plan, or of the
    planner's front, in both aims.
    """
    small, large = _small(), _large()
    everything = np.concatenate(list(_every_plan(small)))
    found, small_ms = _planned(small)
    reference = everything.max(axis=0)
    whole = _volume(everything, reference)
    deep, large_ms = _planned(large)
    figures = {
        "depth_hypervolume_share": _volume(found, reference) / whole,
        "depth_oracle_plans": float(len(everything)),
        "depth_ms": small_ms,
        "depth_80_ms": large_ms,
        "depth_80_front": float(len(_front(deep))),
    }
    cases = [*_searched(small, reference, whole), *_searched(large, deep.max(axis=0), None, deep)]
    return figures | _means(cases), cases


def _small() -> Problem:
    """The shipped model and its measured losses: 3^8 ways to pack it at each of nine cuts."""
    devices = {"edge": device("raspberry-pi-5"), "cloud": device("h100-sxm")}
    losses, choices = LossTable.of_shipped("tiny"), Choices(wires=("fp16", "int8", "int4"))
    profile = load_model("tiny").profile
    return Problem(profile, devices, (link("lte"),), losses=losses, choices=choices, front=_FRONT)


def _large() -> Problem:
    """80 blocks whose losses are made up: log-normal, 50 times as large with 4 bits as with 8."""
    profile = read_architecture("llama-3-70b")
    devices = {"edge": device("jetson-agx-orin"), "cloud": device("h100-sxm")}
    four = 0.004 * np.exp(np.random.default_rng(0).normal(0.0, 0.8, profile.n_blocks))
    losses = LossTable(profile.name, {8: tuple(four / 50), 4: tuple(four)}, {"int8": 1e-3, "int4": 0.02})
    return Problem(profile, devices, (link("wifi-6"),), losses=losses, front=_FRONT)


def _planned(problem: Problem) -> tuple[Floats, float]:
    """What the planner's front comes to, and milliseconds of processor time."""
    began_s = time.process_time()
    batches = list(Depth().fronts(problem))
    spent_s = time.process_time() - began_s
    points = [np.stack([plans.numbers[name] for name in problem.front], axis=1) for plans in batches]
    return np.concatenate(points), spent_s * 1e3


def _every_plan(problem: Problem) -> Iterator[Floats]:
    """One by one: the points of every plan within the limits."""
    landscape, n = Landscape(problem), problem.model.n_blocks
    for route in routes_of(problem.chain.places, u_shaped=False):
        (families,) = product(*(families_of(problem, place) for place in route.places))
        widths = np.array(list(product(families[0].widths, repeat=n)), dtype=np.uint8)
        wires = tuple(problem.choices.wires)[: None if len(families) > 1 else 1]
        for cuts in all_cuts(route, n):
            index, wire = (axis.ravel() for axis in np.indices((len(widths), len(wires))))
            rows = np.repeat(cuts[None], len(index), axis=0)
            plans = mixed_plans(landscape, families, rows, widths[index], wires, wire)
            fits = np.max([bound.excess for bound in bounds_of(problem, plans)], axis=0) <= 1e-9
            yield np.stack([plans.numbers[name][fits] for name in problem.front], axis=1)


def _searched(
    problem: Problem, reference: Floats, whole: float | None, front: Floats | None = None
) -> Iterator[Case]:
    """What Optuna reaches of a volume, by seed and number of trials."""
    of = _volume(front, reference) if whole is None and front is not None else whole
    for seed in SEEDS:
        began_s = time.process_time()
        points = search_widths(problem, max(TRIALS), sampler="nsga2", seed=seed)
        spent_s = time.process_time() - began_s
        for trials in TRIALS:
            yield {
                "model": problem.model.name,
                "blocks": problem.model.n_blocks,
                "sampler": "nsga2",
                "seed": seed,
                "trials": trials,
                "share": _volume(points[:trials], reference) / (of or 1.0),
                "seconds": spent_s * trials / max(TRIALS),
            }


def _means(cases: list[Case]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for case in cases:
        large = "_80" if case["blocks"] == 80 else ""
        found.setdefault(f"optuna{large}_hypervolume_share_{case['trials']}", []).append(case["share"])
    return {name: float(np.mean(shares)) for name, shares in found.items()}


def _front(points: Floats) -> Floats:
    """Of two aims: ordered by the first, and better than all before in the second."""
    ordered = points[np.lexsort(points.T[::-1])]
    before = np.concatenate([[np.inf], np.minimum.accumulate(ordered[:, 1])[:-1]])
    return ordered[ordered[:, 1] < before]


def _volume(points: Floats, reference: Floats) -> float:
    return hypervolume([tuple(point) for point in _front(points)], tuple(reference))


if __name__ == "__main__":
    main()
