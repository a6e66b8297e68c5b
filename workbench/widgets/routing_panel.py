"""The routing panel: where each feature runs, whether that pays, and the same replayed for real."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets

from workbench.deployment.plan_files import write_plan
from workbench.errors import CancelledRunError, InputError, UnknownNameError
from workbench.exploration.replaying import Replay, Replayed, Replayer
from workbench.exploration.routing import Known, Router, RoutingResult, RoutingSetting, number_rows
from workbench.plan import Placement, Plan
from workbench.plots.live import LiveFigure
from workbench.plots.routing.answers import answer_html, answer_legend
from workbench.plots.routing.board import replay_board, routing_parts
from workbench.plots.routing.replay import mark_of, outcome_counts
from workbench.plots.style import Scale
from workbench.profiles import DeviceProfile
from workbench.routing import Report, Served
from workbench.widgets.calibration import Calibration
from workbench.widgets.ends import EndsOfPanel
from workbench.widgets.fit import Fit
from workbench.widgets.look import MessageBox, hidden, note, panel, table
from workbench.widgets.routing_controls import ReplayControls, RoutingControls
from workbench.widgets.still import show_with_still
from workbench.widgets.worker import Worker

__all__ = ["RoutingPanel"]

_PROMPT, _ANSWER = 30, 28  # characters of either in the table of requests
_RIGHT = {True: "✓", False: "✗", None: ""}


class RoutingPanel(EndsOfPanel):
    """A panel about one plan: menus of where features run, quality over cost, the plan drawn, a replay.

    Everything can be read and set from code: `setting`, `threshold`, `link`, `edge`, `cloud`, ``place``,
    ``replay``, ``unplug``, ``save``. Setting returns at once; ``settle`` waits for the picture, and
    ``wait`` for a replay.
    """

    def __init__(self, setting: RoutingSetting, known: Known) -> None:
        self._router = Router(known)
        self._calibration = Calibration(self._know_host, self._post_error)
        self._stale_message = False
        self._result = self._router.look(setting)
        self._replayed: Replayed | None = None
        self._worker = Worker("routing", self._fail)
        self._replayer = Replayer(on_stage=self._stage, on_progress=self._progressed, on_end=self._ended)
        self._build(setting, known)
        self._show()

    def _build(self, setting: RoutingSetting, known: Known) -> None:
        self.controls = RoutingControls(setting, known, self._changed)
        self.replays = ReplayControls(self._pressed, self._cancelled, self.unplug, self._save_pressed)
        self.messages = MessageBox()
        self._sentence, self._numbers, self._status, self._answers = (ipywidgets.HTML() for _ in range(4))
        self.live = LiveFigure(self._figure())
        self.live.widget.add_class("wb-plot")
        self.lower = LiveFigure(replay_board(Report(())))
        self.lower.widget.add_class("wb-plot")
        self._replay_box = ipywidgets.VBox([Fit(), self.lower.widget, self._answers])
        self._replay_box.layout.width = "100%"
        hidden(self._replay_box, True)
        top = [Fit(), self.messages.widget, self._sentence, self._status, self.live.widget, self._numbers]
        upper = ipywidgets.VBox(top, layout={"width": "100%"})
        left = ipywidgets.VBox([self.controls.widget, self.replays.widget])
        right = ipywidgets.VBox([upper, self._replay_box])
        left.add_class("wb-controls")
        right.add_class("wb-figure")
        body = ipywidgets.Box([left, right])
        body.add_class("wb-wrap")
        self.widget = panel(body)

    # ---- what code reads and sets

    @property
    def setting(self) -> RoutingSetting:
        """All that the controls say.

        Raises:
            PlanError: they say a plan that cannot be.
        """
        return self.controls.setting

    @setting.setter
    def setting(self, setting: RoutingSetting) -> None:
        if set(setting.plan.features) != set(self.controls.features):
            raise InputError(
                f"this panel is about the features {', '.join(self.controls.features)}, the plan about "
                f"{', '.join(setting.plan.features)}: open a panel on that plan in another cell"
            )
        self.controls.setting = setting
        self._changed()

    @property
    def plan(self) -> Plan:
        """What the menus say."""
        return self.setting.plan

    @property
    def threshold(self) -> float:
        """Calibrated probability of being right, below which the default answers again."""
        return self.setting.threshold

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        self.setting = replace(self.setting, threshold=threshold)

    @property
    def result(self) -> RoutingResult:
        """What is expected, as it is shown."""
        return self._result

    @property
    def verdict(self) -> str:
        """Whether the hybrid pays, in a sentence."""
        return self._result.sentence

    @property
    def replayed(self) -> Replayed | None:
        """What the last replay gave; None before the first."""
        return self._replayed

    @property
    def report(self) -> Report | None:
        """What became of the requests of the last replay."""
        return None if self._replayed is None else self._replayed.report

    @property
    def figure(self) -> Any:
        """What the upper figure shows now, as a plain plotly figure."""
        return self.live.shown

    @property
    def message(self) -> str:
        """What the panel says went wrong; empty where all is well."""
        return self.messages.text

    # ---- what can be done

    def place(self, feature: str, where: str | Placement) -> None:
        """Have a feature run elsewhere: a title of its menu, such as ``"cloud: tiny"``, or a placement.

        Raises:
            UnknownNameError: no feature, or none of its places, is called so.
            PlanError: the plan cannot be so.
        """
        if feature not in self.controls.features:
            raise UnknownNameError("feature", feature, self.controls.features)
        if isinstance(where, Placement):
            self.setting = self.setting.placed(**{feature: where})
            return
        if where not in self.controls.offered[feature]:
            raise UnknownNameError(f"place of {feature}", where, self.controls.offered[feature])
        self.controls.features[feature].value = where

    def replay(self) -> None:
        """Run the workload that the controls say; see ``wait``.

        Raises:
            InputError: one goes on already.
        """
        r, setting = self.replays, self.setting
        self._replayer.start(
            Replay(
                setting,
                n=r.n.value,
                rate_per_s=r.rate.value,
                clock=r.clock.value,
                outage=r.outage,
                tagged=not r.untagged.value,
                calibration=self._router.calibration(setting.plan),
            )
        )
        self._worker.post("running", self._show_begun)

    def cancel(self) -> None:
        """End the replay that goes on; what has ended is shown."""
        self._replayer.cancel()

    def unplug(self, unplugged: bool = True) -> None:
        """Take the link away, in a replay that goes on or from the beginning of the next one."""
        self.replays.unplugged = unplugged
        self._replayer.unplug(unplugged)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the plan, as YAML or, by the file's name, as JSON."""
        try:
            return write_plan(self.plan, path)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}): name another file") from error

    def settle(self, timeout_s: float = 120.0) -> None:
        """Wait until the picture shows what the controls say."""
        self._worker.drain(timeout_s)

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait for the replay that goes on, and until it is shown.

        Raises:
            TimeoutError: it goes on still.
        """
        self._replayer.wait(timeout_s)
        self._worker.drain(timeout_s)

    def close(self) -> None:
        """End what the panel started. May be called again."""
        self._replayer.close()
        self._worker.close()
        self.widget.close()

    def _ipython_display_(self) -> None:
        self.settle()
        show_with_still(self.widget, self.live.shown, self.verdict, self._table())

    # ---- callbacks, which only hand over

    def _changed(self) -> None:
        self._stale_message = True
        self._worker.post("draw", self._draw)

    def _pressed(self) -> None:
        self._worker.post("replay", self.replay)

    def _cancelled(self) -> None:
        self._replayer.cancel()
        self._worker.post("cancel", lambda: self.replays.say("ending …"))

    def _save_pressed(self, name: str) -> None:
        self._worker.post("save", lambda: self.replays.show_saved(f"written: {self.save(name)}"))

    def _stage(self, text: str) -> None:
        self._worker.post("stage", lambda: self.replays.say(text))

    def _progressed(self, done: int, n: int) -> None:
        self._worker.post("progress", lambda: self._tell(done, n))

    def _ended(self, found: Replayed | Exception) -> None:
        self._worker.post("ended", lambda: self._show_end(found))

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
            self._status.value = note("measuring this machine, which takes some seconds …")
            self._calibration.begin()
            return
        self._status.value = ""
        self._result = self._router.look(self.controls.setting)
        if self._stale_message:
            self._stale_message = False
            self.messages.clear()
        self._show()

    def _show(self) -> None:
        self.live.show(self._figure())
        self._sentence.value = f"<div class='wb-sentence'>{escape(self.verdict)}</div>"
        self._numbers.value = self._table()
        self.live.settle()

    def _figure(self) -> Any:
        found = self._result
        remark = "" if found.here else "nothing to compare"
        s = found.setting
        return routing_parts(s.plan, found.curves, found.here, cost=s.cost, remark=remark)

    def _table(self) -> str:
        head, rows = number_rows(self._result)
        plan = list(self._result.setting.plan.rows())
        columns = [name for name in plan[0] if any(row[name] for row in plan)]
        listed = table(columns, [[row[name] for name in columns] for row in plan])
        bounds = "; ".join(map(str, self._result.setting.plan.bounds))
        numbers = table(head, rows) if rows else ""
        return numbers + listed + (note(f"bound: {bounds}") if bounds else "")

    # ---- a replay, in the worker's thread too

    def _show_begun(self) -> None:
        if self._replayer.running:
            self.messages.clear()
            self.replays.show_running(True)
            self.replays.show_progress(0, 1)

    def _tell(self, done: int, n: int) -> None:
        self.replays.show_progress(done, n)
        self.replays.say(f"{done} of {n} requests" + (", unplugged" if self._replayer.unplugged else ""))

    def _show_end(self, found: Replayed | Exception) -> None:
        self.replays.show_running(False)
        if isinstance(found, Exception):
            self.replays.say("cancelled" if isinstance(found, CancelledRunError) else "failed")
            if not isinstance(found, CancelledRunError):
                self._fail(found)
            return
        self._replayed = found
        self.replays.say(_summary(found))
        self.lower.show(replay_board(found.report, found.outages))
        self._answers.value = _requests_table(found.report)
        self.lower.settle()  # a figure that changes its height nails its width: shown last, it is made to fit
        hidden(self._replay_box, not found.report.n)


def _summary(found: Replayed) -> str:
    report, predicted = found.report, found.predicted
    if not report.n:
        return "cancelled before any request ended"
    counts = ", ".join(f"{n} {name}" for name, n in outcome_counts(report).items())
    right = "" if report.mean_quality is None else f", {report.mean_quality:.0%} right (measured)"
    edge = "" if report.edge_share is None else f", {report.edge_share:.0%} on the edge alone"
    said = (
        f"{'cancelled: ' if found.cancelled else ''}{report.n} requests on the {found.clock} clock: {counts}"
    )
    if not report.latency_s or predicted is None or not predicted.latency_s:
        return said + right + edge
    times = [of.latency_s["mean"] for of in (report, predicted)]
    scale = Scale.seconds(max(times))
    latency = (
        f"; mean latency {scale.text(times[0])} ({report.label}), by the cost model {scale.text(times[1])}"
    )
    return said + right + edge + latency


def _requests_table(report: Report) -> str:
    """A row per request; the answer on the ground of where it was made."""
    columns = ("#", "prompt", "answer", "right", "taken for", "module", "outcome", "latency")
    head = "".join(f"<th scope='col'>{name}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(_cells(i, one))}</tr>" for i, one in enumerate(report.served, start=1))
    inner = f"<table class='wb-table'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    legend = f"<div class='wb-note'>{answer_legend()}</div>"
    return f"{legend}<div class='wb-scroll'>{inner}</div>{note(f'times: {report.label}; answers: measured')}"


def _cells(number: int, one: Served) -> Iterator[str]:
    text = one.request.prompt.replace("\n", " ")
    prompt = text if len(text) <= _PROMPT else text[: _PROMPT - 1] + "…"
    reason = one.refused or (one.settled.reason if one.settled else "")
    truth, taken = one.request.truth or "", one.taken or ""
    wrong = f" (is {truth})" if truth and truth != taken else ""
    seconds = one.latency_s
    left = "style='text-align:left'"
    yield f"<th scope='row'>{number}</th><td title='{escape(text)}' {left}>{escape(prompt)}</td>"
    yield f"<td {left}>{answer_html(one, longest=_ANSWER)}</td>"
    yield f"<td>{_RIGHT[one.right]}</td><td>{escape(taken + wrong)}</td><td>{escape(one.module or '')}</td>"
    yield f"<td title='{escape(reason)}'>{escape(mark_of(one) or one.outcome)}</td>"
    yield f"<td>{'' if seconds is None else Scale.seconds(seconds).text(seconds)}</td>"
