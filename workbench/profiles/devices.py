"""What a device can do, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from workbench.errors import ProfileError
from workbench.profiles.reading import Source, check, read, source, sources_of

__all__ = ["DecodeRate", "DeviceProfile", "Kernel"]


@dataclass(frozen=True)
class DecodeRate:
    """One published decode rate at batch 1: what a device's overhead and efficiency are fitted to."""

    model: str  # which model in which format
    n_blocks: int
    n_bytes: float  # weights that one token reads
    tokens_per_s: float
    source: Source

    def __post_init__(self) -> None:
        positive = {"n_blocks": self.n_blocks, "n_bytes": self.n_bytes, "tokens_per_s": self.tokens_per_s}
        check(self.model, positive, {})


@dataclass(frozen=True)
class Kernel:
    """What a device really reaches with one weight width: the kernel decides more than the width does."""

    block_overhead_s: float
    bandwidth_bytes_per_s: float
    flops: float
    cache_bandwidth_bytes_per_s: float = 0.0  # reading keys and values; 0 where it is that of the weights

    def __post_init__(self) -> None:
        positive = {"bandwidth_bytes_per_s": self.bandwidth_bytes_per_s, "flops": self.flops}
        if self.cache_bandwidth_bytes_per_s:
            positive["cache_bandwidth_bytes_per_s"] = self.cache_bandwidth_bytes_per_s
        check("kernel", positive, {"block_overhead_s": self.block_overhead_s})


@dataclass(frozen=True)
class DeviceProfile:
    """What a device can do, dense (never with sparsity).

    One forward pass of a stage takes ``forward_overhead_s + n_blocks * block_overhead_s + max(bytes /
    bandwidth, flops / peak)``: the bytes decide for a decode step, the flops for a long prefill.
    """

    name: str
    title: str
    kind: str  # "phone", "sbc", "embedded", "laptop", "desktop-gpu", "server-gpu", "host"
    flops: Mapping[int, float]  # achievable peak per second by weight bits: {16: …, 8: …, 4: …}
    memory_bytes: int  # what a model may use
    bandwidth_bytes_per_s: float  # memory bandwidth
    block_overhead_s: float  # fixed cost of one block for one forward pass, whatever its size
    idle_w: float
    active_w: float
    radio_j_per_byte: float = 0.0  # energy to send one byte, where published
    bandwidth_efficiency: float = 1.0  # share of the bandwidth that decoding reaches
    flops_efficiency: float = 1.0  # share of the peak that prefill reaches
    flops_efficiency_at: Mapping[int, float] = field(default_factory=dict)  # by weight bits, where it differs
    forward_overhead_s: float = 0.0  # fixed cost of one forward pass of a stage, besides its blocks
    head_overhead_s: float = 0.0  # of the final norm and head, besides reading the head's weights
    message_overhead_s: float = 0.0  # fixed cost of sending or receiving one message, besides the link
    stream_overhead_s: float = 0.0  # what sending a token unasked delays the pass for the next one
    request_overhead_s: float = 0.0  # fixed cost of beginning a request, tokenizing's own included
    sample_s: float = 0.0  # choosing one token from logits
    tokenize_s_per_token: float = 0.0  # text to token ids, per token of a prompt
    encode_s: float = 0.0  # fixed cost of encoding or of decoding one boundary activation
    encode_s_per_element: float = 0.0  # and what each of its numbers adds
    spread: float = 0.0  # half of p10 to p90 of a forward pass's time over its median; 0: unknown
    kernels: Mapping[int, Kernel] = field(default_factory=dict)  # by weight bits, where measured one by one
    decode_rates: tuple[DecodeRate, ...] = ()  # what overhead and efficiency were fitted to
    sources: Mapping[str, Source] = field(default_factory=dict)  # by field name

    def __post_init__(self) -> None:
        positive = {
            "memory_bytes": self.memory_bytes,
            "bandwidth_bytes_per_s": self.bandwidth_bytes_per_s,
            "bandwidth_efficiency": self.bandwidth_efficiency,
            "flops_efficiency": self.flops_efficiency,
            **{f"flops[{bits}]": value for bits, value in self.flops.items()},
            **{f"flops_efficiency_at[{bits}]": value for bits, value in self.flops_efficiency_at.items()},
        }
        not_negative = {
            "block_overhead_s": self.block_overhead_s,
            "idle_w": self.idle_w,
            "active_w": self.active_w,
            "radio_j_per_byte": self.radio_j_per_byte,
            "forward_overhead_s": self.forward_overhead_s,
            "head_overhead_s": self.head_overhead_s,
            "message_overhead_s": self.message_overhead_s,
            "stream_overhead_s": self.stream_overhead_s,
            "request_overhead_s": self.request_overhead_s,
            "sample_s": self.sample_s,
            "tokenize_s_per_token": self.tokenize_s_per_token,
            "encode_s": self.encode_s,
            "encode_s_per_element": self.encode_s_per_element,
            "spread": self.spread,
        }
        check(self.name, positive, not_negative)
        if 16 not in self.flops:
            raise ProfileError(f"device {self.name!r} says no flops at 16 bits: has {sorted(self.flops)}")

    def flops_at(self, bits: int) -> float:
        """Peak operations per second with weights of ``bits``; the next wider known width stands in."""
        wider = [b for b in sorted(self.flops) if b >= bits]
        return self.flops[wider[0] if wider else max(self.flops)]

    def kernel(self, bits: int) -> Kernel:
        """What is reached with weights of ``bits``: as measured, else the peak times the efficiency."""
        if bits in self.kernels:
            return self.kernels[bits]
        return Kernel(
            self.block_overhead_s,
            self.bandwidth_bytes_per_s * self.bandwidth_efficiency,
            self.flops_at(bits) * self.flops_efficiency_at.get(bits, self.flops_efficiency),
        )

    def begin_s(self, prompt_tokens: int) -> float:
        """Seconds from a prompt's text to its token ids, and what else begins a request."""
        return self.request_overhead_s + self.tokenize_s_per_token * prompt_tokens

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        data = asdict(self)
        for by_bits in ("flops", "flops_efficiency_at", "kernels"):
            data[by_bits] = {str(bits): value for bits, value in data[by_bits].items()}
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DeviceProfile:
        """Read what ``to_dict`` gave, or a file of ``data/devices``.

        Raises:
            ProfileError: a field is missing, unknown or out of range.
        """
        return read(cls, data, _READERS)


def _kernel(data: Kernel | Mapping[str, Any]) -> Kernel:
    return data if isinstance(data, Kernel) else Kernel(**data)


def _rate(data: DecodeRate | Mapping[str, Any]) -> DecodeRate:
    if isinstance(data, DecodeRate):
        return data
    return DecodeRate(**{**data, "source": source(data["source"])})


def _by_bits(data: Mapping[Any, Any]) -> dict[int, float]:
    return {int(bits): float(value) for bits, value in data.items()}


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "flops": _by_bits,
    "flops_efficiency_at": _by_bits,
    "kernels": lambda kernels: {int(bits): _kernel(value) for bits, value in kernels.items()},
    "sources": sources_of,
    "decode_rates": lambda rates: tuple(_rate(rate) for rate in rates),
}
