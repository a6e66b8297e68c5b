"""A panel's numbers as HTML tables, each with its unit and label."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.exploration import Outlook, Row, Run
from workbench.plots.style import Scale
from workbench.records import OBJECTIVES, Objective, TrialRecord
from workbench.widgets.look import table

__all__ = ["numbers_table", "records_table", "runs_table"]

_NAMES = {"ttft": "TTFT", "tpot": "TPOT"}
_NONE = "–"


def numbers_table(outlook: Outlook) -> str:
    """The plan's numbers beside those of both baselines and, where there is one, of the run."""
    rows = outlook.rows()
    ran = outlook.run.measured.label if outlook.run is not None else ""
    run = f"run ({ran})"
    head = ["", "this plan", *([run, "error"] if ran else []), "edge-only", "cloud-only", "label"]
    body = [_cells(row, ran) for row in rows]
    note = "" if outlook.accuracy is not None else f"accuracy: {outlook.accuracy_note}"
    return table(head, body, note=note)


def _cells(row: Row, ran: str) -> list[str]:
    plan = _text(row, row.plan)
    if row.interval is not None:
        plan += f" [{row.interval[0]:.1f}, {row.interval[1]:.1f}]"
    run = [_run_text(row, ran), _NONE if row.error is None else f"{row.error:+.1%}"] if ran else []
    baselines = [_text(row, row.edge_only), _text(row, row.cloud_only)]
    return [_NAMES.get(row.name, row.name), plan, *run, *baselines, row.label]


def _run_text(row: Row, ran: str) -> str:
    """A run's number; its label too where that is not the column's."""
    text = _text(row, row.run)
    return text if row.run is None or row.run_label == ran else f"{text} ({row.run_label})"


def _text(row: Row, value: float | None) -> str:
    if value is None:
        return _NONE
    if row.unit == "%":
        return f"{value:.1f} %"
    unit = row.unit.replace("tokens", "tok")
    return Scale.of(unit, abs(value)).text(value)


def runs_table(runs: Sequence[Run]) -> str:
    """Runs side by side: prediction, what was run, and the prediction's error, a column each."""
    head = ["", *(run.name for run in runs)]
    numbers = [(_numbers(run.predicted), _numbers(run.measured)) for run in runs]
    names = list(dict.fromkeys(name for _, measured in numbers for name in measured))
    rows = [["clock", *(run.measured.clock for run in runs)]]
    rows += [[_NAMES.get(n, n), *(_pair(n, *pair) for pair in numbers)] for n in names]
    return table(head, rows, note="predicted → run (error of the prediction)")


def records_table(records: Sequence[TrialRecord]) -> str:
    """A front as a table: each plan with every number that is known of it."""
    shown = [o for o in OBJECTIVES.values() if any(o.name in r.values for r in records)]
    head = ["trial", "plan", *(f"{o.name} ({o.label})" for o in shown)]
    return table(head, [[str(r.number), r.title, *(_value(r, o) for o in shown)] for r in records])


def _value(record: TrialRecord, goal: Objective) -> str:
    value = record.values.get(goal.name)
    if value is None:
        return _NONE
    return f"{value:.1%}" if goal.unit == "share" else Scale.of(goal.unit, abs(value)).text(value)


def _numbers(trace: object) -> dict[str, tuple[float, str]]:
    return {n.name: (n.value, n.unit) for n in trace.numbers()}  # type: ignore[attr-defined]


def _pair(name: str, predicted: dict[str, tuple[float, str]], run: dict[str, tuple[float, str]]) -> str:
    if name not in run:
        return _NONE
    value, unit = run[name]
    scale = Scale.of(unit, abs(value))
    if name not in predicted:
        return scale.text(value)
    before = predicted[name][0]
    error = f" ({before / value - 1:+.0%})" if value else ""
    return f"{before / scale.divisor:.3g} → {scale.text(value)}{error}"
