"""What loading a stage takes at its peak, against the tensors that it owns.

    python benchmarks/stage_memory.py [--json FILE] [--model FOLDER]

Each stage of a checkpoint of more than 1 GB, which is made here and removed afterwards, is loaded by a
process of its own, with a worker's settings. The ratio is the growth of that process' peak memory while it
loads, over the bytes that the stage holds afterwards. The bare process has imported the libraries and built
the stage without weights.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import torch
from measures.large_model import large_checkpoint

from workbench.devices import WORKER_ENVIRONMENT
from workbench.models import load_model, slice_model
from workbench.models.load import build_empty
from workbench.plan import Stage
from workbench.quantization.weights import resident_bytes

TARGETS = {"stage_memory_ratio": 1.1, "stage_memory_ratio_8_bits": 1.1, "stage_memory_ratio_4_bits": 1.1}
CHILD_S = 600.0


@dataclass(frozen=True)
class Loaded:
    """One stage, as its own process saw it."""

    stage: str
    bits: int
    own_bytes: int  # parameters and buffers once loaded
    bare_bytes: int  # peak of the process before loading
    peak_bytes: int  # peak of the process after
    load_s: float

    @property
    def ratio(self) -> float:
        return (self.peak_bytes - self.bare_bytes) / self.own_bytes


def main() -> None:
    """Measure, print every figure beside its target, write the record."""
    arguments = _arguments()
    if arguments.stage:
        print(json.dumps(asdict(load_here(arguments.model, Stage(**json.loads(arguments.stage))))))
        return
    with ExitStack() as stack:
        folder = arguments.model or stack.enter_context(large_checkpoint())
        checkpoint_bytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        print(f"checkpoint of {checkpoint_bytes / 1e9:.2f} GB\n")
        print("stage                     own MB  bare MB  peak MB  ratio      s")
        cases = [_measured(folder, stage) for stage in stages(folder)]
    figures = _figures(cases)
    print()
    for name, value in figures.items():
        target = f"target at most {TARGETS[name]:g}" if name in TARGETS else "no target: reported"
        print(f"{name:26} {value:6.3f}   {target}")
    if arguments.json:
        record = {
            "benchmark": "stage_memory",
            "host": {"machine": platform.platform(), "cpus": os.cpu_count()},
            "versions": {name: version(name) for name in ("torch", "transformers")},
            "figures": figures,
            "cases": [{**asdict(case), "ratio": case.ratio} for case in cases],
            "checkpoint_bytes": checkpoint_bytes,
        }
        arguments.json.write_text(json.dumps(record, indent=1), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the record there")
    parser.add_argument("--model", type=Path, help="a folder to load instead of the checkpoint made here")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    return parser.parse_args()


def stages(folder: Path) -> list[Stage]:
    """The beginning, the middle and the end of a model at 16 bits; all of it at every width."""
    n = load_model(folder).n_blocks
    first, last = n // 3, 2 * n // 3
    return [
        Stage("edge", 0, first, embedding=True),
        Stage("cloud", first, last),
        Stage("edge", last, n, head=True),
        *(Stage("cloud", 0, n, embedding=True, head=True, bits=bits) for bits in (16, 8, 4)),
    ]


def _measured(folder: Path, stage: Stage) -> Loaded:
    case = load_apart(folder, stage)
    own, bare, peak = (n / 1e6 for n in (case.own_bytes, case.bare_bytes, case.peak_bytes))
    print(f"{case.stage:24}{own:8.1f}{bare:9.1f}{peak:9.1f}{case.ratio:7.3f}{case.load_s:7.1f}", flush=True)
    return case


def _figures(cases: list[Loaded]) -> dict[str, float]:
    """The worst ratio at each width: packing needs one layer's unpacked twin besides."""
    worst: dict[str, float] = {}
    for case in cases:
        name = "stage_memory_ratio" if case.bits == 16 else f"stage_memory_ratio_{case.bits}_bits"
        worst[name] = max(case.ratio, worst.get(name, 0.0))
    return worst


def load_apart(folder: Path, stage: Stage) -> Loaded:
    """Load a stage in a process of its own."""
    command = [sys.executable, __file__, "--model", str(folder), "--stage", json.dumps(asdict(stage))]
    environment = {**os.environ, **WORKER_ENVIRONMENT}
    output = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, timeout=CHILD_S, text=True, env=environment
    ).stdout
    return Loaded(**json.loads(output.splitlines()[-1]))


def load_here(folder: Path, stage: Stage) -> Loaded:
    """Load a stage in this process."""
    model = load_model(folder)
    slice_model(build_empty(model.config, torch.bfloat16), stage)
    bare_bytes, start = peak_bytes(), perf_counter()
    part = model.load_stage(stage)
    load_s = perf_counter() - start
    return Loaded(str(stage), stage.bits, resident_bytes(part.module), bare_bytes, peak_bytes(), load_s)


def peak_bytes() -> int:
    """This process' largest resident memory so far; on Linux getrusage would carry over its parent's."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
