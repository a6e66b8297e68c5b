"""Modules of small models, and a problem of placing features on them that can be looked at closely."""

from __future__ import annotations

import numpy as np

from tests.cost.models import SMALL, llama
from workbench import profiles
from workbench.plan import CLOUD, EDGE, Partition, Placement
from workbench.planner import Demand, PlacingProblem

__all__ = ["ADAPTERS", "DEVICES", "LINK", "MODELS", "POOL", "TASKS", "covers", "small_problem"]

DEVICES = {EDGE: profiles.device("raspberry-pi-5"), CLOUD: profiles.device("h100-sxm")}
LINK = profiles.link("lte")
MODELS = {
    "small": SMALL,
    "small@4": llama("small@4", 4, 256, 704, 8, 2, 2048, tied=True),
    "large": llama("large", 12, 512, 1408, 8, 2, 2048, tied=True),
}
POOL = {
    "cloud": Placement(Partition.unsplit(12, CLOUD), model="large"),
    "exit": Placement(Partition.unsplit(4, EDGE), model="small@4"),
    "edge": Placement(Partition.unsplit(8, EDGE)),
    "edge 4 bit": Placement(Partition.unsplit(8, EDGE, bits=4)),
    "tuned": Placement(Partition.unsplit(8, EDGE, bits=4), adapter="a"),
    "split": Placement(Partition.split(8, 3)),
    "large edge": Placement(Partition.unsplit(12, EDGE, bits=8), model="large"),
    "small cloud": Placement(Partition.unsplit(8, CLOUD)),
}
ADAPTERS = {"a": 100_000}
TASKS = ("copy", "reverse", "sort", "arithmetic", "recall", "extract", "translate", "continue")
GOOD = {"exit": 0.7, "edge": 0.9, "edge 4 bit": 0.85, "tuned": 0.95, "split": 0.9, "cloud": 1.0}


def small_problem(*names: str, features: tuple[str, ...] = TASKS[:4], **changes: object) -> PlacingProblem:
    modules = names or ("exit", "edge 4 bit", "cloud")
    quality = {
        (f, m): max(0.0, GOOD.get(m, 0.8) - 0.07 * i * (m != "cloud"))
        for i, f in enumerate(features)
        for m in modules
    }
    problem = PlacingProblem(
        "small",
        tuple(Demand(f, 1.0, 32, 8) for f in features),
        {m: POOL[m] for m in modules},
        MODELS,
        DEVICES,
        LINK,
        quality,
        adapter_bytes=ADAPTERS,
    )
    return problem.with_(**changes)


def covers(front: np.ndarray, others: np.ndarray) -> bool:
    """Whether each of the others is beaten or equalled, up to rounding."""
    return all((front <= point + 1e-8 * np.abs(point)).all(axis=1).any() for point in others)
