"""Times whole requests on this host's loopback, with both sides as they run.

What they take besides their passes cannot be timed piece by piece: messages, waking up for them, caches that
the other side's pass has taken meanwhile, and, where there is one processor, the other side's share of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from workbench.errors import UnsupportedArchitectureError
from workbench.plan import CLOUD, EDGE, Partition, Plan, Stage
from workbench.profiler.fitting import RequestTimes
from workbench.profiler.passes import prompt, single_token, token_ids
from workbench.profiler.repeat import WAIT_S
from workbench.runtime.decoding import Sampling
from workbench.runtime.edge import EdgeClient
from workbench.runtime.process import Child
from workbench.wire import Transport, connect, new_keys

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["request_times"]

_TEXT = "The user of a machine says what it is to do, and the machine says what it has done."
_LONGEST = 64  # tokens of the prompt, and not more than half of the model's positions
_PASSES = 4  # of the whole model, to each request
_SPLIT_TOKENS, _STREAMED_TOKENS = 6, 12
_ROUNDS = 3  # at least
_START_TIMEOUT_S = 600.0  # a large model takes a while to load

_Pair = tuple[float, float]
"""Seconds of the first token, and of each later one."""


def request_times(model: Model, bits: int, each_s: float, tell: Callable[[str], None]) -> RequestTimes:
    """A split in the middle, cloud-only, and the passes of the whole model, in turns: what slows this host
    down slows all of them.

    Args:
        each_s: seconds to spend on it, besides loading.
        tell: does with a token's text what a side of a run does.
    """
    text = _text(model)
    with ExitStack() as stack:
        open_connection = stack.enter_context(_cloud(model))
        runs = [_passes(model, bits, text), _streamed(model, bits, text, open_connection(), tell)]
        if (split := _split(model, bits, text, open_connection, tell)) is not None:
            runs.append(split)
        for run in runs:
            run()  # first-use costs
        rows: list[list[_Pair]] = []
        until_s = time.perf_counter() + each_s
        while len(rows) < _ROUNDS or time.perf_counter() < until_s:
            whole, *requests = (run() for run in runs)
            rows.append([(first - whole[0], later - whole[1]) for first, later in requests])
    streamed, *others = (_medians(column) for column in zip(*rows, strict=True))
    return RequestTimes(
        prompt_tokens=len(model.tokenizer(text)["input_ids"]),
        elements=model.profile.boundary_elements[model.profile.n_blocks // 2],
        streamed_s=streamed,
        split_s=others[0] if others else None,
    )


def _text(model: Model) -> str:
    """As much of the text as a request may have."""
    most, words = min(_LONGEST, model.profile.max_positions // 2), _TEXT.split()
    while len(words) > 1 and len(model.tokenizer(" ".join(words))["input_ids"]) > most:
        words.pop()
    return " ".join(words)


def _medians(pairs: Sequence[_Pair]) -> _Pair:
    first, later = zip(*pairs, strict=True)
    return median(first), median(later)


def _passes(model: Model, bits: int, text: str) -> Callable[[], _Pair]:
    """Of the whole model, one after the other."""
    n = model.profile.n_blocks
    whole = model.load_stage(Stage(EDGE, 0, n, embedding=True, head=True, bits=bits))
    ids = token_ids(model, len(model.tokenizer(text)["input_ids"]))
    first, later = prompt(whole, ids), single_token(whole, ids)
    return lambda: (
        median(first() for _ in range(_PASSES)),
        median(later() for _ in range(_PASSES)),
    )


def _streamed(
    model: Model, bits: int, text: str, transport: Transport, tell: Callable[[str], None]
) -> Callable[[], _Pair]:
    plan = Plan.of(model.name, Partition.unsplit(model.profile.n_blocks, CLOUD, bits))
    client = EdgeClient(model, plan, transport)
    return lambda: _request(client, text, _STREAMED_TOKENS, tell, pause_s=0.0)


def _split(
    model: Model,
    bits: int,
    text: str,
    open_connection: Callable[[], Transport],
    tell: Callable[[str], None],
) -> Callable[[], _Pair] | None:
    """None where the model cannot be split."""
    n = model.profile.n_blocks
    try:
        client = EdgeClient(model, Plan.of(model.name, Partition.split(n, n // 2, bits, bits)))
    except UnsupportedArchitectureError:
        return None
    client.connect(open_connection())
    return lambda: _request(client, text, _SPLIT_TOKENS, tell, pause_s=WAIT_S)


def _request(
    client: EdgeClient, text: str, tokens: int, tell: Callable[[str], None], *, pause_s: float
) -> _Pair:
    """One request.

    Args:
        pause_s: before it, and after each token, as a link makes it; not counted.
    """
    pauses: list[_Pair] = []  # begun at, seconds

    def shown(piece: str) -> None:
        tell(piece)
        began_s = time.perf_counter()
        time.sleep(pause_s)
        pauses.append((began_s, time.perf_counter() - began_s))

    time.sleep(WAIT_S)
    asked_s = time.perf_counter()
    trace = client.generate(
        text, max_new_tokens=tokens, sampling=Sampling(ignore_eos=True), on_token=shown if pause_s else tell
    )
    first_s, last_s = trace.token_times_s[0], trace.token_times_s[-1]
    paused_s = sum(seconds for began_s, seconds in pauses if began_s < asked_s + last_s)
    return first_s, (last_s - first_s - paused_s) / (tokens - 1)


@contextmanager
def _cloud(model: Model) -> Iterator[Callable[[], Transport]]:
    """The cloud side in a process of its own; gives what connects to it, and ends all of it."""
    keys, own = new_keys(), new_keys()
    config: dict[str, Any] = {
        "models": {model.name: model.reference},
        "device": None,
        "compute": "cpu",
        "threads": torch.get_num_threads(),
        "keys": {"public": keys.public, "secret": keys.secret},
        "allowed": [own.public],
    }
    child = Child("workbench.runtime.cloud_worker", config, {})
    try:
        address = child.receive(_START_TIMEOUT_S)["address"]
        with ExitStack() as connections:
            yield lambda: connections.enter_context(connect(address, server_key=keys.public, keys=own))
    finally:
        child.close()
