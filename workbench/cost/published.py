"""What a device that nobody has measured would reach, learnt from the rates published for others.

Every processor of a kind is given the same two numbers: seconds of overhead per block, and the share of its
data sheet's memory bandwidth that reading weights reaches,

    t = n_blocks * overhead + n_bytes / (share * bandwidth)

``leave_one_device_out`` says how far such a prediction is off: it predicts each device from the rates of the
others only. ``from_data_sheet`` makes a profile of a device that is not shipped.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args

from workbench.cost.fit import Row, decode_rate, fit_absolute, fit_decode
from workbench.errors import InputError, ProfileError, UnknownNameError
from workbench.profiles import DATA, DecodeRate, DeviceProfile, Source

__all__ = [
    "PROCESSORS",
    "Calibration",
    "Group",
    "Prediction",
    "Processor",
    "PublishedRate",
    "Shared",
    "calibrate",
    "from_data_sheet",
    "leave_one_device_out",
    "leave_one_rate_out",
    "published_rates",
    "quantile",
    "within_sample",
]

Processor = Literal["apple-gpu", "cpu", "gddr-gpu", "hbm-gpu", "jetson-gpu"]
"""What reads the weights: a kind that a data sheet tells apart."""

PROCESSORS: tuple[str, ...] = get_args(Processor)
_FILE = DATA / "published" / "decode_rates.json"
_NOT_CALIBRATED = "the peak that was given; the calibration is of decoding only"


@dataclass(frozen=True)
class PublishedRate:
    """One decode rate at batch 1, and what a data sheet says of the device that reached it."""

    device: str
    family: str  # the chip: its variants are left out together
    generation: str  # the architecture, which several chips share
    processor: Processor
    bandwidth_bytes_per_s: float  # of the memory, as its data sheet says
    runtime: str  # and its backend, e.g. "llama.cpp Metal"
    bits: int  # of the weights in linear layers
    rate: DecodeRate

    def __post_init__(self) -> None:
        if self.processor not in PROCESSORS:
            raise UnknownNameError("processor", self.processor, PROCESSORS)
        if not 0 < self.bandwidth_bytes_per_s < math.inf:
            raise ProfileError(
                f"{self.device!r}: bandwidth_bytes_per_s must be above 0 and finite, "
                f"got {self.bandwidth_bytes_per_s}"
            )

    @property
    def row(self) -> Row:
        """What a fit over several devices sees: bytes count in seconds at the full bandwidth."""
        rate = self.rate
        full_s = rate.n_bytes / self.bandwidth_bytes_per_s
        return rate.n_blocks * rate.tokens_per_s, full_s * rate.tokens_per_s


@dataclass(frozen=True)
class Shared:
    """What all processors of a kind have in common."""

    block_overhead_s: float
    bandwidth_share: float  # of the data sheet's memory bandwidth, reached while reading weights


@dataclass(frozen=True)
class Calibration:
    """Two numbers for each kind of processor that it has seen."""

    shared: Mapping[str, Shared]

    def decode_s(self, processor: str, bandwidth_bytes_per_s: float, n_blocks: int, n_bytes: float) -> float:
        """Seconds per token at batch 1 of a model that reads ``n_bytes`` of weights per token.

        Raises:
            UnknownNameError: it has seen no rate of such a processor.
        """
        kind = self.of(processor)
        return n_blocks * kind.block_overhead_s + n_bytes / (kind.bandwidth_share * bandwidth_bytes_per_s)

    def of(self, processor: str) -> Shared:
        """The numbers of one kind.

        Raises:
            UnknownNameError: it has seen no rate of such a processor.
        """
        if processor not in self.shared:
            raise UnknownNameError("processor", processor, self.shared)
        return self.shared[processor]


@dataclass(frozen=True)
class Prediction:
    """A published rate beside the modelled one."""

    published: PublishedRate
    tokens_per_s: float

    @property
    def error(self) -> float:
        """Relative: above zero where the prediction is too fast."""
        return self.tokens_per_s / self.published.rate.tokens_per_s - 1.0


Group = Callable[[PublishedRate], str]
"""What is left out together."""


def _family(rate: PublishedRate) -> str:
    return rate.family


def published_rates(path: Path = _FILE) -> tuple[PublishedRate, ...]:
    """The rates of ``data/published``, or of a file of that form.

    Raises:
        ProfileError: the file cannot be read, or something in it is missing, unknown or out of range.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return tuple(rate for device in data["devices"] for rate in _rates_of(device, data))
    except InputError as error:
        raise ProfileError(f"{path}: {error}") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ProfileError(f"{path} is not of the form of data/published/README.md ({reason})") from error


