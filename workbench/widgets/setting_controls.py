"""The controls that say a setting: plan, devices, link and request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isclose

import ipywidgets

from workbench import profiles
from workbench.deployment import HOST
from workbench.errors import InputError
from workbench.exploration import SHAPES, Setting
from workbench.links import LINK_KINDS
from workbench.plan import BITS, WIRE_CODECS
from workbench.profiles import DeviceProfile, LinkProfile
from workbench.widgets.controls import Choice, NumberRow, group
from workbench.widgets.profile_choice import ProfileChoice

__all__ = ["SettingControls", "device_choices"]

CUSTOM = "custom"
_LONGEST = 1024  # tokens that a slider reaches; predictions take as long as the request has tokens
_LARGEST_BATCH = 32
_PER = {"rtt_s": 1e3, "uplink_bps": 1e-6, "downlink_bps": 1e-6, "loss": 100.0}
"""What a field of a link profile is multiplied with to be shown: ms, Mbit/s and per cent."""
_KIND_TITLES = {
    "simulated": "TCP, simulated (slow start, loss)",
    "proxy": "relay (what a run goes through)",
}


class SettingControls:
    """Controls and the setting that they say. ``on_change`` is called at each change, to return at once.

    `setting` may be read and set from any thread, one at a time.
    """

    def __init__(self, setting: Setting, max_positions: int, on_change: Callable[[], None]) -> None:
        self._base = setting
        self._applied = ""  # the preset whose numbers stand in the controls
        longest = min(_LONGEST, max_positions - 1)
        self._make_plan(setting)
        self._make_path(setting)
        self._make_request(setting, longest)
        self.setting = setting
        for control in self._all.values():
            control.on_change(lambda _: on_change())
        self.widget = ipywidgets.VBox(
            [
                group("Plan", [self.shape, self.split, self.back, *self._bits, self.wire]),
                group("Devices", [self.edge, self.cloud]),
                group("Link", [self.link, *self._link_rows.values(), self.link_kind]),
                group("Request", [self.prompt_tokens, self.new_tokens, self.batch]),
            ]
        )

    def _make_plan(self, s: Setting) -> None:
        n = s.n_blocks
        shape = "Cut once, keep both ends on the edge, or do not cut"
        self.shape = Choice("Shape", SHAPES, s.shape, hint=shape)
        self.split = NumberRow("Split point", "blocks", s.split, 0, n, whole=True, hint="Blocks on the edge")
        back = "U-shape: from this block on the edge goes on"
        self.back = NumberRow("Second split", "blocks", s.back, 1, n, whole=True, hint=back)
        bits = [(f"{b} bit", b) for b in BITS]
        self.edge_bits = Choice("Edge weights", bits, s.edge_bits, hint="Weight bits of the edge's stages")
        cloud = "Weight bits of the cloud's stages"
        self.cloud_bits = Choice("Cloud weights", bits, s.cloud_bits, hint=cloud)
        self._bits = (self.edge_bits, self.cloud_bits)
        self.wire = Choice("Wire codec", WIRE_CODECS, s.wire, hint="How a boundary activation crosses")

    def _make_path(self, s: Setting) -> None:
        self.edge, self.cloud = device_choices(s.edge, s.cloud)
        links = [*((li.title, li.name) for li in profiles.links().values()), ("your own numbers", CUSTOM)]
        self.link = Choice("Link", links, CUSTOM, hint="A published network, to be changed below")
        self._link_rows = {
            "rtt_s": NumberRow("Round trip", "ms", 50, 0.01, 3000, log=True, hint="RTT without load"),
            "uplink_bps": NumberRow("Uplink", "Mbit/s", 10, 0.01, 1e5, log=True, hint="To the cloud"),
            "downlink_bps": NumberRow("Downlink", "Mbit/s", 10, 0.01, 1e5, log=True, hint="From it"),
            "loss": NumberRow("Loss", "%", 0, 0, 30, hint="Packets lost; the relay reproduces none"),
        }
        kinds = [(_KIND_TITLES.get(kind, kind), kind) for kind in LINK_KINDS]
        self.link_kind = Choice("Predicted as", kinds, s.link_kind, hint="Whose model of a transfer is used")

    def _make_request(self, s: Setting, longest: int) -> None:
        prompt, new = min(s.prompt_tokens, longest), min(s.new_tokens, longest)
        self.prompt_tokens = NumberRow("Prompt", "tokens", prompt, 1, longest, whole=True, hint="Its length")
        self.new_tokens = NumberRow("Output", "tokens", new, 1, longest, whole=True, hint="New tokens")
        batch = min(s.batch, _LARGEST_BATCH)
        hint = "Sequences that run together"
        self.batch = NumberRow("Batch", "rows", batch, 1, _LARGEST_BATCH, whole=True, hint=hint)

    @property
    def _plain(self) -> dict[str, Choice | NumberRow]:
        """The controls that stand for a field of the setting of just their name."""
        names = ("shape", "split", "back", "edge_bits", "cloud_bits", "wire", "link_kind")
        return {name: getattr(self, name) for name in (*names, "prompt_tokens", "new_tokens", "batch")}

    @property
    def _all(self) -> Mapping[str, Choice | NumberRow]:
        ends = {"edge": self.edge, "cloud": self.cloud, "link": self.link}
        return {**self._plain, **ends, **self._link_rows}

    # ---- the setting

    @property
    def unknown_host(self) -> bool:
        """Whether this machine is among the devices and has not been measured yet, which takes seconds."""
        return self.edge.unknown or self.cloud.unknown

    def know_host(self, profile: DeviceProfile) -> None:
        """This machine as it was measured."""
        for choice in (self.edge, self.cloud):
            choice.know(HOST, profile)

    @property
    def setting(self) -> Setting:
        """What the controls say now.

        Raises:
            KeyError: ``unknown_host``.
        """
        values = {name: control.value for name, control in self._plain.items()}
        return replace(
            self._base,
            **values,
            edge=self.edge.profile,
            cloud=self.cloud.profile,
            link=self._link(),
        )

    @setting.setter
    def setting(self, setting: Setting) -> None:
        self._check_ranges(setting)
        self._base = setting
        for name, control in self._plain.items():
            control.value = getattr(setting, name)
        self.edge.profile, self.cloud.profile = setting.edge, setting.cloud
        self._show_link(setting.link)
        self.follow()

    def _check_ranges(self, setting: Setting) -> None:
        rows = {name: row for name, row in self._plain.items() if isinstance(row, NumberRow)}
        asked = {name: float(getattr(setting, name)) for name in rows}
        for name, row in self._link_rows.items():
            rows[name], asked[name] = row, getattr(setting.link, name) * _PER[name]
        for name, row in rows.items():
            if not row.box.min <= asked[name] <= row.box.max:
                unit = row.box.description
                raise InputError(
                    f"the control of {name} reaches from {row.box.min:g} to {row.box.max:g} {unit}, not to "
                    f"{asked[name]:g}: use wb.predict for that"
                )

    def follow(self) -> bool:
        """Bring controls that depend on others into line; True where that changed any number.

        A preset that was chosen puts its numbers in; a number that was moved makes the link one's own; what a
        shape does not use cannot be moved.
        """
        cut = self.shape.value in ("split", "U-shape")
        self.split.enabled = self.wire.enabled = cut
        self.back.enabled = self.shape.value == "U-shape"
        self.edge_bits.enabled = self.shape.value != "cloud-only"
        self.cloud_bits.enabled = self.shape.value != "edge-only"
        return self._follow_cuts() | self._follow_link()

    def _follow_cuts(self) -> bool:
        """The second split point stays behind the first."""
        before = (self.split.value, self.back.value)
        if self.shape.value == "U-shape":
            self.split.value = min(self.split.value, self._base.n_blocks - 1)
            self.back.value = max(self.back.value, self.split.value + 1)
        return before != (self.split.value, self.back.value)

    def _follow_link(self) -> bool:
        chosen = self.link.value
        if chosen not in (self._applied, CUSTOM):
            self._show_link(profiles.link(chosen))
            return True
        if chosen != CUSTOM and self._link().name != chosen:
            self._applied = self.link.value = CUSTOM
            return True
        if chosen == CUSTOM:
            self._applied = CUSTOM
        return False

    # ---- the link, by name or by numbers

    def _link(self) -> LinkProfile:
        """The profile that was given, where its numbers still stand; else one's own with its jitter."""
        base = self._base.link
        values = {name: row.value / _PER[name] for name, row in self._link_rows.items()}
        known = profiles.links().get(self.link.value, base)
        for profile in (known, base):
            if all(isclose(values[name], getattr(profile, name), abs_tol=1e-12) for name in values):
                return profile
        return replace(base, **values, name=CUSTOM, title="your own numbers", sources={})

    def _show_link(self, link: LinkProfile) -> None:
        self._base = replace(self._base, link=link)
        for name, row in self._link_rows.items():
            row.value = getattr(link, name) * _PER[name]
        named = profiles.links().get(link.name) == link
        self._applied = self.link.value = link.name if named else CUSTOM


def device_choices(
    edge: DeviceProfile, cloud: DeviceProfile
) -> tuple[ProfileChoice[DeviceProfile], ProfileChoice[DeviceProfile]]:
    """What runs on either side: a shipped profile, one's own, or this machine, measured when chosen."""
    machine, shipped = [("This machine, as it is", HOST)], profiles.devices()
    return (
        ProfileChoice("Edge device", shipped, edge, extra=machine, hint="What runs the edge's stages"),
        ProfileChoice("Cloud device", shipped, cloud, extra=machine, hint="What runs the cloud's stages"),
    )
