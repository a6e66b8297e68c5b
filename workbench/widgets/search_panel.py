"""The search panel: say what is looked for, watch Optuna find it, take a plan from there."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets

from workbench import plots
from workbench.errors import CancelledRunError, StudyError, WorkbenchError
from workbench.exploration import Setting
from workbench.plots.live import LiveFigure
from workbench.profiles import DeviceProfile, ModelProfile
from workbench.records import OBJECTIVES, TrialRecord
from workbench.studies import (
    Question,
    Study,
    StudyRunner,
    check_usable,
    delete_study,
    study_names,
)
from workbench.widgets.calibration import Calibration
from workbench.widgets.code import CodeBox
from workbench.widgets.controls import LABEL_WIDTH, Choice, group
from workbench.widgets.fit import Fit
from workbench.widgets.look import MessageBox, panel
from workbench.widgets.numbers import records_table
from workbench.widgets.search_buttons import SearchButtons
from workbench.widgets.search_controls import NEW, SearchControls
from workbench.widgets.still import show_with_still
from workbench.widgets.trials_table import TrialsTable
from workbench.widgets.worker import Worker

if TYPE_CHECKING:
    from workbench.models import Model
    from workbench.widgets.explorer import Explorer

__all__ = ["SearchPanel"]

_TABLE_EVERY_S = 2.0  # while a search runs: a table that is drawn anew loses the reader's place
_FEW = 10  # plans more, after which importance is worth computing again


class SearchPanel:
    """A panel about one file of studies. Everything that a button does can be called, from any thread.

    Commands return at once; ``wait`` waits for the search. The search itself is a process of its own: it ends
    with this one, and its file knows what remains.
    """

    def __init__(
        self,
        model: Model | ModelProfile,
        question: Question,
        storage: str | os.PathLike[str],
        *,
        name: str | None = None,
        explorer: Explorer | None = None,
    ) -> None:
        self._model, self._explorer, self._asked_name = model, explorer, name
        self._path = Path(storage)
        self._lock = threading.RLock()
        self._study: Study | None = None
        self._runner: StudyRunner | None = None
        self._chosen: int | None = None
        self._importance: tuple[int, dict[str, dict[str, float]]] = (0, {})
        self._table_drawn_s = 0.0
        self._calibration = Calibration(self._know_host, self._miss_host)
        self._worker = Worker("search", self._fail)
        self._question = question
        self._trouble: StudyError | None = None  # with the file
        self._build(question)
        self._open_known()
        self._draw()

    def _open_known(self) -> None:
        """Look at the study of the file that this panel is about, where it is there already."""
        wanted = self._asked_name or _usual_name(self._question)
        self._trouble = None
        try:
            check_usable(self._path)
            if wanted in self.studies:
                self._open(wanted)
        except StudyError as error:
            self._trouble = error

    def _build(self, question: Question) -> None:
        self.controls = SearchControls(question, str(self._path), self._look_at_soon, self._take_soon)
        self.messages = MessageBox()
        self.buttons = SearchButtons(self._worker, self)
        self._axes = _axes_controls()
        for choice in self._axes.values():
            choice.on_change(lambda _: self._draw_soon())
        self._beside = ipywidgets.SelectMultiple(
            description="Lay over",
            tooltip="Fronts of other studies of the file",
            rows=3,
            style={"description_width": LABEL_WIDTH},
            layout={"width": "auto"},
        )
        self._beside.observe(lambda _: self._draw_soon(), "value")
        self.live = LiveFigure(self._figure())
        self.live.widget.add_class("wb-plot")
        self.live.on_click(lambda data: self._choose_soon(data[0]))
        self.table = TrialsTable(self._choose_soon)
        self._verdict, self._plan, self._code = ipywidgets.HTML(), ipywidgets.HTML(), CodeBox()
        self.widget = panel(self._body())

    def _body(self) -> ipywidgets.Widget:
        axes = ipywidgets.HBox([choice.widget for choice in self._axes.values()])
        axes.add_class("wb-axes")
        left = ipywidgets.VBox([self.controls.widget, self.buttons.search, self._beside])
        figure = ipywidgets.VBox([Fit(), self.messages.widget, self._verdict, axes, self.live.widget])
        plan = group("The chosen plan", [self._plan, self.buttons.plan, self._code])
        right = ipywidgets.VBox([plan, group("Every plan", [self.table]), self.buttons.export])
        for part, name in ((left, "wb-controls"), (figure, "wb-figure"), (right, "wb-numbers")):
            part.add_class(name)
        body = ipywidgets.Box([left, figure, right])
        body.add_class("wb-wrap")
        return body

    # ---- what code reads

    @property
    def studies(self) -> list[str]:
        """The names of the file's studies.

        Raises:
            StudyError: the file cannot be used.
        """
        return study_names(self._path) if self._path.exists() else []

    @property
    def study(self) -> Study:
        """The study that is looked at.

        Raises:
            StudyError: none has begun.
        """
        if self._study is None:
            raise StudyError("no study has begun yet: press Start, or call start")
        return self._study

    @property
    def state(self) -> str:
        """What the search does: one of `studies.StudyRunner`'s states."""
        return self._runner.state if self._runner is not None else "idle"

    @property
    def remaining(self) -> int:
        """Plans still to be tried of those asked for."""
        return self._runner.remaining if self._runner is not None else 0

    @property
    def chosen(self) -> TrialRecord | None:
        """The plan that was chosen by a click, in the table, or by ``choose``."""
        return None if self._chosen is None else self.study.record(self._chosen)

    @property
    def figure(self) -> Any:
        """What the figure shows now, as a plain plotly figure."""
        return self.live.shown

    @property
    def message(self) -> str:
        """What the panel says went wrong; empty where all is well."""
        return self.messages.text

    # ---- what can be done

    def start(self, n_trials: int) -> None:
        """Try so many plans more: of the study that is looked at, or of a new one that asks what the
        controls say.

        Raises:
            InputError: a question that cannot be, or fewer than one trial.
            StudyError: a search goes on, the file is held by another process, or a study of that name asks
                something else.
        """
        with self._lock:
            if self._study is None:
                self._begin()
            self._running.start(n_trials)
        self._draw_soon()

    def until(self, n_trials: int) -> None:
        """Search until so many plans have been tried in all; go on with what an earlier search left.

        Raises:
            StudyError, InputError: as ``start``.
        """
        with self._lock:
            if self._study is None:
                self._begin()
            missing = n_trials - self._n_tried
            if missing > 0:
                self._running.start(missing)
        self._draw_soon()

    def pause(self) -> None:
        """End the search within a second; what remains is kept."""
        if self._runner is not None:
            self._runner.pause()

    def resume(self) -> None:
        """Go on with what remains.

        Raises:
            StudyError: nothing remains, or a search goes on.
        """
        self._running.resume()
        self._draw_soon()

    def cancel(self) -> None:
        """End the search within a second and drop what remains; the plans that were tried are kept."""
        if self._runner is not None:
            self._runner.cancel()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait for the search to end.

        Raises:
            CancelledRunError: the kernel was interrupted: the search is paused and can go on.
            TimeoutError: it goes on still.
            WorkbenchError: what made the search fail.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while self._runner is not None and not self._runner.wait(0.1):
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"the search goes on after {timeout_s} s: wait longer, or pause it")
        except KeyboardInterrupt:
            self.pause()
            raise CancelledRunError("interrupted: the search is paused, Resume goes on with it") from None
        self.settle()
        if self._runner is not None and self._runner.error is not None:
            raise self._runner.error

    def delete(self) -> None:
        """Remove the study that is looked at from the file, with all its plans.

        Raises:
            StudyError: a search goes on, here or in another process, or none is looked at.
        """
        with self._lock:
            name = self.study.name
            others = self._running.other_workers()
            if self._searching or others:
                who = f"in process {', '.join(map(str, others))}" if others else "here"
                raise StudyError(f"study {name!r} is being searched {who}: cancel that before deleting it")
            self._leave()
            delete_study(self._path, name)
        self._draw_soon()

    def look_at(self, name: str | None) -> None:
        """Show a study of the file, or with None begin to say what a new one asks.

        Raises:
            StudyError: a search goes on, or the file has no study of that name.
        """
        with self._lock:
            self._check_at_rest()
            self._leave()
            if name is not None:
                self._open(name)
        self._draw_soon()

    def take(self, storage: str | os.PathLike[str]) -> None:
        """Go over to another file; what makes it unusable is said in the panel.

        Raises:
            StudyError: a search goes on.
        """
        with self._lock:
            self._check_at_rest()
            self._leave()
            self._path = Path(storage)
            self._open_known()
        self._draw_soon()

    def choose(self, number: int) -> None:
        """Choose a plan by its trial: it is ringed, written out and shown in the explorer.

        Raises:
            StudyError: there is no such trial.
        """
        record = self.study.record(number)
        self._chosen = number
        if self._explorer is not None:
            self._explorer.setting = self._setting_of(record)
        self._draw_soon()

    def run_chosen(self) -> None:
        """Show the chosen plan in the explorer and run it there for real.

        Raises:
            StudyError: no plan is chosen, or the panel has no explorer.
        """
        if self._explorer is None:
            raise StudyError("no explorer: make the panel with wb.search(..., explorer=wb.explore(model))")
        if self._chosen is None:
            raise StudyError("no plan is chosen: click on a point, or on a row of the table")
        self.choose(self._chosen)
        self._explorer.settle()
        self._explorer.measure()

    def export(self, folder: str | os.PathLike[str]) -> dict[str, Path]:
        """Write CSV, Parquet and a self-contained page; returns the paths by kind.

        Raises:
            StudyError: none has begun.
        """
        runs = () if self._explorer is None else [(r.predicted, r.measured) for r in self._explorer.runs]
        return self.study.export(folder, runs=runs)

    def settle(self, timeout_s: float = 30.0) -> None:
        """Wait until the picture shows what is known."""
        self._worker.drain(timeout_s)

    def close(self) -> None:
        """Pause the search and end what the panel started. May be called again."""
        self._leave()
        self._worker.close()
        self.widget.close()

    def _ipython_display_(self) -> None:
        show_with_still(self.widget, self.live.shown, _plain(self._verdict.value), self._front_table())

    # ---- studies

    @property
    def _running(self) -> StudyRunner:
        if self._runner is None:
            raise StudyError("no study has begun yet: press Start, or call start")
        return self._runner

    @property
    def _searching(self) -> bool:
        return self.state in ("starting", "running")

    def _check_at_rest(self) -> None:
        if self._searching:
            raise StudyError(f"study {self.study.name!r} is being searched: pause or cancel that first")

    def _begin(self) -> None:
        """A new study that asks what the controls say."""
        check_usable(self._path)
        question = self.controls.question
        study = Study(
            self._model,
            question.edge,
            question.cloud,
            question.link,
            objectives=question.objectives,
            space=question.space,
            limits=question.limits,
            prompt_tokens=question.prompt_tokens,
            new_tokens=question.new_tokens,
            batch=question.batch,
            storage=self._path,
            name=self.controls.name or self._asked_name or _usual_name(question),
        )
        self._open(study.name)

    def _open(self, name: str) -> None:
        source = None if isinstance(self._model, ModelProfile) else self._model.reference
        self._runner = StudyRunner(
            self._path,
            name,
            model=source,
            sampler=self.controls.sampler.value,
            on_change=lambda _: self._draw_soon(),
        )
        self._study = Study.open(self._path, name)
        self._chosen, self._importance = None, (0, {})

    def _leave(self) -> None:
        """Look at no study any more; one that is searched is paused."""
        if self._runner is not None:
            self._runner.close()
        self._runner = self._study = self._chosen = None

    def _setting_of(self, record: TrialRecord) -> Setting:
        q = self.study.question
        setting = Setting(
            model=q.model.name,
            n_blocks=q.model.n_blocks,
            edge=q.edge,
            cloud=q.cloud,
            link=q.link,
            prompt_tokens=q.prompt_tokens,
            new_tokens=q.new_tokens,
            batch=q.batch,
        )
        return setting.with_plan(record.plan)

    # ---- callbacks, which only hand over

    def _draw_soon(self) -> None:
        self._worker.post("draw", self._draw)

    def _choose_soon(self, number: int) -> None:
        self._worker.post("choose", lambda: self.choose(number))

    def _look_at_soon(self, name: str) -> None:
        shown = self._study.name if self._study is not None else NEW
        if name != shown:
            self._worker.post("look", lambda: self._look_or_stay(name))

    def _take_soon(self, storage: str) -> None:
        if Path(storage) != self._path:
            self._worker.post("take", lambda: self.take(storage))

    def _look_or_stay(self, name: str) -> None:
        try:
            self.look_at(None if name == NEW else name)
        except WorkbenchError:
            self._draw_soon()  # the list goes back to what is shown
            raise

    def press_start(self) -> None:
        """The Start button, in the worker's thread: measures this machine first where it has to."""
        if self._study is None and self.controls.unknown_host:
            self.buttons.say("measuring this machine, which takes some seconds …")
            self._calibration.begin()
            return
        self.start(self.controls.trials.value)

    def _know_host(self, profile: DeviceProfile) -> None:
        self.controls.know_host(profile)
        self._worker.post("start", self.press_start)

    def _miss_host(self, error: WorkbenchError) -> None:
        self._worker.post("error", lambda: self._fail(error))

    def _fail(self, error: Exception) -> None:
        self.messages.show(error)

    # ---- drawing: in the worker's thread

    def _draw(self) -> None:
        with self._lock:
            study, state, searching = self._study, self.state, self._searching
            names = self.studies if self._trouble is None else []
            self.controls.list_studies(names, study.name if study is not None else NEW)
            if study is not None:
                self.controls.show(study.question)
            self._list_others([name for name in names if study is None or name != study.name])
            self.live.show(self._figure())
            self._show_words(study)
            self._show_table(study, at_rest=not searching)
            self.buttons.show(state, self.remaining, self._n_tried, self._path, self._others_at_work())
            self._show_error()
        self.live.settle()

    @property
    def _records(self) -> list[TrialRecord]:
        return self._study.records() if self._study is not None else []

    @property
    def _n_tried(self) -> int:
        """Plans with an outcome: not those that a pause or an error cut short."""
        return sum(record.state in ("complete", "infeasible") for record in self._records)

    def _others_at_work(self) -> tuple[int, ...]:
        return self._runner.other_workers() if self._runner is not None else ()

    def _list_others(self, names: list[str]) -> None:
        if list(self._beside.options) != names:
            kept = [name for name in self._beside.value if name in names]
            self._beside.options = names
            self._beside.value = kept

    def _figure(self) -> Any:
        study = self._study
        if study is None:
            goals = [OBJECTIVES[name] for name in self._question.objectives]
            return plots.board([], [], goals, history={NEW: []}, **self._chosen_axes([]))
        beside = {name: Study.open(self._path, name) for name in self._beside.value}
        history = {s.name: s.hypervolume_history() for s in (study, *beside.values())}
        return plots.board(
            study.records(),
            study.front(),
            study.goals,
            history=history,
            importance=self._importance_of(study),
            others={name: other.front() for name, other in beside.items()},
            chosen=self._chosen,
            **self._chosen_axes(study.records()),
        )

    def _chosen_axes(self, records: Sequence[TrialRecord]) -> dict[str, Any]:
        """What the user wants on the axes, where any plan has that number."""
        known = {name for record in records for name in record.values} | {"edge_blocks"}
        return {axis: c.value for axis, c in self._axes.items() if c.value and c.value in known}

    def _importance_of(self, study: Study) -> dict[str, dict[str, float]]:
        n, _ = self._importance
        n_now = len(study.records())
        if n_now >= n + _FEW or (n_now != n and not self._searching):
            self._importance = (n_now, study.importance())
        return self._importance[1]

    def _show_words(self, study: Study | None) -> None:
        self._verdict.value = f"<div class='wb-sentence'>{escape(_verdict_of(study))}</div>"
        record = self.chosen
        if record is None:
            self._plan.value = "<div class='wb-note'>none: click on a point, or on a row of the table</div>"
            self._code.code = ""
        else:
            self._plan.value = f"<div>trial {record.number}: {escape(record.title)}</div>"
            self._code.code = self._setting_of(record).code()
        self.buttons.show_plan(record is not None, self._explorer is not None)

    def _show_table(self, study: Study | None, *, at_rest: bool) -> None:
        if at_rest or time.monotonic() - self._table_drawn_s > _TABLE_EVERY_S:
            front = {record.number for record in study.front()} if study is not None else set()
            self.table.show(self._records, front)
            self._table_drawn_s = time.monotonic()

    def _show_error(self) -> None:
        error = self._trouble or (self._runner.error if self._runner is not None else None)
        if error is not None:
            self.messages.show(error)
        else:
            self.messages.clear()

    def _front_table(self) -> str:
        return records_table(self._study.front() if self._study is not None else [])


def _usual_name(q: Question) -> str:
    limits = f", {' '.join(sorted(q.limits))} limited" if q.limits else ""
    where = f"{q.model.name}, {q.edge.name} to {q.cloud.name} over {q.link.name}"
    return f"{'+'.join(q.objectives)}: {where}{limits}"


def _axes_controls() -> dict[str, Choice]:
    titles = [(o.title, o.name) for o in OBJECTIVES.values()]
    usual, blocks = [("by the objectives", "")], [("Blocks on the edge", "edge_blocks")]
    return {
        "x": Choice("Across", [*usual, *titles], "", hint="The horizontal axis"),
        "y": Choice("Up", [*usual, *titles], "", hint="The vertical axis"),
        "colour": Choice("Colour", [*usual, *blocks, *titles], "", hint="Of the points"),
    }


def _verdict_of(study: Study | None) -> str:
    if study is None:
        return "Say what is looked for and press Start: both ways of not splitting are tried first."
    try:
        return study.verdict().text
    except StudyError as error:
        return str(error)


def _plain(html: str) -> str:
    return html.removeprefix("<div class='wb-sentence'>").removesuffix("</div>")