def calibrate(rates: Iterable[PublishedRate]) -> Calibration:
    """Fit the two numbers of each kind of processor: least absolute relative error over all its rates.

    Raises:
        ProfileError: the rates of a kind cannot tell overhead and bandwidth apart.
    """
    by_kind: dict[str, list[Row]] = defaultdict(list)
    for rate in rates:
        by_kind[rate.processor].append(rate.row)
    return Calibration({kind: _shared(kind, rows) for kind, rows in by_kind.items()})


def within_sample(rates: Sequence[PublishedRate]) -> tuple[Prediction, ...]:
    """Each rate predicted by a calibration that has seen it: what the form can hold, not a validation."""
    calibration = calibrate(rates)
    return tuple(_predict(calibration, rate) for rate in rates)


def leave_one_device_out(rates: Sequence[PublishedRate], group: Group = _family) -> tuple[Prediction, ...]:
    """Each rate predicted from data-sheet figures and the rates of all other devices, in the order given.

    Args:
        group: what counts as one device; by default the chip, so that an M1 Pro with 14 GPU cores teaches
            nothing about the one with 16.

    Raises:
        ProfileError: a kind of processor has rates of one group only, and nobody is left to learn from.
    """
    without = {name: _without(rates, group, name) for name in {group(rate) for rate in rates}}
    return tuple(_left_out(without[group(rate)], rate) for rate in rates)


def leave_one_rate_out(rates: Sequence[PublishedRate]) -> tuple[Prediction, ...]:
    """Each rate predicted by the two numbers of its own device and runtime, fitted to that one's other rates.

    Only where the other rates are of two models that differ in bytes per block.
    """

    def key(rate: PublishedRate) -> tuple[str, str]:
        return rate.device, rate.runtime

    predictions: list[Prediction] = []
    for _, same in groupby(sorted(rates, key=key), key):
        own = list(same)
        predictions += [p for rate in own if (p := _from_own([o for o in own if o is not rate], rate))]
    return tuple(predictions)


def quantile(predictions: Iterable[Prediction], share: float) -> float:
    """The size of the relative error that ``share`` of the predictions stay within, interpolated.

    Raises:
        ProfileError: there are no predictions.
    """
    errors = sorted(abs(prediction.error) for prediction in predictions)
    if not errors:
        raise ProfileError("no predictions: give published rates")
    at = share * (len(errors) - 1)
    below = errors[math.floor(at)]
    return below + (at - math.floor(at)) * (errors[math.ceil(at)] - below)


def from_data_sheet(
    name: str,
    *,
    processor: Processor,
    bandwidth_bytes_per_s: float,
    flops: Mapping[int, float],
    memory_bytes: int,
    active_w: float,
    idle_w: float = 0.0,
    kind: str = "custom",
    title: str = "",
    source: Source | None = None,
    rates: Sequence[PublishedRate] | None = None,
) -> DeviceProfile:
    """A profile of a device that is not shipped: its data sheet, and what its kind of processor reaches.

    ``spread`` is the error that 80 % of left-out rates of this kind of processor stayed within.

    Args:
        processor: what reads the weights.
        bandwidth_bytes_per_s: of the memory, as the data sheet says.
        flops: peak operations per second by weight bits, dense; a long prompt reaches less.
        source: the data sheet.
        rates: to learn from, those of ``data/published`` where none are given.

    Raises:
        UnknownNameError: no rate of such a processor is known.
        ProfileError: a figure is out of range, or rates of one chip only are known.
    """
    known = _shipped_rates() if rates is None else tuple(rates)
    shared = calibrate(known).of(processor)
    same = tuple(rate for rate in known if rate.processor == processor)
    off = leave_one_device_out(same)
    return DeviceProfile(
        name=name,
        title=title or name,
        kind=kind,
        flops=flops,
        memory_bytes=memory_bytes,
        bandwidth_bytes_per_s=bandwidth_bytes_per_s,
        block_overhead_s=shared.block_overhead_s,
        bandwidth_efficiency=shared.bandwidth_share,
        idle_w=idle_w,
        active_w=active_w,
        spread=quantile(off, 0.8),
        sources=_sources(source or Source("data sheet, as given"), processor, off),
    )


