"""A decode step of a split model against the unsplit one: two processes over plain loopback, nothing slowed.

The unsplit model is transformers' own, in a process with OpenMP's own settings, and takes turns with the
split one, request by request; the ratio is the median over turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import torch

from workbench.devices import WORKER_ENVIRONMENT, threads_for
from workbench.models import Model, load_model
from workbench.plan import Partition, Plan
from workbench.runtime import EdgeClient, Sampling
from workbench.runtime.process import Child
from workbench.wire import connect

PROMPT = "The first words of a text that goes on for a while, so that a cache holds some of it"
START_S = 300.0

Decode = Callable[[int], list[float]]
"""Makes so many tokens; seconds of each decode step after the first token."""


@dataclass(frozen=True)
class DecodeTimes:
    """Medians over turns."""

    unsplit_s: float
    split_s: float
    ratio: float  # median of the turns' own ratios
    turns: int


def decode_times(
    folder: str | Path, *, at: int, bits: int, wire: str, tokens: int, turns: int
) -> DecodeTimes:
    """Take turns at decoding greedily after the same prompt."""
    model = load_model(folder)
    with unsplit(model, bits) as whole, split(model, at, bits, wire) as parts:
        whole(tokens), parts(tokens)  # warm up
        taken = [(statistics.median(whole(tokens)), statistics.median(parts(tokens))) for _ in range(turns)]
    unsplit_s, split_s = (statistics.median(column) for column in zip(*taken, strict=True))
    ratio = statistics.median(ours / theirs for theirs, ours in taken)
    return DecodeTimes(unsplit_s, split_s, ratio, turns)


@contextmanager
def split(model: Model, at: int, bits: int, wire: str) -> Iterator[Decode]:
    """Edge here, cloud in a process of its own, plain text between them."""
    plan = Plan.of(model.name, Partition.split(model.n_blocks, at, bits, bits), wire)
    threads = threads_for(model.profile)
    torch.set_num_threads(threads)
    config = {
        "models": {model.name: model.reference},
        "threads": threads,
        "keys": None,
        "allowed": None,
        "device": None,
        "compute": "cpu",
    }
    cloud = Child(
        "workbench.runtime.cloud_worker", config, {**WORKER_ENVIRONMENT, "OMP_NUM_THREADS": str(threads)}
    )
    try:
        with connect(cloud.receive(START_S)["address"]) as transport:
            yield _decoder(EdgeClient(model, plan, transport))
    finally:
        cloud.close()


def _decoder(edge: EdgeClient) -> Decode:
    def decode(tokens: int) -> list[float]:
        trace = edge.generate(PROMPT, max_new_tokens=tokens, sampling=Sampling(ignore_eos=True))
        return _steps(trace.token_times_s)

    return decode


@contextmanager
def unsplit(model: Model, bits: int) -> Iterator[Decode]:
    """Transformers' own forward and cache in another process, which sleeps between its turns."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")}
    threads = str(threads_for(model.profile))
    command = [sys.executable, __file__, str(model.source), "--bits", str(bits), "--threads", threads]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**environment, "OMP_NUM_THREADS": threads},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()  # ready

        def decode(tokens: int) -> list[float]:
            process.stdin.write(f"{tokens}\n".encode())
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        try:
            yield decode
        finally:
            process.stdin.close()


def _serve_unsplit() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--bits", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load_model(options.folder)
    whole = model.load_full(dtype=torch.float32 if options.bits == 32 else torch.bfloat16)
    ids = torch.tensor([model.tokenizer(PROMPT)["input_ids"]])
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(_steps(_greedy(whole, ids, int(line)))), flush=True)


@torch.inference_mode()
def _greedy(whole: torch.nn.Module, ids: torch.Tensor, tokens: int) -> list[float]:
    cache, times = None, []
    for _ in range(tokens):
        output = whole(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache, ids = output.past_key_values, output.logits[:, -1].argmax(-1, keepdim=True)
        ids.item()
        times.append(perf_counter())
    return times


def _steps(moments: list[float] | tuple[float, ...]) -> list[float]:
    return [after - before for before, after in pairwise(moments)]


if __name__ == "__main__":
    _serve_unsplit()
