"""Requests over the kernel's netem beside their predictions, over splits, widths, codecs, lengths and links.

    python -m benchmarks.measures.prediction_run --json FILE

Two throttles: none, where this host poses as itself and the prediction adds up what was measured of the
model, block by block; and dilation, where both sides wait until a slower device's modelled time is over.
Each case is the median of several requests, each on a connection that was idle for long enough to begin
with slow start.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import workbench as wb
from workbench.cost import place_bytes
from workbench.plan import Plan
from workbench.profiler import calibrate_host, kept_times, measure_model
from workbench.profiles import DeviceProfile, LinkProfile
from workbench.runtime import Sampling

LINKS = ("cable", "4g", "lte", "fibre", "wifi-6")
PROMPT = "def read(path):\n    return open(path).read()\n\n"
LENGTHS = ((1, 6), (12, 16))  # how often the prompt stands there, tokens to make
REPEATS = 5
_TIMEOUTS = 5  # of retransmission, after which a window is small again
Case = dict[str, Any]


@dataclass(frozen=True)
class Setup:
    """What is started once and used for all links and lengths."""

    throttle: str  # "none" or "dilation"
    at: int | None  # split point; None for cloud-only
    edge_bits: int
    cloud_bits: int
    wire: str

    def plan(self, model: wb.Model) -> Plan:
        if self.at is None:
            return wb.cloud_only(model, bits=self.cloud_bits)
        return wb.split(
            model, at=self.at, edge_bits=self.edge_bits, cloud_bits=self.cloud_bits, wire=self.wire
        )


SETUPS = (
    Setup("none", 2, 16, 16, "fp16"),
    Setup("none", 4, 4, 16, "int8"),
    Setup("none", 6, 8, 8, "fp32"),
    Setup("none", None, 16, 16, "fp16"),
    Setup("dilation", 2, 16, 16, "int8"),
    Setup("dilation", 4, 8, 8, "fp16"),
    Setup("dilation", 6, 4, 16, "int4"),
    Setup("dilation", None, 16, 16, "fp16"),
)


def main() -> None:
    """Measure this host, run and predict every case, write all of it down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="two setups and two links, to try it out")
    parser.add_argument("--throttle", choices=("none", "dilation"), help="these setups only")
    arguments = parser.parse_args()
    setups, links = (SETUPS[1:5:3], LINKS[:2]) if arguments.quick else (SETUPS, LINKS)
    setups = tuple(setup for setup in setups if arguments.throttle in (None, setup.throttle))
    model = wb.load_model("tiny")
    cases = [case for setup in setups for case in _cases(setup, model, links)]
    notes = [note for times in kept_times(model.profile).times for note in times.notes]
    record = {"kernel": platform.release(), "cases": cases, "notes": notes}
    arguments.json.write_text(json.dumps(record), encoding="utf-8")


def _cases(setup: Setup, model: wb.Model, links: tuple[str, ...]) -> Iterator[Case]:
    device = _host(setup, model) if setup.throttle == "none" else _slow()
    first = wb.link(links[0])
    options = {"model": model, "link_kind": "netem", "clock": "wall"}
    began_s = time.perf_counter()
    with wb.deploy(setup.plan(model), device, device, first, **options) as run:
        for times, _ in LENGTHS:
            run.generate(PROMPT * times, max_new_tokens=4)  # first-use costs, which each shape has
        for name in links:
            run.change_link(wb.link(name))
            for times, new_tokens in LENGTHS:
                yield _case(setup, run, wb.link(name), PROMPT * times, new_tokens)
    print(f"{setup}: {time.perf_counter() - began_s:.0f} s", file=sys.stderr, flush=True)


def _host(setup: Setup, model: wb.Model) -> DeviceProfile:
    """This host, measured now: a shared machine is another one a quarter of an hour later."""
    bits = sorted({setup.edge_bits, setup.cloud_bits})
    measure_model(model, bits=bits, again=True)
    return calibrate_host(model, bits=bits, again=True)


def _case(setup: Setup, run: wb.Deployment, link: LinkProfile, prompt: str, new_tokens: int) -> Case:
    traces = []
    for _ in range(REPEATS):
        time.sleep(_TIMEOUTS * (link.rtt_s + 0.2))
        traces.append(run.generate(prompt, max_new_tokens=new_tokens, sampling=Sampling(ignore_eos=True)))
    predicted = run.predict_same(traces[0])
    held = place_bytes(
        run.model.profile,
        run.plan.default,
        prompt_tokens=traces[0].prompt_tokens,
        new_tokens=traces[0].n_tokens,
    )
    return {
        "link": link.name,
        "throttle": setup.throttle,
        "split": setup.at,
        "bits": [setup.edge_bits, setup.cloud_bits],
        "wire": setup.wire,
        "prompt_tokens": traces[0].prompt_tokens,
        "new_tokens": traces[0].n_tokens,
        **{
            f"measured_{name}_s": statistics.median(getattr(t, f"{name}_s") for t in traces)
            for name in _TIMES
        },
        **{f"predicted_{name}_s": getattr(predicted, f"{name}_s") for name in _TIMES},
        "ranges": {name: list(bounds) for name, bounds in predicted.ranges.items()},
        "measured_bytes": [[t.bytes_up, t.bytes_down] for t in traces],
        "predicted_bytes": [predicted.bytes_up, predicted.bytes_down],
        "measured_memory": dict(traces[0].memory_bytes),
        "predicted_memory": {place: need.resident for place, need in held.items()},
        "spans": _spans(traces[0], predicted),
    }


_TIMES = ("ttft", "tpot", "total")


def _spans(measured: wb.RequestTrace, predicted: wb.RequestTrace) -> list[Case]:
    """Seconds by place and kind, of both: where an error comes from."""
    sums = [trace.seconds_by() for trace in (measured, predicted)]
    keys = dict.fromkeys([*sums[0], *sums[1]])
    return [
        {
            "place": place,
            "kind": kind,
            "measured_s": sums[0].get((place, kind), 0.0),
            "predicted_s": sums[1].get((place, kind), 0.0),
        }
        for place, kind in keys
    ]


def _slow() -> DeviceProfile:
    """A device that any host can pose as."""
    return replace(
        wb.device("raspberry-pi-5"), name="slow", block_overhead_s=0.01, flops={16: 2e10}, kernels={}
    )


if __name__ == "__main__":
    main()
