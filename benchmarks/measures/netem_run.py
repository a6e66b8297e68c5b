"""Requests over the kernel's netem beside their predictions.

    python -m benchmarks.measures.netem_run --json FILE

Both sides pose as one slow device (dilation), so that any host can: what is left to get wrong is the path.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import workbench as wb

LINKS = ("cable", "4g")  # without jitter: a prediction is a mean, a run one draw
SPLIT_POINT = 4
PROMPT = "def read(path):\n    return open(path).read()\n\n" * 4
NEW_TOKENS = 12
REPEATS = 3


def main() -> None:
    """Run, predict and write both down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True)
    cases = [case for name in LINKS for case in _cases(name)]
    parser.parse_args().json.write_text(json.dumps(cases), encoding="utf-8")


def _cases(name: str) -> list[dict[str, Any]]:
    model = wb.load_model("tiny")
    plan = wb.split(model, at=SPLIT_POINT, wire="fp16")
    device = replace(wb.device("raspberry-pi-5"), name="slow", block_overhead_s=0.02, flops={16: 2e10})
    options = {"model": model, "link_kind": "netem", "clock": "wall"}
    with wb.deploy(plan, device, device, wb.link(name), **options) as run:
        traces = [run.generate(PROMPT, max_new_tokens=NEW_TOKENS) for _ in range(REPEATS)]
        predicted = run.predict_same(traces[0])
    return [
        {
            "link": name,
            "ttft_s": trace.ttft_s,
            "tpot_s": trace.tpot_s,
            "predicted_ttft_s": predicted.ttft_s,
            "predicted_tpot_s": predicted.tpot_s,
        }
        for trace in traces
    ]


if __name__ == "__main__":
    main()
