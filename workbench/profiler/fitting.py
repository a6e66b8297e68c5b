"""From seconds of forward passes to the numbers of a device profile. Pure Python."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from workbench.profiles import DeviceProfile, Kernel, ModelProfile, Source

__all__ = ["HostTimes", "RequestTimes", "WidthTimes", "fit_kernel", "forward_overhead", "host_profile"]

_MEMORY_SHARE = 0.8  # of the machine's memory that a model may use
_CORE_W, _IDLE_W = 10.0, 2.0  # per core; nothing here reads a power meter
_SHARES = 40  # how finely overhead and moving weights are told apart
_TIE = 1e-4  # what a factor of e between a fit's bandwidth and a large matrix's counts, as squared error


@dataclass(frozen=True)
class WidthTimes:
    """Seconds with one weight width. The longer stage has all blocks, the shorter one some of them."""

    blocks: tuple[int, int]  # of the shorter and the longer stage
    decode_s: tuple[float, float]  # one token, one pass after the other, few tokens in the cache
    contexts: tuple[int, int]  # tokens in the cache there, and in a full one
    full_cache_s: float  # one token of the longer stage with the full cache
    prefill: tuple[tuple[int, float], ...]  # tokens and seconds of the longer stage, without a past
    block_bytes: float  # as the weights of one block lie in memory, on average


@dataclass(frozen=True)
class RequestTimes:
    """What requests with both sides on one host take longer than the whole model's passes: seconds of the
    first token and of each later one.
    """

    prompt_tokens: int
    elements: int  # numbers per token that cross in the split
    streamed_s: tuple[float, float]  # cloud-only
    split_s: tuple[float, float] | None = None  # two halves; None where it cannot be split there
    spread: float = 0.0  # half of p10 to p90 of a request's time per token over its median


@dataclass(frozen=True)
class HostTimes:
    """All that is measured on a host with one model."""

    model: str
    threads: int
    widths: Mapping[int, WidthTimes]
    bandwidth_bytes_per_s: float  # reading a matrix that no cache holds
    head_s: float  # one token of a stage that has the head and no block, at 16 bits or else the widest
    requests: RequestTimes  # at 16 bits or else the widest
    sample_s: float  # logits to token to text
    tokenize_s_per_token: float  # text to token ids
    encode_s: float  # coding one boundary activation, besides …
    encode_s_per_element: float  # … what each of its numbers takes
    cpu_share: float  # processor time over time while it computed, per thread: below 1 beside other programs

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> HostTimes:
        """Read JSON's form of it."""
        widths = {int(bits): _width(value) for bits, value in data["widths"].items()}
        return cls(**{**data, "widths": widths, "requests": _requests(data["requests"])})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "widths": {str(b): asdict(w) for b, w in self.widths.items()}}


def fit_kernel(model: ModelProfile, bits: int, times: WidthTimes, bandwidth_bytes_per_s: float) -> Kernel:
    """Overhead, bandwidth and operations per second that give the measured times back.

    One token tells overhead and bandwidth only together. Short prompts part them: overhead adds to their
    operations, while the weights move behind them. The split with the least relative error is taken; of
    splits as good, that whose bandwidth is nearest to what a large matrix reaches.
    """
    cache_bps = _cache_bandwidth(model, times, bits)
    token_s = _cache_bytes(model, bits) / model.n_blocks / cache_bps
    block_s = max(_block_s(times) - (times.contexts[0] + 1) * token_s, 1e-9)
    shares = [share / _SHARES * block_s for share in range(1, _SHARES)]
    tried = [fit for moving_s in shares for fit in _with_moving(model, times, block_s, moving_s, token_s)]
    expected_s = times.block_bytes / bandwidth_bytes_per_s
    _, moving_s, flops = min((error + _TIE * math.log(m / expected_s) ** 2, m, f) for error, m, f in tried)
    return Kernel(block_s - moving_s, times.block_bytes / moving_s, flops, cache_bps)


def _with_moving(
    model: ModelProfile, times: WidthTimes, block_s: float, moving_s: float, token_s: float
) -> Iterator[tuple[float, float, float]]:
    """Error, seconds that a block moves its weights, and operations per second, of some fits.

    Operations decide in the longest prompts only: which these are is tried out.
    """
    n = times.blocks[1]
    fixed_s = forward_overhead(times) + n * (block_s - moving_s)
    points = [(n * _operations(model, t), n * (moving_s + t * token_s), s) for t, s in times.prefill]
    hidden = min((moved / ops for ops, moved, _ in points), default=moving_s / _operations(model, 1))
    yield _error(fixed_s, points, hidden), moving_s, 1 / hidden
    for first in range(len(points)):
        above = sum(ops * max(0.0, s - fixed_s) / s**2 for ops, _, s in points[first:])
        below = sum((ops / s) ** 2 for ops, _, s in points[first:])
        if above > 0:
            yield _error(fixed_s, points, above / below), moving_s, below / above


def _error(fixed_s: float, points: list[tuple[float, float, float]], slowness: float) -> float:
    return sum(((fixed_s + max(moved, ops * slowness)) / s - 1) ** 2 for ops, moved, s in points)


def forward_overhead(times: WidthTimes) -> float:
    """What a pass of no block at all would take."""
    return max(0.0, times.decode_s[0] - times.blocks[0] * _block_s(times))


