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

from workbench.errors import ThrottleError, TransportError, UnsupportedArchitectureError
from workbench.plan import CLOUD, EDGE, Partition, Plan, Stage
from workbench.profiler.fitting import RequestTimes
from workbench.profiler.passes import prompt, single_token, token_ids
from workbench.profiler.repeat import WAIT_S, spread
from workbench.runtime.decoding import Sampling
from workbench.runtime.edge import EdgeClient
from workbench.runtime.process import Child
from workbench.wire import Frame, Transport, connect, new_keys

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["request_times"]

_TEXT = "The user of a machine says what it is to do, and the machine says what it has done. " * 3
_LONGEST = 64  # tokens of the prompt
_SPLIT_TOKENS, _STREAMED_TOKENS = 6, 12
_PASSES = 4  # of the whole model, to each round of requests
_ROUNDS = 3  # at least
_START_TIMEOUT_S = 120.0  # for a process that loads nothing yet

_Pair = tuple[float, float]
"""Seconds of the first token, and of each later one."""


def request_times(model: Model, bits: int, each_s: float, tell: Callable[[str], None]) -> RequestTimes:
    """A split in the middle, cloud-only, and the passes of the whole model, in turns: what slows this host
    down slows all of them.

    Args:
        each_s: seconds to spend on it, besides loading.
        tell: does with a token's text what a side of a run does.

    Raises:
        ThrottleError: one of the sides went away.
    """
    try:
        return _measured(model, bits, each_s, tell)
    except TransportError as error:
        raise ThrottleError(
            f"requests of {model.name!r} with both sides on this host failed: {error}"
        ) from error


def _measured(model: Model, bits: int, each_s: float, tell: Callable[[str], None]) -> RequestTimes:
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
            rows.append([run() for run in runs])
    whole, *requests = zip(*rows, strict=True)
    streamed, *others = (_medians(list(map(_beyond, whole, request))) for request in requests)
    return RequestTimes(
        prompt_tokens=len(model.tokenizer(text)["input_ids"]),
        elements=model.profile.boundary_elements[model.profile.n_blocks // 2],
        streamed_s=streamed,
        split_s=others[0] if others else None,
        spread=max(spread([later for _, later in request]) for request in requests),
    )


def _beyond(whole: _Pair, request: _Pair) -> _Pair:
    return request[0] - whole[0], request[1] - whole[1]


def _text(model: Model) -> str:
    """As much of the text as a request may have."""
    positions, words = model.profile.max_positions, _TEXT.split()
    most = min(_LONGEST, positions // 2, positions - _STREAMED_TOKENS)
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
    client = EdgeClient(model, Plan.of(model.name, Partition.unsplit(model.profile.n_blocks, CLOUD, bits)))
    client.connect(transport)

    def run() -> _Pair:
        times_s = _token_times_s(client, text, _STREAMED_TOKENS, tell)
        return times_s[0], (times_s[-1] - times_s[0]) / (len(times_s) - 1)

    return run


def _split(
    model: Model,
    bits: int,
    text: str,
    open_connection: Callable[[], Transport],
    tell: Callable[[str], None],
) -> Callable[[], _Pair] | None:
    """None where the model cannot be split in its middle."""
    n = model.profile.n_blocks
    try:
        client = EdgeClient(model, Plan.of(model.name, Partition.split(n, n // 2, bits, bits)))
    except UnsupportedArchitectureError:
        return None
    delayed = _Delayed(open_connection())
    client.connect(delayed)

    def run() -> _Pair:
        delayed.delays_s.clear()
        times_s = _token_times_s(client, text, _SPLIT_TOKENS, tell)
        first_s, *later_s = delayed.delays_s[: len(times_s)]
        return times_s[0] - first_s, (times_s[-1] - times_s[0] - sum(later_s)) / len(later_s)

    return run


def _token_times_s(
    client: EdgeClient, text: str, tokens: int, tell: Callable[[str], None]
) -> tuple[float, ...]:
    """Of one request, after a pause."""
    time.sleep(WAIT_S)
    sampling = Sampling(ignore_eos=True)
    return client.generate(text, max_new_tokens=tokens, sampling=sampling, on_token=tell).token_times_s


class _Delayed(Transport):
    """A connection whose answers come later, as over a link: both sides wait as long as they would there.

    Attributes:
        delays_s: of each message received.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.secure = transport.secure
        self.delays_s: list[float] = []

    def _put(self, parts: Sequence[Frame]) -> None:
        self._transport._put(parts)

    def _take(self, timeout_s: float) -> Sequence[Frame]:
        parts = self._transport._take(timeout_s)
        began_s = time.perf_counter()
        time.sleep(WAIT_S)
        self.delays_s.append(time.perf_counter() - began_s)
        return parts

    def close(self) -> None:
        self._transport.close()


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
