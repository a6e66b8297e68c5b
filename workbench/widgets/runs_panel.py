"""The runs that were kept: choose some to compare, name, remove and export them."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import ipywidgets

from workbench.errors import InputError
from workbench.exploration import Run, RunBook
from workbench.widgets.controls import LABEL_WIDTH, button, group
from workbench.widgets.look import hidden
from workbench.widgets.numbers import runs_table
from workbench.widgets.worker import Worker

__all__ = ["RunsPanel"]

_FOLDER = "results/runs"


class RunsPanel:
    """A list of runs and what can be done with them. Buttons only hand jobs to the panel's worker."""

    def __init__(
        self, runs: RunBook, worker: Worker, fail: Callable[[Exception], None], show: Callable[[], None]
    ) -> None:
        self._runs, self._worker, self._fail, self._show = runs, worker, fail, show
        wide = {"style": {"description_width": LABEL_WIDTH}, "layout": {"width": "auto"}}
        self._list = ipywidgets.SelectMultiple(
            description="Kept runs", tooltip="Ctrl or Shift chooses several", rows=4, **wide
        )
        self._name = ipywidgets.Text(description="New name", tooltip="For the run that is chosen", **wide)
        self._compare = ipywidgets.ToggleButton(
            description="Side by side",
            tooltip="The figure shows the chosen runs, or all",
            layout={"width": "auto"},
        )
        self._folder = ipywidgets.Text(_FOLDER, description="Folder", tooltip="Where an export goes", **wide)
        self._table, self._said = ipywidgets.HTML(), ipywidgets.HTML()
        buttons = ipywidgets.HBox(self._buttons())
        self._rest = ipywidgets.VBox(
            [self._list, self._name, buttons, self._folder, self._said, self._table]
        )
        self._empty = ipywidgets.HTML("<div class='wb-note'>None yet: press Run it.</div>")
        self.widget = group("Runs", [self._empty, self._rest])
        self._compare.observe(lambda _: self._changed(), "value")
        self._list.observe(lambda _: self._changed(), "value")
        self.refresh()

    def _buttons(self) -> list[ipywidgets.Widget]:
        return [
            self._compare,
            button("Rename", lambda: self._do(self._rename), hint="Give the chosen run the new name"),
            button("Remove", lambda: self._do(self._remove), hint="Forget the chosen runs"),
            button("Export", lambda: self._do(self._export), hint="Write JSON, CSV and an HTML page"),
        ]

    @property
    def compared(self) -> list[Run]:
        """The runs that the figure is to show side by side; none where it shows the plan."""
        if not self._compare.value:
            return []
        return self._chosen or list(self._runs)

    @property
    def _chosen(self) -> list[Run]:
        names = set(self._list.value)
        return [run for run in self._runs if run.name in names]

    def refresh(self) -> None:
        """Show the runs that there are now. In the worker's thread."""
        names = [run.name for run in self._runs]
        kept = [name for name in self._list.value if name in names]
        if list(self._list.options) != names:
            self._list.options = names
            self._list.value = kept
        hidden(self._rest, not names)
        hidden(self._empty, bool(names))
        self._table.value = runs_table(self.compared) if self.compared else ""

    def _changed(self) -> None:
        self._do(lambda: None)

    def _do(self, act: Callable[[], None]) -> None:
        self._worker.post(f"runs {id(act)}", lambda: self._act(act))

    def _act(self, act: Callable[[], None]) -> None:
        self._said.value = ""
        act()
        self.refresh()
        self._show()

    def _rename(self) -> None:
        self._runs.rename(self._one("rename").name, self._name.value)
        self._name.value = ""

    def _remove(self) -> None:
        for run in self._chosen or [self._one("remove")]:
            self._runs.remove(run.name)

    def _export(self) -> None:
        paths = self._runs.export(self._folder.value)
        said = ", ".join(escape(str(path)) for path in paths.values())
        self._said.value = f"<div class='wb-note'>written: {said}</div>"

    def _one(self, what: str) -> Run:
        if len(self._chosen) != 1:
            raise InputError(f"choose one run in the list to {what}: {len(self._chosen)} are chosen")
        return self._chosen[0]
