"""Devices, links and models as data. What enacts a profile has another name: a link, a throttle.

Profiles are read from ``data/devices/*.json`` and ``data/links/*.json``; every field names its source.
A model's profile is read from its configuration, and may carry what was measured of it.
"""

from workbench.profiles.devices import DecodeRate, DeviceProfile, Kernel
from workbench.profiles.links import JITTER_DISTRIBUTIONS, Direction, LinkProfile, OneWay
from workbench.profiles.models import MODEL_PROFILE_VERSION, ModelProfile
from workbench.profiles.reading import Source
from workbench.profiles.shipped import DATA, device, device_profiles, link, link_profiles
from workbench.profiles.times import HostFacts, ModelTimes, PassTimes, WidthTable

__all__ = [
    "DATA",
    "JITTER_DISTRIBUTIONS",
    "MODEL_PROFILE_VERSION",
    "DecodeRate",
    "DeviceProfile",
    "Direction",
    "HostFacts",
    "Kernel",
    "LinkProfile",
    "ModelProfile",
    "ModelTimes",
    "OneWay",
    "PassTimes",
    "Source",
    "WidthTable",
    "device",
    "device_profiles",
    "link",
    "link_profiles",
]
