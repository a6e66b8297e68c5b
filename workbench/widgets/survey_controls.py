"""The controls that say what a survey is about: devices, link, request, what counts, what has its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from typing import Any

import ipywidgets

from workbench.exploration import AIMS_SHOWN, SurveySetting
from workbench.planner.parameters import PARAMETERS
from workbench.plots.planning.look import AIM_TITLES
from workbench.widgets.controls import Choice, NumberRow, Tick, group
from workbench.widgets.ends import EndsOfControls
from workbench.widgets.link_rows import PER, LinkRows
from workbench.widgets.look import note
from workbench.widgets.setting_controls import device_choices

__all__ = ["SurveyControls"]

_LINK_FIELDS = ("rtt_s", "uplink_bps", "downlink_bps")
_MOST_GB = 200.0  # more than any shipped device has: no limit of its own
_LONGEST = (8192, 1024)  # prompt and answer that a slider reaches
_WIDTHS: tuple[tuple[int, ...], ...] = ((16, 8, 4), (16, 8), (8, 4), (16,), (8,), (4,))
_WIRES: tuple[tuple[str, ...], ...] = (("fp16", "int8", "int4"), ("fp16", "int8"), ("fp16",))
_ACROSS = {"bandwidth": "round trip × bandwidth", "edge_speed": "round trip × speed of the edge"}
_PLAIN = (
    "edge_speed",
    "prompt_tokens",
    "new_tokens",
    "aim",
    "embedding_here",
    "first_blocks",
    "head_here",
    "edge_bits",
    "cloud_bits",
    "wires",
    "across",
    "parameter",
)
"""Fields of a setting that have a control of just their name."""
_ACCURACY = "What fewer bits cost in accuracy is not weighed here: allow those that you would use."


class SurveyControls(EndsOfControls):
    """Controls and the setting that they say. ``on_change`` is called at each change, to return at once.

    `setting` may be read and set from any thread, one at a time.
    """

    def __init__(self, setting: SurveySetting, on_change: Callable[[], None]) -> None:
        self._base = setting
        self._make_path(setting)
        self._make_request(setting)
        self._make_wishes(setting)
        self._make_view(setting)
        self.setting = setting
        for control in self._all.values():
            control.on_change(lambda _: on_change())
        remark = ipywidgets.HTML(note(_ACCURACY))
        self.widget = ipywidgets.VBox(
            [
                group("What counts", [self.aim]),
                group("Devices", [self.edge, self.edge_speed, self.cloud, self.cloud_gb]),
                group("Link", [self.link, *self._link_rows.values()]),
                group("Request", [self.prompt_tokens, self.new_tokens]),
                group("Stays on the edge", [self.embedding_here, self.first_blocks, self.head_here]),
                group("Allowed", [self.edge_bits, self.cloud_bits, self.wires, remark]),
                group("Shown", [self.across, self.parameter]),
            ]
        )

    def _make_path(self, s: SurveySetting) -> None:
        self.edge, self.cloud = device_choices(s.edge, s.cloud)
        hint = "The edge device, so many times as fast as its profile"
        self.edge_speed = NumberRow("Edge speed", "×", s.edge_speed, 0.1, 30, log=True, hint=hint)
        hint = "What a plan may use there, if that is less than there is"
        gb = min(_MOST_GB, s.cloud_memory_bytes / 1e9)
        self.cloud_gb = NumberRow("Its memory", "GB", gb, 0.1, _MOST_GB, log=True, hint=hint)
        self._links = LinkRows(s.link, _LINK_FIELDS)
        self.link, self._link_rows = self._links.choice, self._links.rows

    def _make_request(self, s: SurveySetting) -> None:
        half = s.model.max_positions // 2
        prompt, new = (min(half, longest) for longest in _LONGEST)
        tokens = min(s.prompt_tokens, prompt)
        self.prompt_tokens = NumberRow("Prompt", "tokens", tokens, 1, prompt, whole=True, hint="Its length")
        tokens = min(s.new_tokens, new)
        self.new_tokens = NumberRow("Answer", "tokens", tokens, 1, new, whole=True, hint="New tokens")

    def _make_wishes(self, s: SurveySetting) -> None:
        aims = [(AIM_TITLES[name], name) for name in AIMS_SHOWN]
        self.aim = Choice("Best is", aims, s.aim, hint="What plans are compared by")
        private = "Prompts are private: token ids do not leave the edge"
        self.embedding_here = Tick("Prompts: embedding and first blocks", s.embedding_here, hint=private)
        n, hint = s.model.n_blocks, "Blocks that stay with the embedding, which is easily turned back"
        self.first_blocks = NumberRow("First blocks", "blocks", s.first_blocks, 0, n, whole=True, hint=hint)
        answers = "Answers are private: a U-shape, where the last blocks come back to the edge"
        self.head_here = Tick("Answers: the head (U-shape)", s.head_here, hint=answers)
        widths = [(f"{', '.join(map(str, bits))} bit", bits) for bits in _WIDTHS]
        self.edge_bits = Choice("Edge weights", widths, s.edge_bits, hint="Bits that the edge may use")
        self.cloud_bits = Choice("Cloud weights", widths, s.cloud_bits, hint="Bits that the cloud may use")
        wires = [(", ".join(names), names) for names in _WIRES]
        self.wires = Choice("Wire codecs", wires, s.wires, hint="How a boundary activation may cross")

    def _make_view(self, s: SurveySetting) -> None:
        maps = [(title, name) for name, title in _ACROSS.items()]
        self.across = Choice("Map over", maps, s.across, hint="The map's two axes")
        knobs = [(knob.title.partition(",")[0], name) for name, knob in PARAMETERS.items()]
        self.parameter = Choice("Lines over", knobs, s.parameter, hint="The parameter that the lines follow")

    @property
    def _plain(self) -> dict[str, Choice | NumberRow | Tick]:
        """The controls that stand for a field of the setting of just their name."""
        return {name: getattr(self, name) for name in _PLAIN}

    @property
    def _all(self) -> Mapping[str, Choice | NumberRow | Tick]:
        ends: dict[str, Choice | NumberRow | Tick] = {
            "edge": self.edge,
            "cloud": self.cloud,
            "link": self.link,
        }
        return {**self._plain, **ends, "cloud_gb": self.cloud_gb, **self._link_rows}

    # ---- the setting

    @property
    def setting(self) -> SurveySetting:
        """What the controls say now.

        Raises:
            KeyError: ``unknown_host``.
        """
        values: dict[str, Any] = {name: control.value for name, control in self._plain.items()}
        gb = self.cloud_gb.value
        return replace(
            self._base,
            **values,
            cloud_memory_bytes=inf if gb >= _MOST_GB else gb * 1e9,
            edge=self.edge.profile,
            cloud=self.cloud.profile,
            link=self._links.profile,
        )

    @setting.setter
    def setting(self, setting: SurveySetting) -> None:
        self._check_ranges(setting)
        self._base = setting
        for name, control in self._plain.items():
            control.value = getattr(setting, name)
        self.cloud_gb.value = min(_MOST_GB, setting.cloud_memory_bytes / 1e9)
        self.edge.profile, self.cloud.profile = setting.edge, setting.cloud
        self._links.show(setting.link)
        self.follow()

    def _check_ranges(self, setting: SurveySetting) -> None:
        rows = {name: row for name, row in self._plain.items() if isinstance(row, NumberRow)}
        asked = {name: float(getattr(setting, name)) for name in rows}
        for name, row in self._link_rows.items():
            rows[name], asked[name] = row, getattr(setting.link, name) * PER[name]
        for name, row in rows.items():
            row.check(name, asked[name], "wb.decide")

    def follow(self) -> bool:
        """Bring controls that depend on others into line; True where that changed any number."""
        self.first_blocks.enabled = self.embedding_here.value
        return self._links.follow()