def host_profile(
    model: ModelProfile, times: HostTimes, processor: str, memory_bytes: int, cores: int
) -> DeviceProfile:
    """The device profile of a measured host."""
    kernels = {b: fit_kernel(model, b, w, times.bandwidth_bytes_per_s) for b, w in times.widths.items()}
    usual = 16 if 16 in kernels else max(kernels)
    first, forward_s = kernels[usual], forward_overhead(times.widths[usual])
    overheads = _Overheads.of(times, forward_s)
    measured = Source(
        f"medians over stages of {times.model!r} on {processor}, {times.threads} thread(s) with "
        f"{times.cpu_share:.0%} of a core each",
        "measured",
    )
    guessed = Source(
        f"{_IDLE_W:g} W per idle and {_CORE_W:g} W per busy core: nothing is measured", "modelled"
    )
    names = ("flops", "kernels", "bandwidth_bytes_per_s", "block_overhead_s", "forward_overhead_s")
    more = ("head_overhead_s", "message_overhead_s", "stream_overhead_s", "request_overhead_s")
    other = ("sample_s", "spread", "tokenize_s_per_token", "encode_s", "encode_s_per_element")
    return DeviceProfile(
        name="host",
        title=f"this host: {processor}, {cores} cores",
        kind="host",
        flops={16: first.flops, **{bits: kernel.flops for bits, kernel in kernels.items()}},
        memory_bytes=int(memory_bytes * _MEMORY_SHARE),
        bandwidth_bytes_per_s=times.bandwidth_bytes_per_s,
        block_overhead_s=first.block_overhead_s,
        idle_w=_IDLE_W * cores,
        active_w=_IDLE_W * cores + (_CORE_W - _IDLE_W) * times.threads,
        forward_overhead_s=forward_s,
        head_overhead_s=max(0.0, times.head_s - forward_s - _head_reading_s(model, usual, first)),
        message_overhead_s=overheads.message_s,
        stream_overhead_s=overheads.stream_s,
        request_overhead_s=overheads.request_s,
        sample_s=times.sample_s,
        tokenize_s_per_token=times.tokenize_s_per_token,
        encode_s=times.encode_s,
        encode_s_per_element=times.encode_s_per_element,
        spread=times.requests.spread,
        kernels=kernels,
        sources={
            **dict.fromkeys((*names, *more, *other), measured),
            "memory_bytes": Source(f"{_MEMORY_SHARE:.0%} of this machine's memory", "modelled"),
            "idle_w": guessed,
            "active_w": guessed,
        },
    )


class _Overheads(NamedTuple):
    """What requests took besides their passes, as the cost model counts it."""

    message_s: float  # of either end of a message
    stream_s: float
    request_s: float

    @classmethod
    def of(cls, times: HostTimes, forward_s: float) -> _Overheads:
        """A split step has two messages, each packed by one side and unpacked by the other; a request begins
        as in the quicker of both plans.
        """
        asked, sample_s = times.requests, times.sample_s
        begin_s = times.tokenize_s_per_token * asked.prompt_tokens + sample_s
        stream_s = max(0.0, asked.streamed_s[1] - sample_s)
        if asked.split_s is None:  # then nothing tells messages from what begins a request
            return cls(max(0.0, asked.streamed_s[0] - begin_s) / 4, stream_s, 0.0)
        first_s, step_s = (seconds - forward_s for seconds in asked.split_s)
        message_s = max(0.0, step_s - sample_s - _codecs_s(times, 1)) / 4
        firsts_s = first_s - _codecs_s(times, asked.prompt_tokens), asked.streamed_s[0]
        return cls(message_s, stream_s, max(0.0, min(firsts_s) - begin_s - 4 * message_s))


def _codecs_s(times: HostTimes, tokens: int) -> float:
    """Encoding a boundary activation, and decoding it on the other side."""
    return 2 * (times.encode_s + times.requests.elements * tokens * times.encode_s_per_element)


def _block_s(times: WidthTimes) -> float:
    few, many = times.blocks
    return max(times.decode_s[1] - times.decode_s[0], 1e-9) / (many - few)


def _head_reading_s(model: ModelProfile, bits: int, kernel: Kernel) -> float:
    head = model.head_params or model.vocab * model.hidden
    return head * (4 if bits == 32 else 2) / kernel.bandwidth_bytes_per_s


def _cache_bytes(model: ModelProfile, bits: int) -> float:
    return sum(model.kv_elements) * (4 if bits == 32 else 2)


def _cache_bandwidth(model: ModelProfile, times: WidthTimes, bits: int) -> float:
    """From what a step takes longer with a full cache; 1 % of a step, where that drowns in the noise."""
    longer_s = max(times.full_cache_s - times.decode_s[1], 0.01 * times.decode_s[1])
    grown = _cache_bytes(model, bits) * (times.contexts[1] - times.contexts[0])
    return max(grown, 1.0) / longer_s


def _operations(model: ModelProfile, tokens: int) -> float:
    """Of one block on average, over a prompt: as ``cost.compute`` counts them."""
    weights = 2.0 * sum(model.block_active_params) * tokens
    attention = 4.0 * sum(model.attention_width) * tokens * (tokens + 1) / 2
    return (weights + attention) / model.n_blocks


def _width(data: Mapping[str, Any]) -> WidthTimes:
    pairs = {key: tuple(data[key]) for key in ("blocks", "decode_s", "contexts")}
    return WidthTimes(**{**data, **pairs, "prefill": tuple((n, s) for n, s in data["prefill"])})


def _requests(data: Mapping[str, Any]) -> RequestTimes:
    pairs = {key: tuple(data[key]) for key in ("streamed_s", "split_s") if data[key] is not None}
    return RequestTimes(**{**data, **pairs})
