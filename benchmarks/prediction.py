"""What is predicted beside what is measured: requests over the kernel's netem, and published decode rates.

    python benchmarks/prediction.py [--json FILE] [--record FILE] [--quick]
    python benchmarks/prediction.py --throttle none --beside FILE   # half of it, beside a record's other half

80 cases: splits x weight bits x codecs x prompt and output lengths x links, with this host as it is and
posing as a slower device. netem runs in this host's kernel, or where that has none inside user-mode Linux,
and the host is measured in there too. Published rates are predicted from those of all other chips.

``--record`` writes what README and the notebooks show.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.measures.elsewhere import host_facts, run_where_netem_is
from benchmarks.measures.published import published
from workbench.files import write_text

TARGETS = {
    "ttft_error_median": 0.05,
    "ttft_error_p90": 0.15,
    "tpot_error_median": 0.05,
    "tpot_error_p90": 0.15,
    "total_error_median": None,
    "total_error_p90": None,
    "memory_error_median": 0.05,
    "bytes_exact_share": 1.0,
    "range_share": None,
    "published_error_median": 0.10,
}
Case = dict[str, Any]


def main() -> None:
    """Measure, print every figure beside its target, write the records."""
    arguments = _arguments()
    options = ["--quick"] * arguments.quick + (
        ["--throttle", arguments.throttle] if arguments.throttle else []
    )
    run = run_where_netem_is("benchmarks.measures.prediction_run", *options)
    cases: list[Case] = [*run["cases"], *_other_half(arguments)]
    rates, _ = published()
    figures = {**_figures(cases), **rates}
    _report(cases, figures, run["notes"])
    record = {
        "benchmark": "prediction",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "host": host_facts(run["kernel"]),
        "versions": {name: version(name) for name in ("torch", "transformers", "pyroute2")},
        "figures": figures,
        "cases": cases,
    }
    if arguments.record:
        short = [{key: value for key, value in case.items() if key != "spans"} for case in cases]
        write_text(arguments.record, json.dumps({**record, "cases": short}, indent=1) + "\n")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_text(arguments.json, json.dumps(record, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write everything there")
    parser.add_argument("--record", type=Path, help="write what README and the notebooks show there")
    parser.add_argument("--quick", action="store_true", help="a tenth of the cases, to try it out")
    parser.add_argument("--throttle", choices=("none", "dilation"), help="half of the cases")
    parser.add_argument("--beside", type=Path, metavar="FILE", help="take the other half from this record")
    return parser.parse_args()


def _other_half(arguments: argparse.Namespace) -> list[Case]:
    """Of an earlier record, the cases of the throttle that was not measured now."""
    if arguments.beside is None:
        return []
    earlier: list[Case] = json.loads(arguments.beside.read_text(encoding="utf-8"))["cases"]
    return [case for case in earlier if case["throttle"] != arguments.throttle]


def _figures(cases: Sequence[Case]) -> dict[str, float]:
    figures: dict[str, float] = {"cases": len(cases)}
    for name in ("ttft", "tpot", "total"):
        figures |= _spread(f"{name}_error", [_error(case, name) for case in cases])
        for throttle in dict.fromkeys(case["throttle"] for case in cases):
            own = [_error(case, name) for case in cases if case["throttle"] == throttle]
            figures |= _spread(f"{name}_error_{throttle}", own)
    held = [error for case in cases for error in _memory_errors(case)]
    figures |= _spread("memory_error", held)
    figures["bytes_exact_share"] = _share(cases, _bytes_are_exact)
    figures["range_share"] = statistics.mean(map(_share_in_range, (c for c in cases if c["ranges"])))
    return figures


def _error(case: Case, name: str) -> float:
    return abs(case[f"predicted_{name}_s"] / case[f"measured_{name}_s"] - 1)


def _memory_errors(case: Case) -> list[float]:
    """Of weights and cache, per place that holds any."""
    predicted = case["predicted_memory"]
    return [
        abs(predicted.get(place, 0) / held - 1) for place, held in case["measured_memory"].items() if held
    ]


def _bytes_are_exact(case: Case) -> bool:
    return all(found == case["predicted_bytes"] for found in case["measured_bytes"])


def _share_in_range(case: Case) -> float:
    """Of TTFT, TPOT and the whole request, those measured within what was predicted to hold 80 %."""
    ranges = case["ranges"].items()
    return statistics.mean(low <= case[f"measured_{name}_s"] <= high for name, (low, high) in ranges)


def _share(cases: Sequence[Case], holds: Callable[[Case], bool]) -> float:
    return sum(map(holds, cases)) / len(cases) if cases else 0.0


def _spread(name: str, errors: Iterable[float]) -> dict[str, float]:
    ordered = sorted(errors)
    return {
        f"{name}_median": statistics.median(ordered),
        f"{name}_p90": ordered[min(len(ordered) - 1, round(0.9 * len(ordered) - 0.5))],
    }


def _report(cases: Sequence[Case], figures: dict[str, float], notes: Iterable[str]) -> None:
    print(f"{'link':10} {'throttle':9} split   bits  wire prompt {'TTFT':>9} {'':>6} {'TPOT':>9}")
    for case in cases:
        bits = "/".join(map(str, case["bits"]))
        split = "cloud" if case["split"] is None else case["split"]
        print(
            f"{case['link']:10} {case['throttle']:9} {split:>5} {bits:>6} {case['wire']:>5} "
            f"{case['prompt_tokens']:>6} {1e3 * case['measured_ttft_s']:7.1f}ms {_signed(case, 'ttft'):>6} "
            f"{1e3 * case['measured_tpot_s']:7.1f}ms {_signed(case, 'tpot'):>6}"
        )
    for name, value in figures.items():
        target = TARGETS.get(name)
        print(f"{name:45} {value:9.4f}" + ("" if target is None else f"   target {target:g}"))
    for note in notes:
        print(f"note: {note}")


def _signed(case: Case, name: str) -> str:
    return f"{case[f'predicted_{name}_s'] / case[f'measured_{name}_s'] - 1:+.1%}"


if __name__ == "__main__":
    main()
