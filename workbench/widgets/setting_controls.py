"""The controls that say a setting: plan, devices, link and request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import ipywidgets

from workbench import profiles
from workbench.deployment import HOST
from workbench.exploration import SHAPES, Setting
from workbench.links import LINK_KINDS
from workbench.plan import BITS, WIRE_CODECS
from workbench.profiles import DeviceProfile
from workbench.widgets.controls import Choice, NumberRow, group
from workbench.widgets.ends import EndsOfControls
from workbench.widgets.link_rows import CUSTOM, KIND_TITLES, PER, LinkRows
from workbench.widgets.profile_choice import ProfileChoice

__all__ = ["CUSTOM", "SettingControls", "device_choices"]

_LONGEST = 1024  # tokens that a slider reaches; predictions take as long as the request has tokens
_LARGEST_BATCH = 32
_LINK_FIELDS = ("rtt_s", "uplink_bps", "downlink_bps", "loss")


class SettingControls(EndsOfControls):
    """Controls and the setting that they say. ``on_change`` is called at each change, to return at once.

    `setting` may be read and set from any thread, one at a time.
    """

    def __init__(self, setting: Setting, max_positions: int, on_change: Callable[[], None]) -> None:
        self._base = setting
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
        self._links = LinkRows(s.link, _LINK_FIELDS)
        self.link, self._link_rows = self._links.choice, self._links.rows
        predicted = "Whose model of a transfer is used; a run goes over netem for netem, else over the relay"
        kinds = [(KIND_TITLES[kind], kind) for kind in LINK_KINDS]
        self.link_kind = Choice("Predicted as", kinds, s.link_kind, hint=predicted)

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
            link=self._links.profile,
        )

    @setting.setter
    def setting(self, setting: Setting) -> None:
        self._check_ranges(setting)
        self._base = setting
        for name, control in self._plain.items():
            control.value = getattr(setting, name)
        self.edge.profile, self.cloud.profile = setting.edge, setting.cloud
        self._links.show(setting.link)
        self.follow()

    def _check_ranges(self, setting: Setting) -> None:
        rows = {name: row for name, row in self._plain.items() if isinstance(row, NumberRow)}
        asked = {name: float(getattr(setting, name)) for name in rows}
        for name, row in self._link_rows.items():
            rows[name], asked[name] = row, getattr(setting.link, name) * PER[name]
        for name, row in rows.items():
            row.check(name, asked[name], "wb.predict")

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
        return self._follow_cuts() | self._links.follow()

    def _follow_cuts(self) -> bool:
        """The second split point stays behind the first."""
        before = (self.split.value, self.back.value)
        if self.shape.value == "U-shape":
            self.split.value = min(self.split.value, self._base.n_blocks - 1)
            self.back.value = max(self.back.value, self.split.value + 1)
        return before != (self.split.value, self.back.value)


def device_choices(
    edge: DeviceProfile, cloud: DeviceProfile
) -> tuple[ProfileChoice[DeviceProfile], ProfileChoice[DeviceProfile]]:
    """What runs on either side: a shipped profile, one's own, or this machine, measured when chosen."""
    machine, shipped = [("This machine, as it is", HOST)], profiles.device_profiles()
    return (
        ProfileChoice("Edge device", shipped, edge, extra=machine, hint="What runs the edge's stages"),
        ProfileChoice("Cloud device", shipped, cloud, extra=machine, hint="What runs the cloud's stages"),
    )
