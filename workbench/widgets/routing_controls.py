"""The controls of a routing panel: where features run, threshold, devices and link; and those of a replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from html import escape
from typing import Any

import ipywidgets

from workbench.exploration.routing import Known, RoutingSetting, placements_of, title_of
from workbench.plan import DEFAULT_FEATURE, Placement
from workbench.plots.routing.curve import COSTS
from workbench.widgets.controls import LABEL_WIDTH, Choice, NumberRow, Tick, button, group
from workbench.widgets.ends import EndsOfControls
from workbench.widgets.link_rows import PER, LinkRows
from workbench.widgets.look import hidden, note
from workbench.widgets.setting_controls import device_choices

__all__ = ["ReplayControls", "RoutingControls"]

_LINK_FIELDS = ("rtt_s", "uplink_bps", "downlink_bps")
_CLOCKS = (("virtual: modelled time, real answers", "virtual"), ("wall: as it takes here", "wall"))


class RoutingControls(EndsOfControls):
    """Controls and the setting that they say. ``on_change`` is called at each change, to return at once.

    `setting` may be read and set from any thread, one at a time.
    """

    def __init__(self, setting: RoutingSetting, known: Known, on_change: Callable[[], None]) -> None:
        self._base, self._known = setting, known
        self._offered: dict[str, dict[str, Placement]] = {}
        self.features: dict[str, Choice] = {}
        for feature in dict.fromkeys((DEFAULT_FEATURE, *setting.plan.features)):
            self.features[feature] = self._menu(feature, setting)
        self.edge, self.cloud = device_choices(setting.edge, setting.cloud)
        hint = "Below this probability of being right, the default answers again"
        self.threshold = NumberRow("Threshold", "% sure", 100 * setting.threshold, 0, 100, hint=hint)
        costs = [(cost.title, name) for name, cost in COSTS.items()]
        self.cost = Choice("Cost is", costs, setting.cost, hint="What quality is held against")
        self._links = LinkRows(setting.link, _LINK_FIELDS)
        self.link, self._link_rows = self._links.choice, self._links.rows
        for control in self._all:
            control.on_change(lambda _: on_change())
        self.widget = ipywidgets.VBox(
            [
                group("Routing", [self.threshold, self.cost]),
                group("Where features run", list(self.features.values())),
                group("Devices", [self.edge, self.cloud]),
                group("Link", [self.link, *self._link_rows.values()]),
            ]
        )

    def _menu(self, feature: str, setting: RoutingSetting) -> Choice:
        offered = placements_of(feature, setting.plan, self._known)
        self._offered[feature] = offered
        title = title_of(setting.plan.placement(feature), offered)
        return Choice(feature, list(offered), title, hint=f"Where {feature} runs")

    @property
    def _all(self) -> list[Choice | NumberRow]:
        ends: list[Choice | NumberRow] = [self.edge, self.cloud, self.link, self.threshold, self.cost]
        return [*self.features.values(), *ends, *self._link_rows.values()]

    @property
    def offered(self) -> Mapping[str, Mapping[str, Placement]]:
        """By feature, where it may run, by the titles of its menu."""
        return self._offered

    @property
    def setting(self) -> RoutingSetting:
        """What the controls say now.

        Raises:
            KeyError: ``unknown_host``.
            PlanError: the plan cannot be so.
        """
        placements = {name: self._offered[name][menu.value] for name, menu in self.features.items()}
        return replace(
            self._base.placed(**placements),
            edge=self.edge.profile,
            cloud=self.cloud.profile,
            link=self._links.profile,
            threshold=self.threshold.value / 100,
            cost=self.cost.value,
        )

    @setting.setter
    def setting(self, setting: RoutingSetting) -> None:
        for name, row in self._link_rows.items():
            row.check(name, getattr(setting.link, name) * PER[name], "wb.place")
        self._base = setting
        for feature, menu in self.features.items():
            self._offered[feature] = placements_of(feature, setting.plan, self._known)
            title = title_of(setting.plan.placement(feature), self._offered[feature])
            if tuple(menu.widget.options) != tuple(self._offered[feature]):
                menu.widget.options = list(self._offered[feature])
            menu.value = title
        self.threshold.value, self.cost.value = 100 * setting.threshold, setting.cost
        self.edge.profile, self.cloud.profile = setting.edge, setting.cloud
        self._links.show(setting.link)

    def follow(self) -> bool:
        """Bring controls that depend on others into line; True where that changed any number."""
        return self._links.follow()


class ReplayControls:
    """What is replayed, buttons, how far it is. All but reading is for the panel's worker.

    Args:
        play, cancel: called when their button is pressed; they have to return at once.
        unplug: is told whether the link is to be away.
        save: gets the name of the file that the plan is to be written to.
    """

    def __init__(
        self,
        play: Callable[[], None],
        cancel: Callable[[], None],
        unplug: Callable[[bool], None],
        save: Callable[[str], None],
    ) -> None:
        self.n = NumberRow("Requests", "", 24, 4, 120, whole=True, hint="Held-out prompts of all features")
        self.rate = NumberRow("Rate", "per s", 4, 0.2, 50, log=True, hint="Poisson arrivals")
        hint = "Virtual has real answers in modelled time, for devices faster than this machine"
        self.clock = Choice("Clock", _CLOCKS, "virtual", hint=hint)
        hint = "Requests come without saying what they are: the classifier finds out"
        self.untagged = Tick("Prompts do not say what they are", True, hint=hint)
        self.outage_from = NumberRow("Outage from", "s", 2, 0, 60, hint="Since the replay began")
        self.outage_s = NumberRow("… lasting", "s", 0, 0, 60, hint="0 has none")
        self._play = button("Replay", play, hint="Run a workload over this plan for real", style="primary")
        self._cancel = button("Cancel", cancel, hint="End the replay; what has ended is shown")
        self._unplug = ipywidgets.ToggleButton(
            description="Unplug",
            tooltip="Take the link away, until it is pressed again",
            layout={"width": "auto"},
        )
        self._unplug.add_class("wb-left")
        self._unplug.observe(lambda change: unplug(bool(change["new"])), "value")
        self._progress = ipywidgets.FloatProgress(
            value=0, min=0, max=1, description="Progress", style={"description_width": LABEL_WIDTH}
        )
        self._progress.layout.width = "auto"
        self._status = ipywidgets.HTML()
        style = {"description_width": LABEL_WIDTH}
        self._file = ipywidgets.Text(
            "plan.yaml",
            description="File",
            tooltip="Where the plan is written, as YAML or JSON",
            style=style,
            layout={"width": "auto"},
        )
        hint = "Write the plan as it is now; read_plan reads it back"
        self._save = button("Save plan", lambda: save(self._file.value), hint=hint)
        self._saved = ipywidgets.HTML()
        self.widget = ipywidgets.VBox([self._replay_group(), self._plan_group()])
        self.show_running(False)

    def _replay_group(self) -> ipywidgets.VBox:
        numbers = [self.n, self.rate, self.outage_from, self.outage_s, self.clock, self.untagged]
        buttons = ipywidgets.HBox([self._play, self._cancel, self._unplug])
        return group("Replay it for real", [*numbers, buttons, self._progress, self._status])

    def _plan_group(self) -> ipywidgets.VBox:
        return group("Keep the plan", [self._file, self._save, self._saved])

    @property
    def outage(self) -> tuple[float, float] | None:
        """From and to, in seconds since a replay began."""
        begins_s, lasts_s = float(self.outage_from.value), float(self.outage_s.value)
        return (begins_s, begins_s + lasts_s) if lasts_s > 0 else None

    @property
    def unplugged(self) -> bool:
        """Whether the link is to be away."""
        return bool(self._unplug.value)

    @unplugged.setter
    def unplugged(self, unplugged: bool) -> None:
        self._unplug.value = unplugged

    @property
    def status(self) -> Any:
        """What is said of the replay, as HTML."""
        return self._status.value

    def say(self, text: str) -> None:
        """What happens now."""
        self._status.value = f"<div class='wb-note' role='status'>{escape(text)}</div>"

    def show_progress(self, done: int, n: int) -> None:
        """How far a replay is."""
        self._progress.value = done / n

    def show_running(self, running: bool) -> None:
        """Which buttons can be pressed."""
        self._play.disabled, self._cancel.disabled = running, not running
        hidden(self._progress, not running)

    def show_saved(self, text: str) -> None:
        """Where the plan was written."""
        self._saved.value = note(text)
