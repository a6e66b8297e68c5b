"""How close the emulated world comes to what it says: links, devices and traces, asked against measured.

    python benchmarks/fidelity.py [--json FILE] [--record FILE] [--without-netem]

Over a grid of link profiles, message sizes and cold and warm connections: what each kind of link takes,
beside what it was asked for, and the simulated one beside the kernel's. netem runs in this host's kernel, or
where that has none inside user-mode Linux. Cases with loss are reported apart: a run is one draw of what a
simulation gives on average.

``--record`` writes what the notebooks show.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.measures.dilation import dilation_errors, median_error
from benchmarks.measures.elsewhere import host_facts, run_where_netem_is
from benchmarks.measures.links import measured
from benchmarks.measures.residue import groups_left_after_kills
from workbench.files import write_text
from workbench.links import SimulatedLink
from workbench.profiles import link

TARGETS = {
    "netem_rtt_error_median": 0.02,
    "netem_rate_error_median": 0.05,
    "proxy_rtt_error_median": 0.05,
    "proxy_rate_error_median": 0.05,
    "simulated_transfer_error_median": 0.05,
    "simulated_transfer_error_p90": 0.15,
    "dilation_error_median": 0.03,
    "trace_bytes_error": 0.05,
    "residue_after_kill": 0,
    "simulated_1000_messages_ms": 1.0,
}
SHORTEST_RTT_S = 0.01  # below, the host's own time is a part of it
ACTIVATION_BYTES = 4096
Case = dict[str, Any]


def main() -> None:
    """Measure, print every figure beside its target, write the records."""
    arguments = _arguments()
    records, runs = _records(with_netem=not arguments.without_netem)
    dilation = dilation_errors()
    cases = [case for record in records.values() for case in record["cases"]]
    traces = [trace for record in records.values() for trace in record.get("traces", ())]
    figures = {
        **_link_figures(cases),
        "simulated_1000_messages_ms": _simulating_ms(),
        "dilation_error_median": median_error(dilation),
        "trace_bytes_error": max(abs(t["found_bytes"] / t["asked_bytes"] - 1) for t in traces),
    }
    if "netem" in records:
        figures |= {
            "residue_after_kill": len(records["netem"]["residue"]) + groups_left_after_kills(),
            "netem_ttft_error_median": _median_of(runs, _error_of("ttft_s")),
            "netem_tpot_error_median": _median_of(runs, _error_of("tpot_s")),
        }
    _report(cases, traces, figures)
    kernel = records.get("netem", {}).get("kernel", "none")
    record = {
        "benchmark": "fidelity",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "host": host_facts(kernel),
        "versions": {name: version(name) for name in ("pyroute2", "torch")},
        "figures": figures,
        "cases": cases,
    }
    if arguments.record:
        write_text(arguments.record, json.dumps(record, indent=1) + "\n")
    if arguments.json:
        more = {"traces": traces, "runs": runs, "dilation": [asdict(case) for case in dilation]}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_text(arguments.json, json.dumps(record | more, indent=1) + "\n")


def _records(*, with_netem: bool) -> tuple[dict[str, Case], list[Case]]:
    """Of each kind of link, and of requests over netem. Links mostly wait: two kinds at the same time."""
    with ThreadPoolExecutor() as pool:
        module = "benchmarks.measures.links"
        netem = pool.submit(run_where_netem_is, module, "--kind", "netem") if with_netem else None
        records = {kind: measured(kind) for kind in ("proxy", "simulated")}
        if netem is None:
            return records, []
        records["netem"] = netem.result()
    return records, run_where_netem_is("benchmarks.measures.netem_run")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write everything there")
    parser.add_argument("--record", type=Path, help="write what the notebooks show there")
    parser.add_argument("--without-netem", action="store_true", help="leave the kernel's link out")
    return parser.parse_args()


def _simulating_ms() -> float:
    """What it costs this host to simulate 1,000 messages of a token's activation, median of 50 times."""
    taken = []
    for _ in range(50):
        with SimulatedLink(link("4g")) as simulated:
            began_s = perf_counter()
            simulated.transfer_many([ACTIVATION_BYTES] * 1000, "up")
            taken.append(perf_counter() - began_s)
    return statistics.median(taken) * 1e3


def _link_figures(cases: list[Case]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for kind in ("netem", "proxy"):
        own = [case for case in cases if case["kind"] == kind and "check" in case]
        if not own:
            continue
        slow = [c for c in own if c["check"] == "round trip" and c["asked"] >= SHORTEST_RTT_S]
        figures[f"{kind}_rtt_error_median"] = _median_of(slow, _check_error)
        rates = [c for c in own if c["check"].startswith("rate")]
        figures[f"{kind}_rate_error_median"] = _median_of(rates, _check_error)
    without_loss, with_loss = _simulated_errors(cases)
    if without_loss:
        figures["simulated_transfer_error_median"] = statistics.median(without_loss)
        figures["simulated_transfer_error_p90"] = statistics.quantiles(without_loss, n=10)[-1]
        figures["simulated_transfer_error_with_loss_median"] = statistics.median(with_loss)
    return figures


def _simulated_errors(cases: list[Case]) -> tuple[list[float], list[float]]:
    """Of the simulated link against netem: without loss, and with it."""
    simulated = {_key(case): case["seconds"] for case in cases if case["kind"] == "simulated"}
    lossy = {c["profile"] for c in cases if c.get("check", "").startswith("loss") and c["asked"] > 0}
    errors: tuple[list[float], list[float]] = ([], [])
    for case in cases:
        if case["kind"] == "netem" and "seconds" in case:
            error = abs(simulated[_key(case)] / case["seconds"] - 1)
            errors[case["profile"] in lossy].append(error)
    return errors


def _key(case: Case) -> tuple[Any, ...]:
    return tuple(case.get(name) for name in ("profile", "direction", "n_bytes", "connection"))


def _check_error(case: Case) -> float:
    return abs(case["found"] / case["asked"] - 1)


def _error_of(name: str) -> Callable[[Case], float]:
    return lambda case: abs(case[f"predicted_{name}"] / case[name] - 1)


def _median_of(cases: Iterable[Case], error: Callable[[Case], float]) -> float:
    return statistics.median(error(case) for case in cases)


def _report(cases: list[Case], traces: list[Case], figures: dict[str, float]) -> None:
    by_key: dict[tuple[Any, ...], dict[str, float]] = {}
    for case in cases:
        if "seconds" in case:
            row = by_key.setdefault(_key(case), {"asked": case["asked_s"]})
            row[case["kind"]] = case["seconds"]
        else:
            print(
                f"{case['profile']:14} {case['kind']:6} {case['check']:10} "
                f"asked {case['asked']:<12.6g} found {case['found']:<12.6g} {case['unit']}"
            )
    print("\nmilliseconds of a message: asked, netem, proxy, simulated")
    for (profile, direction, n_bytes, connection), row in by_key.items():
        shown = "".join(
            f"{row[k] * 1e3:11.2f}" if k in row else " " * 11
            for k in ("asked", "netem", "proxy", "simulated")
        )
        print(f"{profile:14} {direction:4} {n_bytes:>8} {connection:4} {shown}")
    for trace in traces:
        error = trace["found_bytes"] / trace["asked_bytes"] - 1
        print(f"trace {trace['trace']} {trace['kind']} {trace['direction']}: {error:+.2%} of the bytes")
    print()
    for name, value in figures.items():
        target = f"target at most {TARGETS[name]:g}" if name in TARGETS else ""
        print(f"{name:42} {value:9.4f}   {target}")


if __name__ == "__main__":
    main()
