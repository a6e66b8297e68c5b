"""The explorer: move a slider, see what a plan would cost; press a button, see what it does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ipywidgets

from workbench import plots
from workbench.errors import CancelledRunError, InputError, WorkbenchError
from workbench.exploration import Appraiser, Forecaster, Measurer, Outlook, Run, RunBook, Setting
from workbench.plan import Plan
from workbench.plots.explorer import explorer_parts
from workbench.plots.live import LiveFigure
from workbench.profiles import DeviceProfile, ModelProfile
from workbench.records import Accuracy
from workbench.widgets.calibration import Calibration
from workbench.widgets.code import CodeBox
from workbench.widgets.controls import heading
from workbench.widgets.ends import EndsOfPanel
from workbench.widgets.fit import Fit
from workbench.widgets.look import MessageBox, panel
from workbench.widgets.numbers import numbers_table
from workbench.widgets.run_controls import RunControls
from workbench.widgets.runs_panel import RunsPanel
from workbench.widgets.setting_controls import SettingControls
from workbench.widgets.still import show_with_still
from workbench.widgets.worker import Worker

if TYPE_CHECKING:
    import os

    from workbench.models import Model

__all__ = ["Explorer"]

_SMALL_PARAMS = 200_000_000  # up to here an accuracy takes seconds and is measured without being asked for
_STREAM_EVERY_S = 0.2  # text of a run is shown no more often: showing it takes processor time from the run
_PATIENCE_S = 0.05  # for every split point to be predicted before what is known is drawn


class Explorer(EndsOfPanel):
    """A panel about one model: controls, one figure, a table of the same numbers, and real runs.

    Everything can be read and set from code: `plan`, `link`, `edge`, `cloud`, `request`, `setting`. Setting
    returns at once; the picture follows, and ``settle`` waits for it.
    """

    def __init__(
        self,
        model: Model | ModelProfile,
        setting: Setting,
        *,
        runs: str | os.PathLike[str] | None = None,
        accuracy: bool | None = None,
    ) -> None:
        profile = model if isinstance(model, ModelProfile) else model.profile
        self.runs = RunBook(runs)
        self._forecaster = Forecaster(profile)
        self._automatic = profile.params <= _SMALL_PARAMS if accuracy is None else accuracy
        self._appraiser: Appraiser | None = None
        self._measurer: Measurer | None = None
        if not isinstance(model, ModelProfile):
            self._equip(model)
        self._accuracy_errors: dict[str, str] = {}
        self._calibration = Calibration(self._know_host, self._post_error)
        self._streamed_s = 0.0
        self._stale_message = False
        self._outlook = self._look(setting)
        self._worker = Worker("explorer", self._fail)
        self._build(setting, profile)
        self._show()
        self._ask_for_accuracy(self._outlook)
        self._worker.post("rest", lambda: self._complete(setting))

    def _equip(self, model: Model) -> None:
        """What only a model with weights allows: accuracies and runs."""
        self._appraiser = Appraiser(model, self._found_accuracy, self._missed_accuracy)
        self._measurer = Measurer(
            model,
            quiet=self._appraiser.hold,
            on_stage=self._stage,
            on_token=self._token,
            on_end=self._ended,
        )

    def _build(self, setting: Setting, profile: ModelProfile) -> None:
        self.controls = SettingControls(setting, profile.max_positions, self._changed)
        self.messages = MessageBox()
        self.run_controls = RunControls(self._press, self.cancel, self._ask_now, self._measurer is not None)
        self.runs_panel = RunsPanel(self.runs, self._worker, self._fail, self._show_soon)
        self.live = LiveFigure(self._figure(self._outlook))
        self._sentence, self._numbers = ipywidgets.HTML(), ipywidgets.HTML()
        self._code = CodeBox(description="The code that makes this plan")
        left = ipywidgets.VBox([self.controls.widget, self.run_controls.widget])
        self.live.widget.add_class("wb-plot")
        figure = ipywidgets.VBox([Fit(), self.messages.widget, self._sentence, self.live.widget])
        code = ipywidgets.VBox([heading("The same as code"), self._code])
        right = ipywidgets.VBox([self._numbers, self.run_controls.text, self.runs_panel.widget, code])
        for part, name in ((left, "wb-controls"), (figure, "wb-figure"), (right, "wb-numbers")):
            part.add_class(name)
        body = ipywidgets.Box([left, figure, right])
        body.add_class("wb-wrap")
        self.widget = panel(body)

    # ---- what code reads and sets

    @property
    def setting(self) -> Setting:
        """All that the controls say."""
        return self.controls.setting

    @setting.setter
    def setting(self, setting: Setting) -> None:
        known = self.controls.setting
        if (setting.model, setting.n_blocks) != (known.model, known.n_blocks):
            raise InputError(f"this explorer is about {known.model!r}, the setting about {setting.model!r}")
        self.controls.setting = setting
        self._changed()

    @property
    def plan(self) -> Plan:
        """The plan that is chosen. Setting one that the controls cannot say raises PlanError."""
        return self.setting.plan

    @plan.setter
    def plan(self, plan: Plan) -> None:
        self.setting = self.setting.with_plan(plan)

    @property
    def request(self) -> dict[str, Any]:
        """``prompt_tokens``, ``new_tokens`` and ``batch``."""
        return self.setting.request

    @request.setter
    def request(self, request: Mapping[str, int]) -> None:
        self.setting = replace(self.setting, **{**self.request, **request})

    @property
    def code(self) -> str:
        """Python that makes the plan, its link and its prediction anew."""
        return self.setting.code()

    @property
    def outlook(self) -> Outlook:
        """What was drawn last: the setting with all that is known of it."""
        return self._outlook

    @property
    def figure(self) -> Any:
        """What the figure shows now, as a plain plotly figure."""
        return self.live.shown

    @property
    def message(self) -> str:
        """What the panel says went wrong; empty where all is well."""
        return self.messages.text

    # ---- what can be done

    def measure(self) -> None:
        """Run the plan for real, beside everything else; ``wait`` waits for it.

        Raises:
            InputError: a run goes on already, or the panel has a profile and no model.
        """
        if self._measurer is None:
            raise InputError("a profile has no weights: explore a model of wb.load_model to run it")
        setting = self.setting
        self._measurer.start(setting, self.run_controls.prompt, on_begin=lambda: self._begin(setting))

    def _begin(self, setting: Setting) -> None:
        self._worker.post("run starts", lambda: self.run_controls.begin(setting.new_tokens))

    def _press(self) -> None:
        """The button's click: what it cannot do is said in the panel."""
        try:
            self.measure()
        except WorkbenchError as error:
            self._post_error(error)

    @property
    def measuring(self) -> bool:
        """Whether a run goes on."""
        return self._measurer is not None and self._measurer.running

    def cancel(self) -> None:
        """End the run that goes on, within a second; nothing of it is left."""
        if self._measurer is not None and self._measurer.cancel():
            self._stage("cancelling …")

    def wait(self, timeout_s: float | None = None) -> Run | None:
        """Wait for the run that goes on; returns the last run, or None where there is none.

        Raises:
            CancelledRunError: the kernel was interrupted: the run is ended, the panel stands.
            TimeoutError: it goes on still.
        """
        if self._measurer is not None:
            self._measurer.wait(timeout_s)
        self.settle()
        return next(reversed(list(self.runs)), None)

    def settle(self, timeout_s: float = 30.0) -> None:
        """Wait until the picture shows what the controls say."""
        self._worker.drain(timeout_s)

    def close(self) -> None:
        """End what the panel started: its run, its processes, its threads. May be called again."""
        for part in (self._measurer, self._appraiser):
            if part is not None:
                part.close()
        self._worker.close()
        self.widget.close()

    def _ipython_display_(self) -> None:
        show_with_still(self.widget, self.live.shown, self._outlook.sentence, self._numbers.value)

    # ---- drawing: all in the worker's thread

    def _changed(self) -> None:
        """The user, or code, chose something: what was said of what came before is no news any more."""
        self._stale_message = True
        self._draw_soon()

    def _draw_soon(self) -> None:
        self._worker.post("draw", self._draw)

    def _show_soon(self) -> None:
        self._worker.post("show", self._show)

    def _draw(self) -> None:
        self.controls.follow()
        if self.controls.unknown_host:
            self.run_controls.say("measuring this machine, which takes some seconds …")
            self._calibration.begin()
            return
        setting = self.controls.setting
        self._outlook = self._look(setting)
        self._show()
        if self._stale_message:
            self._stale_message = False
            self.messages.clear()
        self._ask_for_accuracy(self._outlook)
        self._complete(setting)

    def _look(self, setting: Setting) -> Outlook:
        """All of it where that is quick; else what matters most, and the rest by ``_complete``."""
        traces = self._forecaster.chosen(setting)
        until = time.monotonic() + _PATIENCE_S
        for position, trace in self._forecaster.rest(setting):
            traces[position] = trace
            if time.monotonic() > until:
                break
        return self._with_rest(setting, traces)

    def _with_rest(self, setting: Setting, traces: dict[str, Any]) -> Outlook:
        ordered = {p: traces[p] for p in setting.positions if p in traces}
        accuracy, note = self._accuracy_of(setting)
        return Outlook(
            setting, ordered, self._forecaster.unfit(setting, ordered), accuracy, note, self.runs.of(setting)
        )

    def _complete(self, setting: Setting) -> None:
        """Predict what is missing, unless something newer is to be drawn."""
        if len(self._outlook.traces) == len(setting.positions):
            return
        traces = dict(self._outlook.traces)
        for position, trace in self._forecaster.rest(setting):
            if self._worker.waiting("draw"):
                return
            traces[position] = trace
        self._outlook = self._with_rest(setting, traces)
        self._show()

    def _show(self) -> None:
        outlook = self._outlook
        self.live.show(self._figure(outlook))
        self._sentence.value = f"<div class='wb-sentence'>{outlook.sentence}</div>"
        self._numbers.value = numbers_table(outlook)
        self._code.code = outlook.setting.code()
        self.live.settle()

    def _figure(self, outlook: Outlook) -> Any:
        if compared := self.runs_panel.compared:
            return plots.runs({run.name: (run.predicted, run.measured) for run in compared})
        s = outlook.setting
        return explorer_parts(
            outlook.traces,
            s.position,
            s.devices,
            positions=s.positions,
            unfit=outlook.unfit,
            accuracy=outlook.accuracy,
            accuracy_note=outlook.accuracy_note,
            run=outlook.run.measured if outlook.run else None,
        )

    def _fail(self, error: BaseException) -> None:
        self.messages.show(error)

    def _post_error(self, error: BaseException) -> None:
        self._worker.post("error", lambda: self._fail(error))

    # ---- this machine as a device

    def _know_host(self, profile: DeviceProfile) -> None:
        self.controls.know_host(profile)
        self._stage("")
        self._changed()

    # ---- accuracy

    def _accuracy_of(self, setting: Setting) -> tuple[Accuracy | None, str]:
        if self._appraiser is None:
            return None, "a profile has no weights to measure"
        key = setting.plan.key
        if key in self._accuracy_errors:
            return None, "could not be measured"
        if found := self._appraiser.known(setting.plan):
            return found, ""
        return None, "being measured …" if self._automatic else "not measured: press Measure accuracy"

    def _ask_for_accuracy(self, outlook: Outlook) -> None:
        wanted = outlook.accuracy is None and outlook.setting.plan.key not in self._accuracy_errors
        if self._automatic and self._appraiser is not None and wanted:
            self._appraiser.ask(outlook.setting.plan)

    def _ask_now(self) -> None:
        """Measure the accuracy of this plan and of those that are chosen from now on."""
        self._automatic = True
        self._accuracy_errors.clear()
        self._changed()

    def _found_accuracy(self, plan: Plan, accuracy: Accuracy) -> None:
        self._draw_soon()

    def _missed_accuracy(self, plan: Plan, error: WorkbenchError) -> None:
        self._accuracy_errors[plan.key] = str(error)
        self._draw_soon()
        self._post_error(error)

    # ---- running

    def _stage(self, text: str) -> None:
        self._worker.post("status", lambda: self.run_controls.say(text))

    def _token(self, piece: str) -> None:
        self.run_controls.add_text(piece)
        if time.monotonic() - self._streamed_s > _STREAM_EVERY_S:
            self._streamed_s = time.monotonic()
            self._worker.post("stream", self.run_controls.show_text)

    def _ended(self, outcome: Run | Exception) -> None:
        self._worker.post("run ends", lambda: self._show_end(outcome))

    def _show_end(self, outcome: Run | Exception) -> None:
        if isinstance(outcome, CancelledRunError):
            self.run_controls.end("cancelled: nothing is left running")
        elif isinstance(outcome, Exception):
            self.run_controls.end("failed: see above")
            self._fail(outcome)
        else:
            self._finish(self.runs.add(outcome))

    def _finish(self, run: Run) -> None:
        """Show what was measured beside the prediction of just that request."""
        self.run_controls.end(str(run.measured), run.measured.text, run.measured.notes)
        actual = replace(self.controls.setting, link_kind=run.setting.link_kind, **run.setting.request)
        if actual.key == run.setting.key:  # the user has not gone elsewhere meanwhile
            self.controls.setting = actual
        self.runs_panel.refresh()
        self._stale_message = True
        self._draw()
