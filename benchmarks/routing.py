"""What routing requests between edge and cloud is worth, and whether its latency is predicted.

    python benchmarks/routing.py [--json FILE] [--quick]

Three parts. Every policy and baseline over the shipped tasks at four links: answers measured once for each
module, costs modelled, waiting played. Then the best hybrid and cloud-only with real tensors over LTE. And a
replay on the wall clock, both sides posing as slower devices over a shaped link with several requests at
once, beside what the cost model says of it.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import workbench as wb
from benchmarks.measures.elsewhere import host_facts
from workbench.deployment.plan_files import read_plan
from workbench.files import write_text
from workbench.plan import CLOUD, EDGE, Plan
from workbench.profiles import ModelProfile
from workbench.routing import (
    CONTINUE,
    AnswerTable,
    Cascade,
    Classified,
    CloudOnly,
    CostAware,
    EdgeOnly,
    Hybrid,
    Oracle,
    Outlook,
    Policy,
    RandomChoice,
    Rehearsal,
    Report,
    Served,
    Situation,
    Tagged,
    Workload,
    area_under,
    calibrated,
    module_of,
    poisson,
    settle,
    shipped_answers,
    shipped_pool,
)

TARGETS = {
    "hybrid_quality_ratio": (">=", 0.95),
    "hybrid_edge_share": (">=", 0.60),
    "hybrid_p95_ratio": ("<=", 0.50),
    "oracle_area_gap": ("<=", 0.10),
    "routing_ms": ("<", 2.0),
    "latency_prediction_error": ("<=", 0.10),
}
LINKS = ("lte", "4g", "cable", "wifi-6")
EDGE_CLOUD = ("raspberry-pi-5", "h100-sxm")
PLANS = ("hybrid", "mobile", "pocket")
RATE_PER_S = 4.0
WALL_RATE_PER_S = 2.0
PASSED_ON = 0.03  # share of requests that may be asked again: what a threshold is chosen under
PRICES = (*(1.5**i / 100 for i in range(40)), 0.0)  # of a second, in quality: along the quality–latency curve
Case = dict[str, Any]


def main() -> None:
    """Measure, print every figure beside its target."""
    arguments = _arguments()
    n = 120 if arguments.quick else 600
    cases = [case for link in LINKS for plan in PLANS for case in policies(plan, link, n)]
    _print_cases(cases)
    figures = {"oracle_area_gap": area_gap("mobile"), "pocket_oracle_area_gap": area_gap("pocket")}
    n_replayed = 60 if arguments.quick else 240
    figures |= replayed("mobile", "hybrid", n_replayed) | replayed("pocket", "pocket", n_replayed)
    figures["routing_ms"] = routing_ms()
    figures |= on_the_wall(24 if arguments.quick else 80)
    for name, value in figures.items():
        sign, target = TARGETS.get(name, ("", None))
        print(f"{name:32} {value:9.4f}" + ("" if target is None else f"   target {sign} {target:g}"))
    if arguments.json:
        record = {
            "benchmark": "routing",
            "host": host_facts("none"),
            "versions": {name: version(name) for name in ("torch", "transformers")},
            "figures": figures,
            "cases": cases,
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_text(arguments.json, json.dumps(record, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write everything there")
    parser.add_argument("--quick", action="store_true", help="fewer requests, to try it out")
    return parser.parse_args()


# ---- every policy, modelled


def policies(name: str, link: str, n: int) -> Iterator[Case]:
    """Every policy and baseline over one plan and link."""
    plan, table = read_plan(name), shipped_answers("test")
    rehearsal = Rehearsal(plan, table, _profiles(plan), _devices(), wb.link(link), count=_count())
    workload = _workload(n, RATE_PER_S)
    for policy in _policies(plan, link):
        report = rehearsal.run(workload, policy)
        yield {"plan": name, "link": link, "policy": policy.name, **_summary(plan, report, table)}


def _policies(plan: Plan, link: str) -> list[Policy]:
    learned = shipped_answers("calibration")
    known, threshold = calibrated(plan, learned), _threshold(plan, link)
    return [
        EdgeOnly(),
        CloudOnly(),
        RandomChoice(0.5),
        Tagged(),
        Classified(),
        Cascade(threshold, known),
        CostAware(learned.qualities(plan), 0.9),
        Hybrid(known, threshold=threshold),
        Oracle(*_known(plan, shipped_answers("test"))),
    ]


def _known(plan: Plan, table: AnswerTable) -> tuple[dict[tuple[str, str], bool], tuple[str, ...]]:
    """Who answers what right, and who is cheapest; of open text nobody is wrong, its own module answers."""
    own = {module_of(plan, key): key for key in sorted(plan.features, reverse=True)}
    blocks = {key: plan.features[key].partition.n_blocks for key in own.values()}
    order = tuple(sorted(own.values(), key=lambda key: (not plan.features[key].is_local, blocks[key], key)))
    right = {
        (prompt, key): table.of(module_of(plan, key)).right[row]
        for row, prompt in enumerate(table.prompts)
        for key in order
    }
    answers_open_text = own[module_of(plan, CONTINUE)]
    return right | {(r.prompt, answers_open_text): True for r in shipped_pool()[CONTINUE]}, order


def _threshold(plan: Plan, link: str) -> float:
    """The best answers with few requests asked again, on calibration examples: none of these is reported."""
    few = [point for point in _outlook(plan, link, "calibration").curve() if point.escalated <= PASSED_ON]
    return float(max(few, key=lambda point: (round(point.quality, 4), -point.latency_s)).threshold or 0.0)


def _outlook(plan: Plan, link: str, which: str) -> Outlook:
    known = calibrated(plan, shipped_answers("calibration"))
    return Outlook(
        plan, shipped_answers(which), _profiles(plan), _devices(), wb.link(link), calibration=known
    )


def _summary(plan: Plan, report: Report, table: AnswerTable) -> Case:
    spread = report.latency_s
    n = max(1, report.n)
    return {
        "quality": _quality(plan, report, table),
        "exact_match": report.mean_quality,
        "bits_per_byte": _bits_per_byte(plan, report, table),
        "p50_s": spread.get("p50"),
        "p95_s": spread.get("p95"),
        "mean_s": spread.get("mean"),
        "energy_j": report.energy_j / n,
        "bytes": (report.bytes_up + report.bytes_down) / n,
        "edge_share": report.edge_share,
        "escalated": report.escalated_share,
        "misrouted": report.misrouted,
    }


def _quality(plan: Plan, report: Report, table: AnswerTable) -> float:
    """Mean over features: right answers; of open text, the best module's bits per byte over these."""
    found = dict(report.quality)
    open_text = [s.module for s in report.served if s.request.truth == CONTINUE and s.module]
    if open_text:
        found[CONTINUE] = statistics.mean(table.quality(module_of(plan, m), CONTINUE) for m in open_text)
    return statistics.mean(found.values())


