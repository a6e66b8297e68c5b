"""Fields of a profile or of limits, as a file says them.

A field's name ends in its unit, and a bare number is in that unit: ``rtt_s: 0.04``. The name may be short
where the value says the unit: ``rtt: 40 ms``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from workbench.planner.problem import Limits
from workbench.planner.scenario.tree import Item
from workbench.profiles import DeviceProfile, LinkProfile, OneWay

__all__ = ["DEVICE", "LIMITS", "LINK", "Vocabulary"]

Reader = Callable[[Item], Any]
_SUFFIXES = {
    "_bytes_per_s": "B/s",
    "_j_per_byte": "J/B",
    "_bytes": "B",
    "_bps": "bit/s",
    "_s": "s",
    "_w": "W",
    "_j": "J",
}
_SHARES = {
    *("loss", "reorder", "duplicate", "corrupt", "jitter_correlation"),
    *("bandwidth_efficiency", "flops_efficiency", "spread"),
}


@dataclass(frozen=True)
class Vocabulary:
    """The keys of one kind of thing."""

    units: Mapping[str, str]  # of each field that is a number
    readers: Mapping[str, Reader] = field(default_factory=dict)  # of the other fields
    short: Mapping[str, str] = field(default_factory=dict)  # other names of fields, for values with units
    by_place: frozenset[str] = frozenset()  # fields with a number for each place

    @classmethod
    def of(cls, kind: type, readers: Mapping[str, Reader]) -> Vocabulary:
        """Of a dataclass whose names end in units."""
        units = {f.name: _unit(f.name)[0] for f in fields(kind) if f.name not in readers}
        short = {_unit(name)[1]: name for name, unit in units.items() if unit}
        return cls(units, readers, {key: name for key, name in short.items() if key not in units})

    def read(self, item: Item, *also: str) -> dict[str, Any]:
        """What a mapping says, by field.

        Args:
            also: keys that the mapping may have besides, which are left to the caller.

        Raises:
            InputError: a key is unknown or there twice, or a value has another type, unit or place.
        """
        found: dict[str, Any] = {}
        for key, value in item.of([*self.short, *self.units, *self.readers, *also]).items():
            if key in also:
                continue
            name = self._field(key, value)
            if name in found:
                value.fail(f"{name!r} is there already under another name: say it once")
            found[name] = self._value(name, value, named=name != key)
        return found

    def _field(self, key: str, value: Item) -> str:
        """A link's ``uplink: 12 Mbit/s`` is a rate, its ``uplink: {loss: 0.01}`` is not."""
        own = key in self.readers and (value.is_mapping or key not in self.short)
        return key if own else self.short.get(key, key)

    def _value(self, name: str, value: Item, *, named: bool) -> Any:
        if name in self.readers:
            return self.readers[name](value)
        unit = self.units[name]
        if name in self.by_place:
            return {
                place: amount.number(unit, named=named)
                for place, amount in value.mapping("edge: 8 GB").items()
            }
        return value.number(unit, named=named)


def _unit(name: str) -> tuple[str, str]:
    """A field's unit and its name without it; a share may be said in per cent, but has no other name."""
    if name in _SHARES:
        return "share", name
    for suffix, unit in _SUFFIXES.items():
        if name.endswith(suffix):
            return unit, name.removesuffix(suffix)
    return "", name


def _by_bits(unit: str) -> Reader:
    return lambda item: {bits: value.number(unit) for bits, value in item.mapping("16: 20 TFLOP/s").items()}


_TEXTS = dict.fromkeys(("name", "title"), Item.text)
_ONE_WAY = Vocabulary.of(OneWay, {"jitter_distribution": Item.text, "rate_bps": Item.plain})

DEVICE = Vocabulary.of(
    DeviceProfile,
    {
        **_TEXTS,
        "kind": Item.text,
        "flops": _by_bits("FLOP/s"),
        "flops_efficiency_at": _by_bits("share"),
        "kernels": Item.plain,
        "decode_rates": Item.plain,
        "sources": Item.plain,
    },
)
LINK = Vocabulary.of(
    LinkProfile,
    {
        **_TEXTS,
        "jitter_distribution": Item.text,
        "sources": Item.plain,
        "uplink": _ONE_WAY.read,
        "downlink": _ONE_WAY.read,
    },
)
LIMITS = Vocabulary(
    {
        **{f.name: _unit(f.name)[0] for f in fields(Limits)},
        "bytes_per_month": "B/month",
        "battery_j": "J/month",
        "loss": "bit/byte",
        "offline_quality": "share",
    },
    short={
        **{_unit(f.name)[1]: f.name for f in fields(Limits) if f.name.endswith(("_s", "_bytes"))},
        "data": "bytes_per_month",
        "battery": "battery_j",
        "edge_energy": "edge_j",
    },
    by_place=frozenset({"memory_bytes", "busy_s"}),
)
