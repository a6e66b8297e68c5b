"""What every panel about an edge, a cloud and a link between them offers, written once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from workbench.deployment import HOST
from workbench.profiles import DeviceProfile, LinkProfile
from workbench.widgets.profile_choice import ProfileChoice, device_of, link_of

__all__ = ["EndsOfControls", "EndsOfPanel"]


class EndsOfControls:
    """Menus of both devices, one of which may be this machine."""

    edge: ProfileChoice[DeviceProfile]
    cloud: ProfileChoice[DeviceProfile]

    @property
    def unknown_host(self) -> bool:
        """Whether this machine is among the devices and has not been measured yet, which takes seconds."""
        return self.edge.unknown or self.cloud.unknown

    def know_host(self, profile: DeviceProfile) -> None:
        """This machine as it was measured."""
        for choice in (self.edge, self.cloud):
            choice.know(HOST, profile)


class EndsOfPanel:
    """Devices and link of a panel's ``setting``, to be read and set one by one."""

    setting: Any

    @property
    def link(self) -> LinkProfile:
        """The link between edge and cloud."""
        return self.setting.link

    @link.setter
    def link(self, link: LinkProfile | str) -> None:
        self.setting = replace(self.setting, link=link_of(link))

    @property
    def edge(self) -> DeviceProfile:
        """The device on the edge."""
        return self.setting.edge

    @edge.setter
    def edge(self, device: DeviceProfile | str) -> None:
        self.setting = replace(self.setting, edge=device_of(device))

    @property
    def cloud(self) -> DeviceProfile:
        """The device in the cloud."""
        return self.setting.cloud

    @cloud.setter
    def cloud(self, device: DeviceProfile | str) -> None:
        self.setting = replace(self.setting, cloud=device_of(device))
