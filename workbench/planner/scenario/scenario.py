"""A scenario: a problem as a file says it, with the model still a name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from workbench import profiles
from workbench.errors import InputError
from workbench.planner.losses import LossTable
from workbench.planner.problem import Choices, Exit, Limits, Pin, Prices, Problem, Request
from workbench.planner.scenario.parts import Parts
from workbench.planner.scenario.tree import Item, item_of, read_tree, value_of
from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile

__all__ = ["Scenario", "read_scenario"]

_KEYS = (
    "title",
    "model",
    "devices",
    "link",
    "links",
    "request",
    "objective",
    "constraints",
    "placement",
    "choices",
    "prices",
    "losses",
    "exits",
    "link_kind",
)
_LINK_KINDS = ("simulated", "proxy", "netem")


@dataclass(frozen=True)
class Scenario:
    """What is to be planned. All but ``title`` and ``model`` is as in ``Problem``."""

    model: str | Mapping[str, Any]  # a name, a path or a configuration, as ``models.read_architecture`` takes
    devices: Mapping[str, DeviceProfile]
    links: tuple[LinkProfile, ...]
    title: str = ""
    request: Request = field(default_factory=Request)
    aims: Mapping[str, float] = field(default_factory=lambda: {"total": 1.0})
    front: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    pins: tuple[Pin, ...] = ()
    choices: Choices = field(default_factory=Choices)
    prices: Prices = field(default_factory=Prices)
    losses: LossTable | None = None
    exits: tuple[Exit, ...] = ()
    link_kind: str = "simulated"

    def problem(self, model: ModelProfile) -> Problem:
        """What a planner takes.

        Args:
            model: the profile of ``self.model``.

        Raises:
            InputError: the parts contradict each other or the model, e.g. a pin on a block that it has not.
        """
        losses = self.losses
        if losses is not None and losses.model not in (model.name, Path(model.name).stem):
            raise InputError(
                f"the losses are of model {losses.model!r}, to be planned is {model.name!r}: give losses of "
                "this model"
            )
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("title", "model")}
        return Problem(model, **given)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, with every profile written out; ``read_scenario`` reads them back."""
        data = {
            "title": self.title,
            "model": self.model if isinstance(self.model, str) else dict(self.model),
            "devices": {place: device.to_dict() for place, device in self.devices.items()},
            "links": [link.to_dict() for link in self.links],
            "request": asdict(self.request),
            "objective": list(self.front) or dict(self.aims),
            "constraints": {k: v for k, v in asdict(self.limits).items() if v not in (None, {})},
            "placement": [_placement(pin) for pin in self.pins],
            "choices": {**asdict(self.choices), "bits": {p: list(w) for p, w in self.choices.bits.items()}},
            "prices": asdict(self.prices),
            "exits": [asdict(each) for each in self.exits],
            "link_kind": self.link_kind,
        }
        return data if self.losses is None else {**data, "losses": self.losses.to_dict()}


def read_scenario(
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    changes: Mapping[str, str] | None = None,
    device: Callable[[str], DeviceProfile] = profiles.device,
) -> Scenario:
    """Read a scenario.

    Args:
        source: a file in YAML or JSON; or the text of one, which has more than one line or begins with a
            brace; or its content as a mapping. Paths in it are relative to the file's folder, else to the
            working directory.
        changes: values, as YAML, to set or add by path: ``{"constraints.tpot": "200 ms", "links.0": "lte"}``.
        device: finds a device by name or file, for names that only a measuring host knows.

    Raises:
        InputError: a key is unknown, there twice or missing; a value has another type or unit, or cannot be.
            The message names the file, the line where YAML gives it, and the path.
    """
    tree, folder = _tree(source)
    for path, text in (changes or {}).items():
        tree = tree.with_(path.split("."), value_of(text, "change", path))
    return _scenario(tree, Parts(folder, device))


def _tree(source: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[Item, Path]:
    if isinstance(source, Mapping):
        return item_of(source, "scenario"), Path.cwd()
    name = os.fspath(source)
    if isinstance(source, str) and ("\n" in name or name.lstrip().startswith("{")):
        return read_tree("scenario", name), Path.cwd()
    return read_tree(name), Path(name).resolve().parent


def _scenario(tree: Item, parts: Parts) -> Scenario:
    given = {key: item for key, item in tree.of(_KEYS).items() if item.value is not None}
    if missing := [key for key in ("model", "devices") if key not in given]:
        tree.fail(f"lacks {' and '.join(missing)}: a scenario names a model, devices and a link")
    devices = parts.devices(given["devices"])
    aims, front = parts.objective(given["objective"]) if "objective" in given else ({"total": 1.0}, ())
    return Scenario(
        model=parts.model(given["model"]),
        devices=devices,
        links=_links(tree, given, parts, list(devices)),
        aims=aims,
        front=front,
        **_rest(given, parts, list(devices)),
    )


def _links(tree: Item, given: Mapping[str, Item], parts: Parts, places: list[str]) -> tuple[LinkProfile, ...]:
    if "link" in given and "links" in given:
        given["links"].fail("link and links are the same: give one of them")
    item = given.get("link") or given.get("links")
    links = parts.links(item) if item else ()
    if len(links) != len(places) - 1:
        needed = f"{len(places)} devices ({', '.join(places)}) have {len(places) - 1} links between them"
        (item or tree).fail(f"{needed}: got {len(links)}")
    return links


def _rest(given: Mapping[str, Item], parts: Parts, places: list[str]) -> dict[str, Any]:
    readers: dict[str, tuple[str, Callable[[Item], Any]]] = {
        "title": ("title", Item.text),
        "request": ("request", parts.request),
        "constraints": ("limits", lambda item: parts.limits(item, places)),
        "placement": ("pins", lambda item: parts.pins(item, places)),
        "choices": ("choices", lambda item: parts.choices(item, places)),
        "prices": ("prices", lambda item: parts.prices(item, places)),
        "losses": ("losses", parts.losses),
        "exits": ("exits", parts.exits),
        "link_kind": ("link_kind", lambda item: item.one_of(_LINK_KINDS, "kind of link")),
    }
    return {name: read(given[key]) for key, (name, read) in readers.items() if key in given}


def _placement(pin: Pin) -> dict[str, Any]:
    data: dict[str, Any] = {"part": pin.part, "place": pin.place}
    return {**data, "blocks": [pin.start, pin.stop]} if pin.part == "blocks" else data
