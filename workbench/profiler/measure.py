"""The measuring process: reads a request from standard input, answers with lines of JSON, the last one the
answer.

``python -m workbench.profiler.measure`` is started by ``workbench.profiler`` alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor

from workbench.devices.threads import threads_for
from workbench.errors import WorkbenchError
from workbench.models import Model, load_model
from workbench.models.slice import Boundary, StageModel
from workbench.plan import CLOUD, EDGE, Stage
from workbench.profiler.fitting import HostTimes, WidthTimes
from workbench.quantization.weights import resident_bytes
from workbench.wire import Ping, connect, decode_tensors, encode_tensors

_WAIT_S = 0.004  # a pause as a fast link makes it: long enough for a core to go idle
_CONTEXTS = (64, 512)
_PREFILLS = (16, 64, 256)
_MATRIX = (4096, 8192)
_REPEATS = (3, 40)


def measure(model: Model, bits: list[int], budget_s: float, on_step: Callable[[str], None]) -> HostTimes:
    """Everything that a host profile needs; ``on_step`` is told what comes next."""
    torch.set_num_threads(threads_for(model.profile))
    each_s = budget_s / (8 * len(bits) + 6)
    widths = {}
    for b in bits:
        on_step(f"blocks with weights of {b} bits")
        widths[b] = _width(model, b, each_s)
    on_step("memory bandwidth, head, messages, sampling")
    return HostTimes(
        model=model.name,
        threads=torch.get_num_threads(),
        widths=widths,
        bandwidth_bytes_per_s=_bandwidth(each_s),
        head_s=_head_s(model, 16 if 16 in bits else max(bits), each_s),
        message_s=_message_s(model.profile.hidden, each_s),
        sample_s=_sample_s(model, each_s),
        cpu_share=_cpu_share(each_s),
    )


def _width(model: Model, bits: int, each_s: float) -> WidthTimes:
    n = model.profile.n_blocks
    few = max(0, n // 4 if n > 3 else n - 1)
    stages = [model.load_stage(Stage(EDGE, 0, k, embedding=True, bits=bits)) for k in (few, n)]
    longest = model.profile.max_positions // 2
    contexts = (min(_CONTEXTS[0], longest // 4), min(_CONTEXTS[1], longest))
    decode = [_decode_s(stage, model, contexts[0], each_s) for stage in stages]
    late = [_decode_s(stage, model, contexts[0], each_s, _WAIT_S) for stage in stages]
    prefill = [(t, _prefill_s(stages[1], model, t, each_s)) for t in _PREFILLS if t <= longest]
    block_bytes = (resident_bytes(stages[1].module) - resident_bytes(stages[0].module)) / (n - few)
    return WidthTimes(
        blocks=(few, n),
        decode_s=(decode[0], decode[1]),
        after_wait_s=(late[0], late[1]),
        contexts=contexts,
        full_cache_s=_decode_s(stages[1], model, contexts[1], each_s),
        prefill=tuple(prefill),
        block_bytes=block_bytes,
    )


def _decode_s(stage: StageModel, model: Model, context: int, each_s: float, wait_s: float = 0.0) -> float:
    cache = stage.new_cache(1)
    stage.forward(_ids(model, context), cache=cache)
    ids = _ids(model, 1)
    room = model.profile.max_positions - cache.length - 1
    return _median_s(lambda: stage.forward(ids, cache=cache, logits_to_keep=1), each_s, wait_s, room)


def _prefill_s(stage: StageModel, model: Model, tokens: int, each_s: float) -> float:
    ids = _ids(model, tokens)
    return _median_s(lambda: stage.forward(ids, cache=stage.new_cache(1), logits_to_keep=1), each_s)


def _head_s(model: Model, bits: int, each_s: float) -> float:
    n = model.profile.n_blocks
    before = model.load_stage(Stage(EDGE, 0, n, embedding=True, bits=bits))
    head = model.load_stage(Stage(CLOUD, n, n, head=True, bits=bits))
    boundary = before.forward(_ids(model, 1))
    return _median_s(lambda: head.forward(boundary, logits_to_keep=1), each_s)


def _bandwidth(each_s: float) -> float:
    matrix = torch.ones(*_MATRIX, dtype=torch.bfloat16)
    row = torch.ones(1, _MATRIX[1], dtype=torch.bfloat16)
    return matrix.nbytes / _median_s(lambda: torch.nn.functional.linear(row, matrix), each_s)


def _sample_s(model: Model, each_s: float) -> float:
    logits = torch.randn(1, model.profile.vocab)
    ids = list(range(5))

    def sample() -> None:
        logits.argmax(dim=-1).tolist()
        model.tokenizer.decode(ids)
        model.tokenizer.decode(ids[:4])

    return _median_s(sample, each_s)


def _cpu_share(each_s: float) -> float:
    matrix = torch.ones(512, 512)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall_s < each_s:
        torch.mm(matrix, matrix)
    spent_s = time.process_time() - cpu_s
    return spent_s / (time.perf_counter() - wall_s) / torch.get_num_threads()


def _message_s(hidden: int, each_s: float) -> float:
    """One way of a message with one token's boundary activation: packing, the way, unpacking."""
    peer = subprocess.Popen(
        [sys.executable, "-m", "workbench.profiler.echo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert peer.stdin is not None
    assert peer.stdout is not None
    try:
        contact = json.loads(peer.stdout.readline())
        with connect(contact["address"], server_key=contact["key"]) as transport:

            def there_and_back() -> None:
                transport.send(Ping(time.perf_counter()))
                transport.receive(10.0)

            there_and_back()
            round_trip_s = _median_s(there_and_back, each_s, _WAIT_S)
    finally:
        peer.stdin.close()  # which ends it
        peer.wait(10.0)
        peer.stdout.close()
    return round_trip_s / 2 + _median_s(_packing(torch.randn(1, 1, hidden)), each_s)


def _packing(boundary: Tensor) -> Callable[[], None]:
    tensors = {"hidden_states": boundary}

    def pack_and_unpack() -> None:
        headers, frames = encode_tensors(tensors, "fp16")
        decode_tensors(headers, frames)

    return pack_and_unpack


def _ids(model: Model, tokens: int) -> Tensor:
    return torch.arange(tokens).remainder(model.profile.vocab)[None]


def _median_s(
    run: Callable[[], Tensor | Boundary | None], each_s: float, wait_s: float = 0.0, most: int = 1 << 30
) -> float:
    least, usual = _REPEATS
    for _ in range(min(2, most)):  # the first passes allocate
        run()
    times: list[float] = []
    until = time.perf_counter() + each_s
    while len(times) < min(least, most - 2) or (
        len(times) < min(usual, most - 2) and time.perf_counter() < until
    ):
        if wait_s:
            time.sleep(wait_s)
        started_s = time.perf_counter()
        run()
        times.append(time.perf_counter() - started_s)
    return median(times)


def main() -> int:
    """Answer one request."""
    request: dict[str, Any] = json.loads(sys.stdin.read())
    try:
        model = load_model(request["model"], local_files_only=True)
        answer = measure(model, request["bits"], request["budget_s"], _say).to_dict()
    except WorkbenchError as error:
        answer = {"failed": type(error).__name__, "message": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def _say(step: str) -> None:
    sys.stdout.write(json.dumps({"step": step}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
