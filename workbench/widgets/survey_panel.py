"""The survey panel: whether to split, where that changes, and what stands beside it, with sliders."""

from __future__ import annotations

import time
from dataclasses import replace
from html import escape
from typing import Any

import ipywidgets

from workbench.errors import InputError, UnknownNameError
from workbench.exploration import Surveyor, SurveyResult, SurveySetting
from workbench.planner import Answer, BreakEvenMap, Proposal, Sweep
from workbench.planner.table import answer_rows
from workbench.plots.live import LiveFigure
from workbench.plots.planning.survey import survey_parts
from workbench.profiles import DeviceProfile, link_profiles
from workbench.widgets.calibration import Calibration
from workbench.widgets.ends import EndsOfPanel
from workbench.widgets.fit import Fit
from workbench.widgets.look import MessageBox, note, panel, table
from workbench.widgets.still import show_with_still
from workbench.widgets.survey_controls import SurveyControls
from workbench.widgets.worker import Worker

__all__ = ["SurveyPanel"]

_TEXTS = ("plan", "breaks")  # rows of the table that are too long for a column
_TELL_EVERY_S = 0.3  # how often the panel says how far a map is


class SurveyPanel(EndsOfPanel):
    """A panel about one model: controls, a map of who wins where, lines over one parameter, the plans now.

    Everything can be read and set from code: `setting`, `link`, `edge`, `cloud`, and ``go`` along the map.
    Setting returns at once; the picture follows, first what matters most, and ``settle`` waits for all of it.
    """

    def __init__(self, setting: SurveySetting) -> None:
        self._surveyor = Surveyor()
        self._calibration = Calibration(self._know_host, self._post_error)
        self._stale_message = False
        self._told_s = 0.0
        self._result = self._surveyor.look(setting)
        self._worker = Worker("survey", self._fail)
        self._build(setting)
        self._show()
        self._worker.post("rest", self._complete)

    def _build(self, setting: SurveySetting) -> None:
        self.controls = SurveyControls(setting, self._changed)
        self.messages = MessageBox()
        self._sentence, self._numbers, self._status = (ipywidgets.HTML() for _ in range(3))
        self.live = LiveFigure(self._figure())
        self.live.widget.add_class("wb-plot")
        self.live.on_click(self._clicked)
        shown = [Fit(), self.messages.widget, self._sentence, self._status, self.live.widget, self._numbers]
        left, right = ipywidgets.VBox([self.controls.widget]), ipywidgets.VBox(shown)
        left.add_class("wb-controls")
        right.add_class("wb-figure")
        body = ipywidgets.Box([left, right])
        body.add_class("wb-wrap")
        self.widget = panel(body)

    # ---- what code reads and sets

    @property
    def setting(self) -> SurveySetting:
        """All that the controls say."""
        return self.controls.setting

    @setting.setter
    def setting(self, setting: SurveySetting) -> None:
        if setting.model.name != self.controls.setting.model.name:
            raise InputError(
                f"this survey is about {self.controls.setting.model.name!r}, the setting about "
                f"{setting.model.name!r}: survey that model in another cell"
            )
        self.controls.setting = setting
        self._changed()

    @property
    def answer(self) -> Answer | None:
        """The best plan beside not splitting; None where nothing keeps the limits."""
        return self._result.answer

    @property
    def verdict(self) -> str:
        """Whether to split and why, in a sentence."""
        return self._result.sentence

    @property
    def region(self) -> BreakEvenMap | None:
        """Who wins where; None while it is still to come."""
        return self._result.region

    @property
    def sweep(self) -> Sweep | None:
        """How plans move with one parameter; None while it is still to come."""
        return self._result.sweep

    @property
    def figure(self) -> Any:
        """What the figure shows now, as a plain plotly figure."""
        return self.live.shown

    @property
    def message(self) -> str:
        """What the panel says went wrong; empty where all is well."""
        return self.messages.text

    # ---- what can be done

    def go(self, **values: float) -> None:
        """Go to another point, as a click on the map does: ``rtt`` in seconds, ``bandwidth`` up in bits per
        second, where the way down keeps its proportion, ``edge_speed`` as a factor.

        Raises:
            UnknownNameError: another name.
            InputError: a value out of the sliders' reach.
        """
        known = ("rtt", "bandwidth", "edge_speed")
        for name in values:
            if name not in known:
                raise UnknownNameError("parameter of a map", name, known)
        self.setting = self.setting.moved(**{name: float(f"{value:.3g}") for name, value in values.items()})

    def settle(self, timeout_s: float = 120.0) -> None:
        """Wait until the picture shows what the controls say, the fine map too."""
        self._worker.drain(timeout_s)

    def close(self) -> None:
        """End what the panel started. May be called again."""
        self._worker.close()
        self.widget.close()

    def _ipython_display_(self) -> None:
        self.settle()
        show_with_still(self.widget, self.live.shown, self.verdict, self._table())

    # ---- callbacks, which only hand over

    def _changed(self) -> None:
        self._stale_message = True
        self._worker.post("draw", self._draw)

    def _clicked(self, data: Any) -> None:
        self._worker.post("click", lambda: self._go_to(data))

    def _go_to(self, data: Any) -> None:
        """A cell carries its two values, a link its name."""
        if isinstance(data, str):
            self.link = link_profiles()[data]
            return
        x, y = (float(value) for value in data)
        self.go(**{self.setting.across: x, "rtt": y})

    def _post_error(self, error: BaseException) -> None:
        self._worker.post("error", lambda: self._fail(error))

    def _fail(self, error: BaseException) -> None:
        self.messages.show(error)

    def _know_host(self, profile: DeviceProfile) -> None:
        self.controls.know_host(profile)
        self._changed()

    # ---- drawing: all in the worker's thread

    def _draw(self) -> None:
        self.controls.follow()
        if self.controls.unknown_host:
            self._say("measuring this machine, which takes some seconds …")
            self._calibration.begin()
            return
        self._result = self._surveyor.look(self.controls.setting)
        if self._stale_message:
            self._stale_message = False
            self.messages.clear()
        self._show()
        self._complete()

    def _complete(self) -> None:
        """Compute what is missing, step by step, unless something newer is to be drawn."""
        setting = self._result.setting
        if self._result.sweep is None:
            self._result = replace(self._result, sweep=self._surveyor.sweep(setting, self._is_stale))
            self._show_if_current()
        for size in self._surveyor.sizes(setting):
            if self._result.is_final or self._is_stale():
                break
            is_last = size == self._surveyor.sizes(setting)[-1]
            if self._result.region is None or is_last:
                self._refine(setting, size, is_last)
        self._say("")

    def _refine(self, setting: SurveySetting, size: tuple[int, int], is_last: bool) -> None:
        found = self._surveyor.region(setting, size, self._is_stale, self._tell)
        if found is not None:
            self._result = replace(self._result, region=found, is_final=is_last)
            self._show_if_current()

    def _is_stale(self) -> bool:
        return self._worker.waiting("draw") or self._worker.waiting("click")

    def _tell(self, done: int, n: int) -> None:
        now = time.monotonic()
        if now - self._told_s > _TELL_EVERY_S:
            self._told_s = now
            self._say(f"the map: {done} of {n} points planned")

    def _say(self, text: str) -> None:
        self._status.value = f"<div role='status'>{note(text or 'all planned')}</div>"

    def _show_if_current(self) -> None:
        if not self._is_stale():
            self._show()

    def _show(self) -> None:
        self.live.show(self._figure())
        self._sentence.value = f"<div class='wb-sentence'>{escape(self.verdict)}</div>"
        self._numbers.value = self._table()
        self.live.settle()

    def _figure(self) -> Any:
        found: SurveyResult = self._result
        s = found.setting
        return survey_parts(s.problem, found.answer, found.region, found.sweep, aim=s.aim, at=s.at)

    def _table(self) -> str:
        if self.answer is None:
            return table(["", "plan"], [["best", "none: nothing keeps every limit"]])
        head, rows = answer_rows(self.answer)
        numbers = [row for row in rows if row[0] not in _TEXTS]
        plans = zip(self.answer.plans.values(), head[1:-1], strict=True)
        return table(head, numbers) + "".join(note(_named(plan, title)) for plan, title in plans)


def _named(proposal: Proposal, title: str) -> str:
    """A plan written out, with what it breaks."""
    broken = f"; breaks: {'; '.join(proposal.broken)}" if proposal.broken else ""
    wire = f", wire {proposal.plan.wire}" if proposal.is_split else ""
    return f"{title}: {proposal.plan.partition}{wire}{broken}"
