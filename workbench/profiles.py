"""Devices, links and models as data. What enacts a profile has another name: a link, a throttle.

Profiles are read from ``data/devices/*.json`` and ``data/links/*.json``; every field names its source.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from workbench.errors import InputError, ProfileError, UnknownNameError
from workbench.trace import LABELS, Label

__all__ = [
    "DATA",
    "DecodeRate",
    "DeviceProfile",
    "Kernel",
    "LinkProfile",
    "ModelProfile",
    "Source",
    "device",
    "devices",
    "link",
    "links",
]


def _data_folder() -> Path:
    inside = Path(__file__).parent / "data"  # an installed wheel
    return inside if inside.is_dir() else Path(__file__).parent.parent / "data"


DATA = _data_folder()
T = TypeVar("T")
P = TypeVar("P", "DeviceProfile", "LinkProfile")


@dataclass(frozen=True)
class Source:
    """Where a field's value comes from."""

    text: str  # document, page, test
    label: Label = "published"
    url: str = ""

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise UnknownNameError("label", self.label, LABELS)


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
        _check(self.model, positive, {})


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
        _check("kernel", positive, {"block_overhead_s": self.block_overhead_s})


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
    forward_overhead_s: float = 0.0  # fixed cost of one forward pass of a stage, besides its blocks
    head_overhead_s: float = 0.0  # of the final norm and head, besides reading the head's weights
    message_overhead_s: float = 0.0  # fixed cost of sending or receiving one message, besides the link
    sample_s: float = 0.0  # choosing one token from logits
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
        }
        not_negative = {
            "block_overhead_s": self.block_overhead_s,
            "idle_w": self.idle_w,
            "active_w": self.active_w,
            "radio_j_per_byte": self.radio_j_per_byte,
            "forward_overhead_s": self.forward_overhead_s,
            "head_overhead_s": self.head_overhead_s,
            "message_overhead_s": self.message_overhead_s,
            "sample_s": self.sample_s,
        }
        _check(self.name, positive, not_negative)
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
            self.flops_at(bits) * self.flops_efficiency,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        data = asdict(self)
        for by_bits in ("flops", "kernels"):
            data[by_bits] = {str(bits): value for bits, value in data[by_bits].items()}
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DeviceProfile:
        """Read what ``to_dict`` gave, or a file of ``data/devices``.

        Raises:
            ProfileError: a field is missing, unknown or out of range.
        """
        return _read(cls, data)


