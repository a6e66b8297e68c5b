"""The devices and links that are shipped, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import TypeVar

from workbench.errors import InputError, ProfileError, UnknownNameError
from workbench.profiles.devices import DeviceProfile
from workbench.profiles.links import LinkProfile
from workbench.profiles.reading import load

__all__ = ["DATA", "device", "device_profiles", "link", "link_profiles"]


def _data_folder() -> Path:
    inside = Path(__file__).parent.parent / "data"  # an installed wheel
    return inside if inside.is_dir() else Path(__file__).parent.parent.parent / "data"


DATA = _data_folder()
T = TypeVar("T")


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
        return _from_file(Path(name))
    return _named("device", name, _shipped_devices())


def link(name: str) -> LinkProfile:
    """A shipped link profile.

    Raises:
        UnknownNameError: no link is called so; the message suggests the nearest.
    """
    return _named("link", name, _shipped_links())


@cache
def _shipped_devices() -> Mapping[str, DeviceProfile]:
    return {p.stem: DeviceProfile.from_dict(load(p)) for p in sorted((DATA / "devices").glob("*.json"))}


@cache
def _shipped_links() -> Mapping[str, LinkProfile]:
    return {p.stem: LinkProfile.from_dict(load(p)) for p in sorted((DATA / "links").glob("*.json"))}


def _from_file(path: Path) -> DeviceProfile:
    """What a file of the form of ``data/devices`` says; its name is the profile's unless it gives one."""
    form = "give a JSON object as in data/devices, or let `workbench device calibrate --out FILE` write one"
    try:
        data = load(path)
    except (OSError, ValueError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"no JSON object: {error}"
        raise ProfileError(f"{path} cannot be read as a profile ({reason}): {form}") from error
    parts = fields(DeviceProfile)
    required = [f.name for f in parts if f.default is MISSING and f.default_factory is MISSING]
    missing = [name for name in required if name not in data]
    if missing:
        lacking = ", ".join(missing)
        raise ProfileError(f"{path} lacks the field(s) {lacking}: add them, as in data/devices/README.md")
    try:
        return DeviceProfile.from_dict(data)
    except InputError as error:
        raise ProfileError(f"{path}: {error}") from error


def _named(kind: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise UnknownNameError(kind, name, known)
    return known[name]
