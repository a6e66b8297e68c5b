"""Each part of a scenario file, read and checked where it stands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from workbench import profiles
from workbench.errors import InputError
from workbench.plan import BITS, WIRE_CODECS
from workbench.planner.aims import AIMS
from workbench.planner.losses import LossTable
from workbench.planner.problem import PARTS, Choices, Exit, Limits, Pin, Prices, Request
from workbench.planner.scenario.fields import DEVICE, LIMITS, LINK
from workbench.planner.scenario.tree import LARGEST_BYTES, Item
from workbench.profiles import DeviceProfile, LinkProfile

__all__ = ["Parts"]

_SPEEDS = ("bandwidth", "flops", "block_overhead_s", "forward_overhead_s")
P = TypeVar("P", DeviceProfile, LinkProfile)


@dataclass(frozen=True)
class Parts:
    """Reads the parts of one file.

    Args:
        folder: what paths in the file are relative to.
        device: a device's profile by name.
    """

    folder: Path
    device: Callable[[str], DeviceProfile]

    def model(self, item: Item) -> str | dict[str, Any]:
        """A name, a path made absolute, or a configuration."""
        if item.is_mapping:
            return dict(item.plain())
        name = item.text()
        path = self._path(name)
        is_path = name.endswith(".json") or name.startswith((".", "/", "~")) or path.is_dir()
        return str(path) if is_path else name

    def devices(self, item: Item) -> dict[str, DeviceProfile]:
        """By place, from the user outward."""
        found = {place: self._device(place, given) for place, given in item.mapping("edge: phone").items()}
        return found or item.fail("names no device: give edge and cloud, from the user outward")

    def links(self, item: Item) -> tuple[LinkProfile, ...]:
        """One for each two neighbours."""
        return tuple(map(self._link, item.items())) if item.is_list else (self._link(item),)

    def losses(self, item: Item) -> LossTable:
        """A table in the file, or in a file of its own."""
        data = item.plain() if item.is_mapping else self._json(item)
        with _said_at(item):
            return LossTable.from_dict(data)

    def _device(self, place: str, item: Item) -> DeviceProfile:
        if not item.is_mapping:
            return self._named_device(item)
        said = DEVICE.read(item, "base")
        base = item.value.get("base")
        start = (
            self._named_device(base).to_dict() if base else {"kind": "custom", "name": place, "title": place}
        )
        if base and any(name.startswith(_SPEEDS) for name in said):
            start |= {"kernels": {}, "decode_rates": ()}  # measured, of the device that it no longer is
        return self._made(DeviceProfile, start, said, item, changed=bool(base))

    def _link(self, item: Item) -> LinkProfile:
        if not item.is_mapping:
            return self._named_link(item)
        said = LINK.read(item, "base")
        base = item.value.get("base")
        start = self._named_link(base).to_dict() if base else {}
        return self._made(LinkProfile, start, said, item, changed=bool(base))

    def _made(
        self, kind: type[P], start: dict[str, Any], said: dict[str, Any], item: Item, *, changed: bool
    ) -> P:
        if changed:
            start |= {"name": f"{start['name']}-changed", "title": f"{start['title']}, changed"}
            start["sources"] = {k: v for k, v in start["sources"].items() if k.partition("[")[0] not in said}
            said = {
                k: {**start[k], **v} if k in ("flops", "uplink", "downlink") else v for k, v in said.items()
            }
        data = {**start, **said}
        required = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
        if missing := [name for name in required if name not in data]:
            item.fail(f"lacks {', '.join(missing)}: add them, or say a base whose values they are")
        with _said_at(item):
            return kind.from_dict(data)

    def _named_device(self, item: Item) -> DeviceProfile:
        name = item.text()
        with _said_at(item):
            return self.device(str(self._path(name)) if name.endswith(".json") else name)

    def _named_link(self, item: Item) -> LinkProfile:
        name = item.text()
        with _said_at(item):
            if not name.endswith(".json"):
                return profiles.link(name)
            return LinkProfile.from_dict({"name": Path(name).stem, **self._json(item)})

    def _json(self, item: Item) -> dict[str, Any]:
        path = self._path(item.text())
        try:
            if path.stat().st_size > 10 * LARGEST_BYTES:
                item.fail(f"{path} is longer than {10 * LARGEST_BYTES:,} bytes")
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            item.fail(f"{path} cannot be read: {error}", error)
        return data if isinstance(data, dict) else item.fail(f"{path} holds no JSON object")

    def _path(self, name: str) -> Path:
        return (self.folder / Path(name).expanduser()).resolve()

    @staticmethod
    def request(item: Item) -> Request:
        """What is asked of the model each time."""
        given = item.of(f.name for f in fields(Request))
        return Request(**{key: value.whole(least=1) for key, value in given.items()})

    @staticmethod
    def objective(item: Item) -> tuple[dict[str, float], tuple[str, ...]]:
        """Weights by aim, and the aims of a front: of a list, the best plan is best at the first."""
        if item.is_mapping:
            return {name: weight.number() for name, weight in item.of(AIMS, "objective").items()}, ()
        if not item.is_list:
            return {item.one_of(AIMS, "objective"): 1.0}, ()
        names = tuple(each.one_of(AIMS, "objective") for each in item.items())
        if len(set(names)) != len(names) or not names:
            item.fail("names each objective once, and at least one")
        return {names[0]: 1.0}, names if len(names) > 1 else ()

    @staticmethod
    def limits(item: Item, places: Sequence[str]) -> Limits:
        """What a plan must keep."""
        found = LIMITS.read(item)
        for key, value in item.value.items():
            if value.is_mapping:
                value.of(places, "place")
            elif LIMITS.short.get(key, key) in LIMITS.by_place:
                value.mapping(f"{places[0]}: 8 GB")
        with _said_at(item):
            return Limits(**found)

    @staticmethod
    def pins(item: Item, places: Sequence[str]) -> tuple[Pin, ...]:
        """Parts of the model that have their place."""
        return tuple(_pin(each, places) for each in item.items())

    @staticmethod
    def choices(item: Item, places: Sequence[str]) -> Choices:
        """What may be chosen."""
        given = item.of(f.name for f in fields(Choices))
        found: dict[str, Any] = {}
        if "bits" in given:
            bits = given["bits"]
            widths = dict.fromkeys(places, bits) if bits.is_list else bits.of(places, "place")
            found["bits"] = {place: _widths(each) for place, each in widths.items()}
        if "wires" in given:
            found["wires"] = tuple(each.one_of(WIRE_CODECS, "wire codec") for each in given["wires"].items())
        if "u_shaped" in given:
            found["u_shaped"] = given["u_shaped"].flag()
        with _said_at(item):
            return Choices(**found)

    @staticmethod
    def prices(item: Item, places: Sequence[str]) -> Prices:
        """In any one currency."""
        given = item.of(f.name for f in fields(Prices))
        found: dict[str, Any] = {}
        if "per_hour" in given:
            per_hour = given["per_hour"].of(places, "place")
            found["per_hour"] = {place: price.number() for place, price in per_hour.items()}
        if "per_gb" in given:
            found["per_gb"] = given["per_gb"].number()
        with _said_at(item):
            return Prices(**found)

    @staticmethod
    def exits(item: Item) -> tuple[Exit, ...]:
        """Early exits and their quality."""
        return tuple(map(_exit, item.items()))


def _pin(item: Item, places: Sequence[str]) -> Pin:
    given = item.of(("part", "place", "blocks"))
    if "place" not in given:
        item.fail("needs a place, as {part: embedding, place: edge}")
    if "part" not in given and "blocks" not in given:
        item.fail(f"needs a part of the model: one of {', '.join(PARTS)}")
    part = given["part"].one_of(PARTS, "part of a model") if "part" in given else "blocks"
    start, stop = _blocks(given["blocks"], part) if "blocks" in given else (0, None)
    with _said_at(item):
        return Pin(part, given["place"].one_of(places, "place"), start, stop)


def _blocks(item: Item, part: str) -> tuple[int, int | None]:
    if part != "blocks":
        item.fail(f"{part} has no blocks: say part: blocks, or leave them out")
    ends = item.items()
    if len(ends) != 2:
        item.fail("takes two numbers, the first block and the one after the last, as [0, 4]")
    return ends[0].whole(), None if ends[1].value is None else ends[1].whole()


def _exit(item: Item) -> Exit:
    given = item.of(("after", "quality"))
    if len(given) != 2:
        item.fail("needs after and quality, as {after: 16, quality: 90 %}")
    with _said_at(item):
        return Exit(given["after"].whole(least=1), given["quality"].number("share"))


def _widths(item: Item) -> tuple[int, ...]:
    widths = tuple(each.whole() for each in (item.items() if item.is_list else (item,)))
    if not widths or set(widths) - set(BITS):
        item.fail(f"takes some of {', '.join(map(str, BITS))} bits: got {list(widths)}")
    return widths


@contextmanager
def _said_at(item: Item) -> Iterator[None]:
    """Complaints of profiles and limits say where they were given."""
    try:
        yield
    except InputError as error:
        text = str(error)
        if text.startswith(f"{item.source}:"):
            raise
        item.fail(text, error)
