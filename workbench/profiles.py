"""Devices, links and models as data. What enacts a profile has another name: a link, a throttle.

Profiles are read from ``data/devices/*.json`` and ``data/links/*.json``; every field names its source.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from workbench.errors import InputError, ProfileError, UnknownNameError
from workbench.trace import LABELS, Label

__all__ = [
    "DATA",
    "JITTER_DISTRIBUTIONS",
    "DecodeRate",
    "DeviceProfile",
    "Direction",
    "Kernel",
    "LinkProfile",
    "ModelProfile",
    "OneWay",
    "Source",
    "device",
    "device_profiles",
    "link",
    "link_profiles",
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
    flops_efficiency_at: Mapping[int, float] = field(default_factory=dict)  # by weight bits, where it differs
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
            self.flops_at(bits) * self.flops_efficiency_at.get(bits, self.flops_efficiency),
        )

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
        return _read(cls, data)


Direction = Literal["up", "down"]
"""``up`` is edge to cloud, ``down`` cloud to edge."""

JITTER_DISTRIBUTIONS = ("normal", "uniform", "pareto")
_FRAME_BYTES = 1514  # on an Ethernet line
_SMALLEST_QUEUE_BYTES = 64 * _FRAME_BYTES
_LARGEST_QUEUE_BYTES = 64 * 2**20
_SHARED = (
    "jitter_s",
    "jitter_distribution",
    "jitter_correlation",
    "loss",
    "loss_burst",
    "reorder",
    "duplicate",
    "corrupt",
    "queue_bytes",
)


@dataclass(frozen=True)
class OneWay:
    """One direction of a path, everything spelled out: what a link enacts."""

    rate_bps: float  # bits per second, as an application sees it
    delay_s: float
    jitter_s: float = 0.0  # standard deviation of the delay
    jitter_distribution: str = "normal"  # one of JITTER_DISTRIBUTIONS
    jitter_correlation: float = 0.0  # of a packet's delay with that of the one before, 0 to 1
    loss: float = 0.0  # share of packets lost, 0 to 1
    loss_burst: float = (
        1.0  # packets lost in a row, on average (Gilbert–Elliott); 1: independent of each other
    )
    reorder: float = 0.0  # share of packets that overtake those before them, by skipping the delay
    duplicate: float = 0.0  # share of packets that arrive twice
    corrupt: float = 0.0  # share of packets with a bit flipped, which a checksum then drops
    queue_bytes: int = 0  # what may wait at the bottleneck; LinkProfile.way fills in a default

    @property
    def gilbert_elliott(self) -> tuple[float, float]:
        """``(p, r)``: chances per packet of going from good to bad and back; in the bad state all are lost.

        ``r = 1 / burst`` and ``p = loss * r / (1 - loss)``, so that the share of time in the bad state is the
        loss. Gilbert, "Capacity of a burst-noise channel", 1960; Elliott 1963.
        """
        back = 1 / self.loss_burst
        return self.loss * back / (1 - self.loss), back


@dataclass(frozen=True)
class LinkProfile:
    """A network path between edge and cloud, as an application sees it.

    ``uplink`` and ``downlink`` say what one direction has of its own, by the field names of ``OneWay``, e.g.
    ``LinkProfile(0.05, 5e6, 20e6, uplink={"loss": 0.02, "loss_burst": 4})``.
    """

    rtt_s: float
    uplink_bps: float  # bits per second, edge to cloud
    downlink_bps: float  # bits per second, cloud to edge
    jitter_s: float = 0.0  # standard deviation of the one-way delay
    loss: float = 0.0  # share of packets lost, 0 to 1
    name: str = "custom"
    title: str = "custom"
    sources: Mapping[str, Source] = field(default_factory=dict)
    jitter_distribution: str = "normal"  # and the rest as in OneWay, for both directions
    jitter_correlation: float = 0.0
    loss_burst: float = 1.0
    reorder: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    queue_bytes: int = 0  # 0: one bandwidth-delay product of that direction, at least 64 frames
    uplink: Mapping[str, Any] = field(default_factory=dict)
    downlink: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(
            self.name,
            {"uplink_bps": self.uplink_bps, "downlink_bps": self.downlink_bps},
            {"rtt_s": self.rtt_s, "jitter_s": self.jitter_s},
        )
        for own, ways in ((self.uplink, "uplink"), (self.downlink, "downlink")):
            unknown = set(own) - {f.name for f in fields(OneWay)} | set(own) & {"rate_bps"}
            if unknown:
                known = sorted(f.name for f in fields(OneWay) if f.name != "rate_bps")
                raise ProfileError(f"{self.name!r}: {ways} cannot say {sorted(unknown)}: choose of {known}")
        if "delay_s" in self.uplink and "delay_s" in self.downlink:
            raise ProfileError(f"{self.name!r}: give delay_s for one direction, the other gets the rest")
        for direction in ("up", "down"):
            _check_way(self.name, self.way(direction))

    def way(self, direction: Direction) -> OneWay:
        """One direction, with what it has of its own."""
        rate_bps = self.uplink_bps if direction == "up" else self.downlink_bps
        own, other = (self.uplink, self.downlink) if direction == "up" else (self.downlink, self.uplink)
        shared = {key: getattr(self, key) for key in _SHARED}
        delay_s = self.rtt_s - other["delay_s"] if "delay_s" in other else self.rtt_s / 2
        way = OneWay(rate_bps=rate_bps, **{"delay_s": delay_s, **shared, **own})
        if way.queue_bytes:
            return way
        bdp_bytes = min(_LARGEST_QUEUE_BYTES, rate_bps * self.rtt_s / 8)
        return replace(way, queue_bytes=max(_SMALLEST_QUEUE_BYTES, math.ceil(bdp_bytes)))

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


def device_profiles() -> dict[str, DeviceProfile]:
    """Every shipped device profile by name."""
    return dict(_shipped_devices())


def link_profiles() -> dict[str, LinkProfile]:
    """Every shipped link profile by name."""
    return dict(_shipped_links())


def device(name: str) -> DeviceProfile:
    """A shipped device profile by name, or one of your own from a file: a path that ends in ``.json``.

    Raises:
        UnknownNameError: no device is called so; the message suggests the nearest.
        ProfileError: the file cannot be read, or a field is missing, unknown or out of range.
    """
    if isinstance(name, str) and name.endswith(".json"):
        return _from_file(DeviceProfile, Path(name))
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


def _from_file(cls: type[P], path: Path) -> P:
    """What a file of the form of ``data/devices`` says; its name is the profile's unless it gives one."""
    form = "give a JSON object as in data/devices, or let `workbench device calibrate --out FILE` write one"
    try:
        data = _load(path)
    except (OSError, ValueError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"no JSON object: {error}"
        raise ProfileError(f"{path} cannot be read as a profile ({reason}): {form}") from error
    required = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    missing = [name for name in required if name not in data]
    if missing:
        lacking = ", ".join(missing)
        raise ProfileError(f"{path} lacks the field(s) {lacking}: add them, as in data/devices/README.md")
    try:
        return _read(cls, data)
    except InputError as error:
        raise ProfileError(f"{path}: {error}") from error


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


def _by_bits(data: Mapping[Any, Any]) -> dict[int, float]:
    return {int(bits): float(value) for bits, value in data.items()}


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "flops": _by_bits,
    "flops_efficiency_at": _by_bits,
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


def _check_way(name: str, way: OneWay) -> None:
    _check(name, {}, {"delay_s": way.delay_s, "jitter_s": way.jitter_s, "queue_bytes": way.queue_bytes})
    for key in ("jitter_correlation", "loss", "reorder", "duplicate", "corrupt"):
        if not 0 <= getattr(way, key) < 1:
            raise ProfileError(f"link {name!r}: {key} is a share from 0 to below 1, got {getattr(way, key)}")
    if not 1 <= way.loss_burst < math.inf:
        raise ProfileError(f"link {name!r}: loss_burst counts packets, 1 or more, got {way.loss_burst}")
    if way.loss_burst > 1 and way.gilbert_elliott[0] > 1:
        raise ProfileError(
            f"link {name!r}: a loss of {way.loss:g} in bursts of {way.loss_burst:g} packets cannot be: "
            "bursts have to be longer for so much loss"
        )
    if way.jitter_distribution not in JITTER_DISTRIBUTIONS:
        raise UnknownNameError("jitter distribution", way.jitter_distribution, JITTER_DISTRIBUTIONS)
    if way.reorder and not way.delay_s:
        raise ProfileError(f"link {name!r}: packets overtake others by skipping the delay, got delay_s=0")
