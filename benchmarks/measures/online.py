"""What planning online is worth: regret against the clairvoyant along the shipped traces.

    python -m benchmarks.measures.online

Nothing is run: requests and moves are modelled. A model of 8 billion parameters in 4 bits, split or not
between an edge device and a cloud's H100 that holds the whole model; caches hold 256 tokens when a plan
changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from workbench.links.traces import link_traces
from workbench.planner import Choices, LoadTrace, Moving, Pin, Problem, Regret, Request, Scene, regret_table
from workbench.profiles import ModelProfile, device, link

__all__ = ["online", "scenes"]

PERIOD_S = 5.0  # between two requests
LINKS = {"lte-drive": "lte", "starlink": "starlink", "wifi-walk": "wifi-5"}  # what a trace leaves out
LOAD = 10.0  # by how much others slow the cloud down in the middle third of a trace
Case = dict[str, Any]


@dataclass(frozen=True)
class Situation:
    """Who asks what of which device."""

    name: str
    edge: str
    request: Request
    pins: tuple[Pin, ...] = ()
    load: bool = False


SITUATIONS = (
    Situation("private prompts", "jetson-orin-nano", Request(64, 32), (Pin("embedding", "edge"),)),
    Situation("private long prompts", "macbook-m1-pro", Request(512, 16), (Pin("embedding", "edge"),)),
    Situation("a loaded cloud", "jetson-agx-orin", Request(64, 32), load=True),
)


def main() -> None:
    """Print every figure."""
    print(json.dumps(online(), indent=2))


def online() -> tuple[dict[str, float], list[Case]]:
    """Figures by name, and the whole table.

    ``online_regret`` and ``static_regret`` are means over the scenes in which the best plan changes along the
    trace, if only in outages, with a request every five seconds; ``…_back_to_back`` without a pause between
    requests.
    """
    spaced = list(scenes())
    dense = [replace(scene, request_period_s=None, plans=scene.candidates) for scene in spaced]
    rows, dense_rows = regret_table(spaced), regret_table(dense)
    figures = {**_figures(rows, ""), **_figures(dense_rows, "_back_to_back")}
    figures["online_scenes"] = len({row.scene for row in rows if row.n_best > 1})
    cases = [{**row.to_dict(), "requests": f"every {PERIOD_S:g} s"} for row in rows]
    return figures, cases + [{**row.to_dict(), "requests": "back to back"} for row in dense_rows]


def scenes() -> Iterator[Scene]:
    """Every situation along every shipped trace."""
    for situation in SITUATIONS:
        for name, trace in link_traces().items():
            third_s = trace.duration_s / 3
            load = LoadTrace("cloud", ((third_s, LOAD), (2 * third_s, 1.0)))
            yield Scene(
                _problem(situation, LINKS[name]),
                trace,
                (load,) if situation.load else (),
                Moving(context_tokens=256, resident=frozenset({"cloud"})),
                PERIOD_S,
                name=f"{situation.name}, {situation.edge}, {name}",
            )


def _problem(situation: Situation, link_name: str) -> Problem:
    return Problem(
        LLAMA_8B,
        {"edge": device(situation.edge), "cloud": device("h100-sxm")},
        (link(link_name),),
        situation.request,
        pins=situation.pins,
        choices=Choices(bits={"edge": (4,), "cloud": (4,)}, wires=("int8",)),
    )


def _figures(rows: list[Regret], suffix: str) -> dict[str, float]:
    names = {"online": "hysteresis", "static": "static", "reactive": "reactive"}
    kept = {
        figure: [row.regret for row in rows if row.policy == policy and row.n_best > 1]
        for figure, policy in names.items()
    }
    return {f"{figure}_regret{suffix}": sum(found) / len(found) for figure, found in kept.items() if found}


_BLOCK = 4096 * (4096 + 2 * 1024 + 4096) + 3 * 4096 * 14_336  # attention with 8 heads of keys, and the MLP
LLAMA_8B = ModelProfile(
    name="llama-3.1-8b",
    architecture="LlamaForCausalLM",
    n_blocks=32,
    hidden=4096,
    vocab=128_256,
    max_positions=131_072,
    boundary_elements=(4096,) * 33,
    block_params=(_BLOCK + 2 * 4096,) * 32,
    block_active_params=(_BLOCK + 2 * 4096,) * 32,
    block_quantizable=(_BLOCK,) * 32,
    kv_elements=(2 * 8 * 128,) * 32,
    attention_width=(4096,) * 32,
    window=(None,) * 32,
    embedding_params=4096 * 128_256,
    head_params=4096 * 128_256 + 4096,
    tied=False,
)


if __name__ == "__main__":
    main()
