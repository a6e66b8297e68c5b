"""The measuring process: reads a request from standard input, answers with lines of JSON, the last one the
answer.

``python -m workbench.profiler.measure`` is started by ``workbench.profiler.process`` alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

import torch

from workbench.devices.threads import threads_for
from workbench.errors import WorkbenchError
from workbench.models import Model, load_model
from workbench.models.slice import StageModel
from workbench.plan import CLOUD, EDGE, Stage
from workbench.profiler.fitting import HostTimes, WidthTimes
from workbench.profiler.loopback import request_times
from workbench.profiler.passes import measure_width, prompt, single_token, token_ids
from workbench.profiler.repeat import repeat, timed
from workbench.profiler.side import codec_s, sample_s, tokenize_s
from workbench.quantization.weights import resident_bytes

OnStep = Callable[[str], None]
_CONTEXTS = (61, 509)
_PREFILLS = (13, 61, 251)
_MATRIX = (4096, 8192)
_BUSY_S = 0.5  # of looking whether others are at work
_REQUESTS = 6  # shares of the time that whole requests get


def measure_model(model: Model, bits: Sequence[int], budget_s: float, on_step: OnStep) -> dict[str, Any]:
    """Times of every part of a model, as ``profiles.WidthTable`` has them, in plain JSON types."""
    widths, notes, shares = {}, list[str](), [_cpu_share(_BUSY_S)]
    for b in bits:
        on_step(f"every block with weights of {b} bits")
        table, said = measure_width(model, b, budget_s / len(bits))
        widths[str(b)] = asdict(table)
        notes.extend(said)
        shares.append(_cpu_share(_BUSY_S))
    return {"widths": widths, "notes": notes, "cpu_share": median(shares)}


def measure_host(model: Model, bits: Sequence[int], budget_s: float, on_step: OnStep) -> dict[str, Any]:
    """Everything that a host profile needs; ``on_step`` is told what comes next."""
    each_s = budget_s / (6 * len(bits) + 8 + _REQUESTS)
    usual = 16 if 16 in bits else max(bits)
    widths = {}
    for b in bits:
        on_step(f"blocks with weights of {b} bits")
        widths[b] = _width(model, b, each_s)
    on_step("whole requests, edge and cloud both here")
    requests = request_times(model, usual, _REQUESTS * each_s, _tell)
    on_step("memory bandwidth, head, codec, tokens")
    encode_s, encode_s_per_element = codec_s(model, usual, each_s)
    return HostTimes(
        model=model.name,
        threads=torch.get_num_threads(),
        widths=widths,
        bandwidth_bytes_per_s=_bandwidth(each_s),
        head_s=_head_s(model, usual, each_s),
        requests=requests,
        sample_s=sample_s(model, each_s, _tell),
        tokenize_s_per_token=tokenize_s(model, each_s),
        encode_s=encode_s,
        encode_s_per_element=encode_s_per_element,
        cpu_share=_cpu_share(each_s),
    ).to_dict()


def _width(model: Model, bits: int, each_s: float) -> WidthTimes:
    n = model.profile.n_blocks
    few = max(0, n // 4 if n > 3 else n - 1)
    stages = [model.load_stage(Stage(EDGE, 0, k, embedding=True, bits=bits)) for k in (few, n)]
    longest = model.profile.max_positions // 2
    contexts = (min(_CONTEXTS[0], longest // 4), min(_CONTEXTS[1], longest))
    decode = [_decode_s(stage, model, contexts[0], each_s) for stage in stages]
    prefill = [(t, _prefill_s(stages[1], model, t, each_s)) for t in _PREFILLS if t <= longest]
    block_bytes = (resident_bytes(stages[1].module) - resident_bytes(stages[0].module)) / (n - few)
    return WidthTimes(
        blocks=(few, n),
        decode_s=(decode[0], decode[1]),
        contexts=contexts,
        full_cache_s=_decode_s(stages[1], model, contexts[1], each_s),
        prefill=tuple(prefill),
        block_bytes=block_bytes,
    )


def _decode_s(stage: StageModel, model: Model, context: int, each_s: float) -> float:
    run = single_token(stage, token_ids(model, context))
    return median(repeat(lambda: (run(),), each_s)[0])


def _prefill_s(stage: StageModel, model: Model, tokens: int, each_s: float) -> float:
    run = prompt(stage, token_ids(model, tokens))
    return median(repeat(lambda: (run(),), each_s)[0])


def _head_s(model: Model, bits: int, each_s: float) -> float:
    n = model.profile.n_blocks
    before = model.load_stage(Stage(EDGE, 0, n, embedding=True, bits=bits))
    head = model.load_stage(Stage(CLOUD, n, n, head=True, bits=bits))
    boundary = before.forward(token_ids(model, 1))
    return median(repeat(timed(lambda: head.forward(boundary, logits_to_keep=1)), each_s)[0])


def _bandwidth(each_s: float) -> float:
    matrix = torch.ones(*_MATRIX, dtype=torch.bfloat16)
    row = torch.ones(1, _MATRIX[1], dtype=torch.bfloat16)
    taken = repeat(timed(lambda: torch.nn.functional.linear(row, matrix)), each_s)
    return matrix.nbytes / median(taken[0])


def _cpu_share(each_s: float) -> float:
    matrix = torch.ones(512, 512)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall_s < each_s:
        torch.mm(matrix, matrix)
    spent_s = time.process_time() - cpu_s
    return spent_s / (time.perf_counter() - wall_s) / torch.get_num_threads()


_TASKS = {"host": measure_host, "model": measure_model}


def main() -> int:
    """Answer one request."""
    request: dict[str, Any] = json.loads(sys.stdin.read())
    try:
        model = load_model(request["model"], local_files_only=True)
        torch.set_num_threads(threads_for(model.profile))
        answer = _TASKS[request["task"]](model, request["bits"], request["budget_s"], _say)
    except WorkbenchError as error:
        answer = {"failed": type(error).__name__, "message": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def _say(step: str) -> None:
    sys.stdout.write(json.dumps({"step": step}) + "\n")
    sys.stdout.flush()


def _tell(text: str) -> None:
    """As a side of a run tells a token's text to whoever started it."""
    sys.stdout.write(json.dumps({"text": text}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