@dataclass(frozen=True)
class LinkProfile:
    """A network path between edge and cloud, as an application sees it."""

    rtt_s: float
    uplink_bps: float  # bits per second, edge to cloud
    downlink_bps: float  # bits per second, cloud to edge
    jitter_s: float = 0.0  # standard deviation of the one-way delay
    loss: float = 0.0  # share of packets lost, 0 to 1
    name: str = "custom"
    title: str = "custom"
    sources: Mapping[str, Source] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(
            self.name,
            {"uplink_bps": self.uplink_bps, "downlink_bps": self.downlink_bps},
            {"rtt_s": self.rtt_s, "jitter_s": self.jitter_s, "loss": self.loss},
        )
        if self.loss >= 1:
            raise ProfileError(f"link {self.name!r}: loss is a share below 1, got {self.loss}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LinkProfile:
        """Read what ``to_dict`` gave, or a file of ``data/links``.

        Raises:
            ProfileError: a field is missing, unknown or out of range.
        """
        return _read(cls, data)


@dataclass(frozen=True)
class ModelProfile:
    """A model as numbers: enough to predict its cost without its weights.

    Tuples have one entry per block. Parameters count elements, not bytes.
    """

    name: str
    architecture: str  # e.g. "LlamaForCausalLM"
    n_blocks: int
    hidden: int
    vocab: int
    max_positions: int
    boundary_elements: tuple[int, ...]  # per token and split point 0…n: what crosses there
    block_params: tuple[int, ...]  # all of a block's parameters: what has to be held
    block_active_params: tuple[int, ...]  # those that one token uses (fewer in a mixture of experts)
    block_quantizable: tuple[int, ...]  # those in linear layers, which 8 and 4 bits pack
    kv_elements: tuple[int, ...]  # per block and token of context
    attention_width: tuple[int, ...]  # query heads x head size, per block: attention flops grow with it
    window: tuple[int | None, ...]  # sliding attention window per block, None for full
    embedding_params: int
    head_params: int  # 0 extra where tied, see tied
    tied: bool  # head and embedding share one tensor; a side that owns one of them holds it once
    config_key: str = ""  # hash of the configuration that this was read from

    def __post_init__(self) -> None:
        per_block = (
            "block_params",
            "block_active_params",
            "block_quantizable",
            "kv_elements",
            "attention_width",
        )
        wrong = [k for k in (*per_block, "window") if len(getattr(self, k)) != self.n_blocks]
        if wrong or len(self.boundary_elements) != self.n_blocks + 1:
            raise ProfileError(
                f"model {self.name!r}: {wrong or 'boundary_elements'} do not fit {self.n_blocks} blocks"
            )

    @property
    def params(self) -> int:
        """All parameters, a tied tensor once."""
        return sum(self.block_params) + self.embedding_params + (0 if self.tied else self.head_params)


def devices() -> dict[str, DeviceProfile]:
    """Every shipped device profile by name."""
    return dict(_shipped_devices())


def links() -> dict[str, LinkProfile]:
    """Every shipped link profile by name."""
    return dict(_shipped_links())


def device(name: str) -> DeviceProfile:
    """A shipped device profile.

    Raises:
        UnknownNameError: no device is called so; the message suggests the nearest.
    """
    return _named("device", name, _shipped_devices())


def link(name: str) -> LinkProfile:
    """A shipped link profile.

    Raises:
        UnknownNameError: no link is called so; the message suggests the nearest.
    """
    return _named("link", name, _shipped_links())


@cache
def _shipped_devices() -> Mapping[str, DeviceProfile]:
    return {p.stem: DeviceProfile.from_dict(_load(p)) for p in sorted((DATA / "devices").glob("*.json"))}


@cache
def _shipped_links() -> Mapping[str, LinkProfile]:
    return {p.stem: LinkProfile.from_dict(_load(p)) for p in sorted((DATA / "links").glob("*.json"))}


def _load(path: Path) -> dict[str, Any]:
    return {"name": path.stem, **json.loads(path.read_text(encoding="utf-8"))}


def _named(kind: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise UnknownNameError(kind, name, known)
    return known[name]


def _read(cls: type[P], data: Mapping[str, Any]) -> P:
    try:
        return cls(**{**data, **{key: read(data[key]) for key, read in _READERS.items() if key in data}})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        name = data.get("name", "?") if isinstance(data, Mapping) else data
        raise ProfileError(f"{name!r} is no {cls.__name__}: {error}") from error


def _source(data: Source | Mapping[str, Any]) -> Source:
    return data if isinstance(data, Source) else Source(**data)


def _kernel(data: Kernel | Mapping[str, Any]) -> Kernel:
    return data if isinstance(data, Kernel) else Kernel(**data)


def _rate(data: DecodeRate | Mapping[str, Any]) -> DecodeRate:
    if isinstance(data, DecodeRate):
        return data
    return DecodeRate(**{**data, "source": _source(data["source"])})


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "flops": lambda flops: {int(bits): float(value) for bits, value in flops.items()},
    "kernels": lambda kernels: {int(bits): _kernel(value) for bits, value in kernels.items()},
    "sources": lambda sources: {key: _source(value) for key, value in sources.items()},
    "decode_rates": lambda rates: tuple(_rate(rate) for rate in rates),
}


def _check(name: str, positive: Mapping[str, float], not_negative: Mapping[str, float]) -> None:
    for key, value in positive.items():
        if not 0 < value < math.inf:
            raise ProfileError(f"{name!r}: {key} must be above 0 and finite, got {value}")
    for key, value in not_negative.items():
        if not 0 <= value < math.inf:
            raise ProfileError(f"{name!r}: {key} must be finite and not negative, got {value}")
