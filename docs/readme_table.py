"""Writes README's table of benchmark figures from what was measured: ``python docs/readme_table.py``.

Reads ``results/bench/*.json`` (``make bench``), or the folder given, and replaces what stands between the two
markers in README. A figure that was not measured this time keeps the row that it has; none is ever typed by
hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


@dataclass(frozen=True)
class Row:
    """How one figure is shown."""

    title: str
    target: str
    text: str = "{:,.0f}"  # how its number is written


ROWS = {
    "architectures_total": Row("causal-LM architectures in transformers", "–"),
    "architectures_run": Row("… that run split", "≥ 150"),
    "architectures_exact": Row("… bit-identical to unsplit at every split point", "all that run"),
    "architectures_refused": Row("… refused, with the reason", "–"),
    "decode_ratio_large": Row("decode step, split ÷ unsplit, hidden size 2,048", "≤ 1.02", "{:.3f}"),
    "decode_ratio_tiny": Row("decode step, split ÷ unsplit, `tiny`", "–", "{:.2f}"),
    "rtt_4k_ratio": Row("round trip of 4 KiB ÷ raw TCP", "≤ 2", "{:.2f}"),
    "rtt_4m_ratio": Row("round trip of 4 MiB ÷ raw TCP", "≤ 1.3", "{:.2f}"),
    "stage_memory_ratio": Row("memory of a stage process ÷ its own tensors", "≤ 1.1", "{:.3f}"),
    "redraw_ms_median": Row("slider of a panel released → redrawn, median (ms)", "≤ 150"),
    "redraw_ms_p95": Row("… 95th percentile (ms)", "≤ 400"),
    "notebook_seconds_max": Row("slowest notebook, opened → all cells run (s)", "≤ 180"),
    "notebook_mb_max": Row("largest executed notebook (MB)", "≤ 6", "{:.1f}"),
    "netem_rtt_error_median": Row("netem, round trip: off from what is asked, median", "≤ 2 %", "{:.2%}"),
    "netem_rate_error_median": Row("netem, rate: off, median", "≤ 5 %", "{:.2%}"),
    "proxy_rtt_error_median": Row("proxy, round trip: off, median", "≤ 5 %", "{:.2%}"),
    "proxy_rate_error_median": Row("proxy, rate: off, median", "≤ 5 %", "{:.2%}"),
    "simulated_transfer_error_median": Row("a message simulated, against netem, median", "≤ 5 %", "{:.1%}"),
    "simulated_transfer_error_p90": Row("… 90th percentile, cold starts included", "≤ 15 %", "{:.1%}"),
    "simulated_1000_messages_ms": Row("1,000 messages simulated (ms)", "≤ 1", "{:.2f}"),
    "netem_ttft_error_median": Row("TTFT over netem, against its prediction, median", "–", "{:.1%}"),
    "netem_tpot_error_median": Row("TPOT over netem, against its prediction, median", "–", "{:.1%}"),
    "dilation_error_median": Row("dilation: off from the modelled time, median", "≤ 3 %", "{:.2%}"),
    "trace_bytes_error": Row("bytes through a replayed trace: off, worst", "≤ 5 %", "{:.1%}"),
    "ttft_error_median": Row("TTFT predicted, against 80 cases over netem, median", "≤ 5 %", "{:.1%}"),
    "ttft_error_p90": Row("… 90th percentile of TTFT", "≤ 15 %", "{:.1%}"),
    "tpot_error_median": Row("TPOT predicted, against the same, median", "≤ 5 %", "{:.1%}"),
    "tpot_error_p90": Row("… 90th percentile of TPOT", "≤ 15 %", "{:.1%}"),
    "memory_error_median": Row("memory predicted, weights and cache, median", "≤ 5 %", "{:.2%}"),
    "bytes_exact_share": Row("cases whose bytes are predicted exactly", "100 %", "{:.0%}"),
    "published_error_median": Row("published decode rates, from other chips, median", "≤ 10 %", "{:.1%}"),
    "published_error_p90": Row("… 90th percentile of published rates", "–", "{:.0%}"),
    "exhaustive_ms": Row("every plan of 80 blocks × 3 × 3 widths × 4 codecs (ms)", "≤ 50", "{:.1f}"),
    "dp_ms": Row("80 blocks over 6 devices by dynamic programming (ms)", "≤ 100", "{:.0f}"),
    "dp_optimal_share": Row("… as good as every plan, of 200 random chains", "100 %", "{:.0%}"),
    "plan_ms": Row("one prediction, 64 + 32 tokens, 80 blocks (ms)", "≤ 1", "{:.2f}"),
    "depth_hypervolume_share": Row("bits per block: hypervolume of the planner ÷ oracle", "1", "{:.3f}"),
    "online_regret": Row("moving along traces: regret of the online policy", "–", "{:.0%}"),
    "static_regret": Row("… of the best plan that never moves", "–", "{:.0%}"),
    "hybrid_quality_ratio": Row("best hybrid on LTE: quality ÷ cloud-only's", "≥ 0.95", "{:.3f}"),
    "hybrid_edge_share": Row("… requests served on the edge alone", "≥ 60 %", "{:.0%}"),
    "hybrid_p95_ratio": Row("… 95th percentile of latency ÷ cloud-only's", "≤ 0.5", "{:.2f}"),
    "oracle_area_gap": Row("… area under quality over latency, short of the oracle's", "≤ 10 %", "{:.1%}"),
    "pocket_quality_ratio": Row("an edge of two blocks: quality ÷ cloud-only's", "–", "{:.3f}"),
    "pocket_edge_share": Row("… served by these alone", "–", "{:.0%}"),
    "routing_ms": Row("deciding who answers a request (ms)", "< 2", "{:.2f}"),
    "latency_prediction_error": Row("mean latency of requests at once, predicted: off", "≤ 10 %", "{:.1%}"),
    "residue_after_kill": Row("left after killing an owner at 40 points", "0", "{:.0f}"),
}
HOST = {"processor": "{}", "cpus": "{} processor threads", "gpu": "{}"}
"""What README says of the host, by key of a benchmark's ``host``."""