def _bits_per_byte(plan: Plan, report: Report, table: AnswerTable) -> float | None:
    asked = [s.module for s in report.served if s.request.truth == CONTINUE and s.module]
    found = [table.of(module_of(plan, module)).bits_per_byte for module in asked]
    return statistics.mean(found) if found else None


def area_gap(name: str) -> float:
    """Of the area under quality over mean latency on LTE: what the best hybrids leave to the oracle.

    Modules and thresholds are chosen on the calibration examples, and judged on the others.
    """
    plan = read_plan(name)
    learned, judged = _outlook(plan, "lte", "calibration"), _outlook(plan, "lte", "test")
    ends = judged.edge_only(), judged.cloud_only()
    hybrid = [judged.at(0.0, until, modules) for modules, until in map(learned.tuned, PRICES)]
    oracle = [judged.oracle(i / 100) for i in range(101)]
    low, high = (end.latency_s for end in ends)
    ours, best = (
        area_under([(p.latency_s, p.quality) for p in (*points, *ends)], (low, high))
        for points in (hybrid, oracle)
    )
    return (best - ours) / best


# ---- with real tensors


def replayed(name: str, prefix: str, n: int) -> dict[str, float]:
    """A plan beside both of its baselines on LTE: real answers, in modelled time."""
    plan, table = read_plan(name), shipped_answers("test")
    known, threshold = calibrated(plan, shipped_answers("calibration")), _threshold(plan, "lte")
    workload = _workload(n, RATE_PER_S)
    edge, cloud = (wb.device(device) for device in EDGE_CLOUD)
    with wb.deploy(plan, edge, cloud, wb.link("lte"), clock="virtual", slots=4) as run:
        hybrid = run.replay(workload, Hybrid(known, threshold=threshold))
        local, away = run.replay(workload, EdgeOnly()), run.replay(workload, CloudOnly())
    whole = _quality(plan, away, table)
    return {
        f"{prefix}_quality_ratio": _quality(plan, hybrid, table) / whole,
        f"{prefix}_edge_only_quality_ratio": _quality(plan, local, table) / whole,
        f"{prefix}_edge_share": float(hybrid.edge_share or 0.0),
        f"{prefix}_p50_ratio": hybrid.latency_s["p50"] / away.latency_s["p50"],
        f"{prefix}_p95_ratio": hybrid.latency_s["p95"] / away.latency_s["p95"],
        f"{prefix}_escalated_share": float(hybrid.escalated_share or 0.0),
        f"{prefix}_threshold": threshold,
    }


