"""Buttons of a search: start and stop it, delete it, take its plans away."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Protocol

import ipywidgets

from workbench.widgets.controls import LABEL_WIDTH, button, group
from workbench.widgets.look import hidden
from workbench.widgets.worker import Worker

__all__ = ["SearchButtons"]

_FOLDER = "results/study"
_SURE_S = 5.0  # within which a second click deletes
_STATES = {
    "idle": "no search yet",
    "starting": "starting …",
    "running": "searching",
    "paused": "paused",
    "done": "done",
    "cancelled": "cancelled",
    "failed": "failed: see above",
}


class _Commands(Protocol):
    """What the buttons do."""

    def press_start(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def cancel(self) -> None: ...
    def delete(self) -> None: ...
    def run_chosen(self) -> None: ...
    def export(self, folder: str) -> dict[str, Path]: ...


class SearchButtons:
    """All buttons with the progress. Their clicks only hand jobs to the panel's worker."""

    def __init__(self, worker: Worker, commands: _Commands) -> None:
        self._worker, self._commands = worker, commands
        self._delete_asked_s = -_SURE_S
        self._start = self._button("Start", commands.press_start, "Try that many plans", "primary")
        self._pause = self._button("Pause", commands.pause, "End within a second; what remains is kept")
        self._resume = self._button("Resume", commands.resume, "Go on with what remains")
        self._cancel = self._button("Cancel", commands.cancel, "End within a second and drop what remains")
        self._delete = self._button("Delete", self._press_delete, "Remove this study from the file")
        self._run = self._button("Run it", commands.run_chosen, "In the explorer, in two processes")
        self._progress = ipywidgets.FloatProgress(
            min=0, max=1, description="Progress", style={"description_width": LABEL_WIDTH}
        )
        self._progress.layout.width = "auto"
        self._status = ipywidgets.HTML()
        self._folder = ipywidgets.Text(
            _FOLDER,
            description="Folder",
            tooltip="Where an export goes",
            style={"description_width": LABEL_WIDTH},
            layout={"width": "auto"},
        )
        self._said = ipywidgets.HTML()
        export = self._button("Export CSV, Parquet, HTML", self._export, "All plans, and a page")
        row = [self._start, self._pause, self._resume, self._cancel, self._delete]
        buttons = ipywidgets.Box(row, layout={"flex_flow": "row wrap"})
        self.search = ipywidgets.VBox([buttons, self._progress, self._status])
        self.plan = ipywidgets.VBox([self._run])
        self.export = group("Take along", [self._folder, export, self._said])

    def _button(self, name: str, act: Callable[[], None], hint: str, style: str = "") -> ipywidgets.Button:
        return button(name, lambda: self._worker.post(f"button {name}", act), hint=hint, style=style)

    def say(self, text: str) -> None:
        """What happens now."""
        self._status.value = f"<div class='wb-note' role='status'>{escape(text)}</div>"

    def show(self, state: str, remaining: int, n_tried: int, path: Path, others: Sequence[int]) -> None:
        """Offer what makes sense in a state, and say how far the search is."""
        active = state in ("starting", "running")
        self._start.disabled = active
        self._pause.disabled = self._cancel.disabled = not active
        self._resume.disabled = active or not remaining
        self._delete.disabled = active or not n_tried
        if time.monotonic() - self._delete_asked_s > _SURE_S:
            self._delete.description = "Delete"
        asked = n_tried + remaining
        self._progress.value = n_tried / asked if asked else 0
        hidden(self._progress, not active and not remaining)
        left = f", {remaining} to go" if remaining else ""
        beside = f"; process {', '.join(map(str, others))} searches this study too" if others else ""
        self.say(f"{_STATES[state]}: {n_tried} plans tried{left}{beside}")
        if n_tried:
            where = f"sqlite:///{path}"
            self._said.value = self._said.value or (
                f"<div class='wb-note'>Optuna's own dashboard opens the same file:<br>"
                f"<code>optuna-dashboard {escape(where)}</code></div>"
            )

    def show_plan(self, chosen: bool, explorer: bool) -> None:
        """Whether there is a plan to run, and where."""
        self._run.disabled = not chosen
        hidden(self.plan, not explorer)

    def _press_delete(self) -> None:
        """The first click asks; a second one soon after it deletes."""
        if time.monotonic() - self._delete_asked_s > _SURE_S:
            self._delete_asked_s = time.monotonic()
            self._delete.description = "Delete for good?"
            return
        self._delete_asked_s = -_SURE_S
        self._delete.description = "Delete"
        self._commands.delete()

    def _export(self) -> None:
        paths = self._commands.export(self._folder.value)
        said = "<br>".join(escape(str(path)) for path in paths.values())
        self._said.value = f"<div class='wb-note'>written:<br>{said}</div>"