def table(results: Mapping[str, Mapping[str, Any]], before: str = "") -> str:
    """The markdown table of every known figure that some benchmark gave, and on what it was measured.

    Args:
        before: the table as it stands, whose rows stay for figures that were not measured again.
    """
    figures = {name: value for result in results.values() for name, value in result["figures"].items()}
    standing = {line.split(" | ")[0].removeprefix("| "): line for line in before.splitlines()}
    rows = [
        f"| {row.title} | {row.target} | {row.text.format(figures[name])} |"
        if name in figures
        else standing[row.title]
        for name, row in ROWS.items()
        if name in figures or row.title in standing
    ]
    if not rows:
        return "Nothing measured yet: `make bench`."
    return "\n".join([*_measured_on(results), "", "| figure | target | measured |", "|---|---|---|", *rows])


def _measured_on(results: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for host in dict.fromkeys(_one_line(result["host"]) for result in results.values()):
        if host:
            yield f"Measured on {host}."


def _one_line(host: Mapping[str, Any]) -> str:
    return ", ".join(text.format(host[key]) for key, text in HOST.items() if host.get(key))


def with_table(readme: str, new: str) -> str:
    """README with the table between its markers replaced.

    Raises:
        ValueError: README has not both markers, in order.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README needs the lines {BEGIN!r} and {END!r}, in this order")
    return f"{before}{BEGIN}\n{new}\n{END}{after}"


def main(folder: Path) -> None:
    files = sorted(folder.glob("*.json"))
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    standing = text.partition(BEGIN)[2].partition(END)[0]
    readme.write_text(with_table(text, table(results, standing)), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results" / "bench")