def routing_ms() -> float:
    """Reading, routing and settling a prompt that nobody tagged: median."""
    plan = read_plan("hybrid")
    policy = Hybrid(calibrated(plan, shipped_answers("calibration")), threshold=0.6)
    taken = []
    for request in _workload(300, 1.0).untagged():
        began_s = perf_counter()
        settle(policy.route(request, plan, Situation()), request, plan, Situation())
        taken.append(perf_counter() - began_s)
    return 1e3 * statistics.median(taken)


def on_the_wall(n: int) -> dict[str, float]:
    """Several requests at once on the wall clock, beside their prediction."""
    plan = read_plan("hybrid")
    known = calibrated(plan, shipped_answers("calibration"))
    edge = replace(wb.device("raspberry-pi-5"), name="slow edge", block_overhead_s=0.010)
    cloud = replace(wb.device("raspberry-pi-5"), name="slow cloud", block_overhead_s=0.004)
    workload = _workload(n, WALL_RATE_PER_S)
    with wb.deploy(plan, edge, cloud, wb.link("cable"), clock="wall", slots=6) as run:
        run.replay(_workload(8, 4.0), Hybrid(known, threshold=0.6))  # first-use costs
        measured = run.replay(workload, Hybrid(known, threshold=0.6))
        predicted = run.predict_replay(measured)
    told, said = measured.latency_s, predicted.latency_s
    waited = statistics.mean(map(_waited_s, measured.served))
    return {
        "latency_prediction_error": abs(said["mean"] / told["mean"] - 1),
        "latency_p95_prediction_error": abs(said["p95"] / told["p95"] - 1),
        "wall_mean_latency_s": told["mean"],
        "wall_waiting_share": waited / told["mean"],
    }


def _waited_s(served: Served) -> float:
    """For a slot, and for the edge while it computes for others; the cloud's queue counts as the uplink's."""
    spans = served.trace.spans if served.trace else ()
    return served.queued_s + sum(span.duration_s for span in spans if span.kind == "wait")


# ---- what they have in common


def _workload(n: int, rate_per_s: float) -> Workload:
    return poisson(dict.fromkeys(shipped_pool(), 1.0), rate_per_s, n, seed=1, max_new_tokens=_NEW_TOKENS)


_NEW_TOKENS = 24


def _devices() -> dict[str, wb.DeviceProfile]:
    return dict(zip((EDGE, CLOUD), (wb.device(name) for name in EDGE_CLOUD), strict=True))


def _profiles(plan: Plan) -> Mapping[str, ModelProfile]:
    return {name: wb.load_model(name).profile for name in plan.models}


def _count() -> Any:
    tokenizer = wb.load_model("tiny").tokenizer
    return lambda text: len(tokenizer(text)["input_ids"])


def _print_cases(cases: list[Case]) -> None:
    print("answers measured, costs modelled:")
    print(
        f"{'link':7} {'plan':7} {'policy':11} {'quality':>7} {'bit/byte':>8} {'p50':>8} {'p95':>9} "
        f"{'energy':>8} {'bytes':>7} {'on edge':>7} {'asked on':>8}"
    )
    for case in cases:
        print(
            f"{case['link']:7} {case['plan']:7} {case['policy']:11} {case['quality']:7.3f} "
            f"{case['bits_per_byte'] or 0:8.3f} {1e3 * case['p50_s']:6.1f}ms {1e3 * case['p95_s']:7.1f}ms "
            f"{1e3 * case['energy_j']:6.1f}mJ {case['bytes']:7.0f} {case['edge_share']:7.1%} "
            f"{case['escalated']:8.1%}"
        )


if __name__ == "__main__":
    main()
