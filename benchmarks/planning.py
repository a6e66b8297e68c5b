"""How fast planners are, whether they are right, and what planning online is worth.

    python benchmarks/planning.py [--json FILE]

Nothing is run for real: everything here is computed, and times are those of computing it. Each time is the
median of several, on whatever else this machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.measures.depth import depth
from benchmarks.measures.online import online
from tests.cost.models import LLAMA_70B, llama
from workbench.cost import predict
from workbench.errors import InfeasibleError
from workbench.files import write_text
from workbench.plan import Partition, Plan
from workbench.planner import (
    Chains,
    Choices,
    Exhaustive,
    Pin,
    Planner,
    Problem,
    Request,
    break_even,
    n_plans,
)
from workbench.profiles import device, device_profiles, link, link_profiles

TARGETS = {
    "exhaustive_ms": 50.0,
    "dp_ms": 100.0,
    "dp_optimal_share": 1.0,
    "plan_ms": 1.0,
    "depth_hypervolume_share": 1.0,
    "online_regret": None,
    "static_regret": None,
}
EDGE_CLOUD = ("jetson-agx-orin", "h100-sxm")
SIX = ("galaxy-s24", "jetson-orin-nano", "jetson-agx-orin", "macbook-m1-pro", "rtx-4090", "h100-sxm")
FIVE = ("wifi-6", "ethernet", "fibre", "cable", "ethernet")
INSTANCES = 200
AIMS = ({"total": 1.0}, {"ttft": 1.0}, {"tpot": 1.0}, {"throughput": 1.0})
Case = dict[str, Any]


def main() -> None:
    """Compute, print every figure beside its target, write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write everything there")
    arguments = parser.parse_args()
    chains = _chains()
    of_depth, depth_cases = depth()
    of_online, online_cases = online()
    figures = {**_times_ms(), **chains, **of_depth, **of_online}
    for name, value in figures.items():
        target = TARGETS.get(name)
        print(f"{name:40} {value:10.4f}" + ("" if target is None else f"   target {target:g}"))
    record = {
        "benchmark": "planning",
        "host": {"machine": platform.machine(), "cpus": os.cpu_count(), "load": os.getloadavg()},
        "versions": {"numpy": version("numpy")},
        "figures": figures,
        "cases": {"online": online_cases, "depth": depth_cases},
    }
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_text(arguments.json, json.dumps(record, indent=1) + "\n")


def _times_ms() -> dict[str, float]:
    """Of 80 blocks: 3 x 3 widths and 4 codecs enumerated, six devices, single predictions, a map."""
    tiers = dict(zip(("edge", "cloud"), map(device, EDGE_CLOUD), strict=True))
    choices = Choices(wires=("fp16", "bf16", "int8", "int4"))
    one_cut = Problem(LLAMA_70B, tiers, (link("wifi-6"),), choices=choices)
    six = Problem(LLAMA_70B, {f"tier{i}": device(name) for i, name in enumerate(SIX)}, tuple(map(link, FIVE)))
    plan = Plan.of(LLAMA_70B.name, Partition.split(80, 40, edge_bits=4, cloud_bits=8), "int8")
    x, y = np.geomspace(1e6, 1e9, 24), np.geomspace(1e-3, 0.3, 18)
    return {
        "exhaustive_plans": n_plans(one_cut),
        "exhaustive_ms": _median_ms(lambda: Exhaustive().plan(one_cut), 15),
        "dp_plans": float(n_plans(six)),
        "dp_ms": _median_ms(lambda: Chains().plan(six), 15),
        "dp_throughput_ms": _median_ms(lambda: Chains().plan(six.with_(aims={"throughput": 1.0})), 15),
        "plan_ms": _median_ms(lambda: predict(plan, LLAMA_70B, tiers, link("wifi-6")), 50),
        "plan_512_tokens_ms": _median_ms(
            lambda: predict(plan, LLAMA_70B, tiers, link("wifi-6"), new_tokens=512), 15
        ),
        "break_even_map_ms": _median_ms(lambda: break_even(one_cut, "bandwidth", x, "rtt", y), 3),
    }


def _median_ms(run: Callable[[], object], times: int) -> float:
    run()
    taken = []
    for _ in range(times):
        began_s = perf_counter()
        run()
        taken.append(perf_counter() - began_s)
    return statistics.median(taken) * 1e3


def _chains() -> dict[str, float]:
    """How often dynamic programming finds what looking at every plan finds, on small random chains."""
    dice = random.Random(5)
    found = [_agree(_random_problem(dice)) for _ in range(INSTANCES)]
    return {"dp_instances": len(found), "dp_optimal_share": sum(found) / len(found)}


def _random_problem(dice: random.Random) -> Problem:
    names, paths = sorted(device_profiles()), sorted(link_profiles())
    places = [f"tier{i}" for i in range(dice.randint(2, 4))]
    tiers = {place: _with_some_memory(dice.choice(names), dice) for place in places}
    pins = dice.choice([(), (), (Pin("embedding", places[0]),), (Pin("blocks", places[1], 2, 5),)])
    return Problem(
        llama("small", dice.randint(6, 10), 2048, 5632, 16, 4, 32_000),
        tiers,
        tuple(link(dice.choice(paths)) for _ in places[1:]),
        request=Request(dice.choice([16, 256]), dice.choice([1, 8, 40])),
        aims=dice.choice(AIMS),
        pins=pins,
        choices=Choices(bits={place: dice.choice([(16,), (8, 4)]) for place in places}),
    )


def _with_some_memory(name: str, dice: random.Random) -> Any:
    return replace(device(name), memory_bytes=int(dice.uniform(5e7, 3e9)))


def _agree(problem: Problem) -> bool:
    exact, enumerated = (_values(planner, problem) for planner in (Chains(), Exhaustive()))
    if exact is None or enumerated is None:
        return exact is enumerated
    return all(abs(a - b) <= 1e-9 * abs(b) for a, b in zip(exact, enumerated, strict=True))


def _values(planner: Planner, problem: Problem) -> list[float] | None:
    """What the best plan has of the aim; None where no plan keeps the limits."""
    try:
        best = planner.plan(problem).best
    except InfeasibleError:
        return None
    return [best.values[name] for name in problem.aims]


if __name__ == "__main__":
    main()
