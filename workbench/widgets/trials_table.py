"""Every plan of a study in a table that sorts, searches and lets one be chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets
import pandas as pd
from itables.widget import ITable

from workbench.records import OBJECTIVES, TrialRecord

__all__ = ["TrialsTable"]

_ROWS = [10, 25, 100]
_SCALED = {"s": ("ms", 1e3), "B": ("MB", 1e-6), "share": ("%", 100.0)}
"""What an objective's unit is shown in, so that a column sorts by its numbers."""


class TrialsTable:
    """The table and what is chosen in it. ``on_choose`` gets a trial's number and has to return at once."""

    def __init__(self, on_choose: Callable[[int], None]) -> None:
        self._on_choose = on_choose
        self._numbers: list[int] = []
        self._table = ITable(
            _frame([], set()),
            select="single",
            maxBytes=0,
            lengthMenu=_ROWS,
            classes="display compact nowrap",
            layout={"topEnd": "search", "topStart": "pageLength"},
            scrollX=True,
            style="margin:0;width:100%",
        )
        self._table.observe(self._chose, "selected_rows")
        self.widget = ipywidgets.VBox([self._table])

    def show(self, records: Sequence[TrialRecord], front: set[int]) -> None:
        """Show these records; the sorting that the user chose is kept by the browser."""
        frame = _frame(records, front)
        numbers = [record.number for record in records]
        if numbers != self._numbers:
            self._numbers = numbers
            self._table.update(frame)

    def _chose(self, change: dict[str, object]) -> None:
        rows = self._table.selected_rows
        if rows and rows[0] < len(self._numbers):
            self._on_choose(self._numbers[rows[0]])


def _frame(records: Sequence[TrialRecord], front: set[int]) -> pd.DataFrame:
    shown = [o for o in OBJECTIVES.values() if any(o.name in r.values for r in records)]
    rows = [_row(record, front) for record in records]
    columns = ["trial", "plan", "front", "state", *(_title(o.name) for o in shown)]
    return pd.DataFrame(rows, columns=columns)


def _title(name: str) -> str:
    objective = OBJECTIVES[name]
    unit, _ = _SCALED.get(objective.unit, (objective.unit, 1.0))
    return f"{name} ({unit}, {objective.label})"


def _row(record: TrialRecord, front: set[int]) -> dict[str, object]:
    row: dict[str, object] = {
        "trial": record.number,
        "plan": record.title,
        "front": "●" if record.number in front else "",
        "state": "baseline" if record.baseline and not record.obstacle else record.obstacle or record.state,
    }
    for name, value in record.values.items():
        _, factor = _SCALED.get(OBJECTIVES[name].unit, ("", 1.0))
        row[_title(name)] = float(f"{value * factor:.4g}")
    return row
