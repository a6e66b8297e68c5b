"""A device or link by name, shipped or one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from workbench import deployment, profiles
from workbench.profiles import DeviceProfile, LinkProfile
from workbench.widgets.controls import Choice

__all__ = ["ProfileChoice", "device_of", "link_of"]

P = TypeVar("P", DeviceProfile, LinkProfile)


class ProfileChoice(Choice, Generic[P]):
    """A list of profiles. One that was given from code joins the list under a name of its own.

    Args:
        shipped: by name.
        extra: more entries, as title and name, whose profile comes later by ``know``.
    """

    def __init__(
        self,
        description: str,
        shipped: Mapping[str, P],
        value: P,
        *,
        extra: Sequence[tuple[str, str]] = (),
        hint: str = "",
    ) -> None:
        self._shipped: Mapping[str, P] = shipped
        self._known: dict[str, P] = dict(shipped)
        titles = [*extra, *((profile.title, name) for name, profile in shipped.items())]
        super().__init__(description, titles, titles[0][1], hint=hint)
        self.profile = value

    @property
    def unknown(self) -> bool:
        """Whether the chosen entry's profile is still to come."""
        return self.value not in self._known

    @property
    def profile(self) -> P:
        """What is chosen."""
        return self._known[self.value]

    @profile.setter
    def profile(self, profile: P) -> None:
        name = profile.name
        listed = [value for _, value in self.widget.options]
        if name in self._shipped and self._shipped[name] != profile:
            name = f"{name} (your own)"
        if name not in listed:
            self.widget.options = [*self.widget.options, (f"{profile.title} (your own)", name)]
        self._known[name] = profile
        self.value = name

    def know(self, name: str, profile: P) -> None:
        """The profile of an entry that came without one."""
        self._known[name] = profile


def device_of(device: DeviceProfile | str) -> DeviceProfile:
    """A profile as it is, or by its name."""
    return deployment.device(device) if isinstance(device, str) else device


def link_of(link: LinkProfile | str) -> LinkProfile:
    """A profile as it is, or by its name."""
    return profiles.link(link) if isinstance(link, str) else link