def _sources(sheet: Source, processor: str, off: Sequence[Prediction]) -> dict[str, Source]:
    families = len({p.published.family for p in off})
    learnt = Source(
        f"learnt from {len(off)} published decode rates of {families} other devices with this kind of "
        f"processor, {processor}; devices left out were predicted within {quantile(off, 0.5):.0%} (median) "
        f"and {quantile(off, 0.9):.0%} (90 %)",
        "modelled",
    )
    given = ("flops", "memory_bytes", "bandwidth_bytes_per_s", "idle_w", "active_w")
    return {
        **dict.fromkeys(given, sheet),
        "flops_efficiency": Source(_NOT_CALIBRATED, "modelled"),
        **dict.fromkeys(("block_overhead_s", "bandwidth_efficiency", "spread"), learnt),
    }


@cache
def _shipped_rates() -> tuple[PublishedRate, ...]:
    return published_rates()


def _rates_of(device: Mapping[str, Any], data: Mapping[str, Any]) -> Iterable[PublishedRate]:
    for entry in device["rates"]:
        model = _named("model", entry["model"], data["models"])
        source = Source(**_named("source", entry["source"], data["sources"]))
        yield PublishedRate(
            device=device["name"],
            family=device["family"],
            generation=device["generation"],
            processor=device["processor"],
            bandwidth_bytes_per_s=device["bandwidth_bytes_per_s"],
            runtime=entry["runtime"],
            bits=model["bits"],
            rate=DecodeRate(
                model["title"], model["n_blocks"], model["n_bytes"], entry["tokens_per_s"], source
            ),
        )


def _named(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise UnknownNameError(kind, name, known)
    return known[name]


def _shared(kind: str, rows: Sequence[Row]) -> Shared:
    try:
        overhead_s, slope = fit_absolute(rows)
    except ProfileError as error:
        raise ProfileError(f"processor {kind!r}, {len(rows)} rate(s): {error}") from error
    return Shared(overhead_s, 1.0 / slope)


def _without(rates: Sequence[PublishedRate], group: Group, name: str) -> Calibration:
    """Of the kinds that the group has; the others would not change."""
    kinds = {rate.processor for rate in rates if group(rate) == name}
    return calibrate(rate for rate in rates if rate.processor in kinds and group(rate) != name)


def _left_out(calibration: Calibration, rate: PublishedRate) -> Prediction:
    if rate.processor not in calibration.shared:
        raise ProfileError(
            f"{rate.device!r} cannot be left out: all rates of processor {rate.processor!r} are its own; "
            "add rates of another device of that kind"
        )
    return _predict(calibration, rate)


def _predict(calibration: Calibration, published: PublishedRate) -> Prediction:
    rate = published.rate
    seconds = calibration.decode_s(
        published.processor, published.bandwidth_bytes_per_s, rate.n_blocks, rate.n_bytes
    )
    return Prediction(published, 1.0 / seconds)


def _from_own(others: Sequence[PublishedRate], left_out: PublishedRate) -> Prediction | None:
    try:
        fitted = fit_decode([other.rate for other in others])
    except ProfileError:
        return None
    return Prediction(left_out, decode_rate(left_out.rate.n_blocks, left_out.rate.n_bytes, *fitted))
