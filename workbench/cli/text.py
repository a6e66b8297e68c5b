"""How numbers and tables look in a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from workbench.records import Objective, TrialRecord
from workbench.trace import Number, RequestTrace

__all__ = ["print_json", "quantity", "records_table", "table", "trace_table"]

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")
_DECIMAL = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def quantity(value: float, unit: str) -> str:
    """A value with a unit that suits its size."""
    if unit == "B":
        return _binary(value)
    if unit == "s":
        return f"{value * 1e3:.1f} ms" if value < 1 else f"{value:.2f} s"
    if unit == "share":
        return f"{value:.1%}"
    if unit in ("bit/s", "FLOP/s", "B/s", "parameters"):
        return _decimal(value, unit)
    return f"{value:.3g} {unit}".rstrip()


def _binary(value: float) -> str:
    power = 0
    while value >= 1024 and power < len(_BINARY) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.0f} B" if power == 0 else f"{value:.1f} {_BINARY[power]}"


def _decimal(value: float, unit: str) -> str:
    for factor, prefix in _DECIMAL:
        if value >= factor:
            return (
                f"{value / factor:.3g} {prefix}{unit}"
                if unit != "parameters"
                else f"{value / factor:.3g} {prefix}"
            )
    return f"{value:.3g} {unit}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned columns: the first to the left, the others to the right."""
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    ruled = [lines[0], ["-" * width for width in widths], *lines[1:]]
    return "\n".join(
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in ruled
    )


def trace_table(traces: Sequence[tuple[str, RequestTrace]]) -> str:
    """Traces side by side: one row per number, each with its label."""
    columns = [(title, {n.name: n for n in trace.numbers()}) for title, trace in traces]
    names = list(dict.fromkeys(name for _, numbers in columns for name in numbers))
    rows = [
        [name, *(_cell(numbers.get(name)) for _, numbers in columns), _labels(name, columns)]
        for name in names
    ]
    return table(["", *(title for title, _ in columns), "label"], rows)


def _cell(number: Number | None) -> str:
    return "–" if number is None else quantity(number.value, number.unit)


def _labels(name: str, columns: Sequence[tuple[str, dict[str, Number]]]) -> str:
    return "/".join(dict.fromkeys(numbers[name].label for _, numbers in columns if name in numbers))


def records_table(records: Sequence[TrialRecord], goals: Sequence[Objective]) -> str:
    """Plans that a study tried, one row each, with what it asked for and where each number comes from."""
    header = ["plan", *(f"{goal.name} ({goal.label})" for goal in goals), "trial"]
    rows = [[r.title, *(_goal_cell(r, goal) for goal in goals), str(r.number)] for r in records]
    return table(header, rows)


def _goal_cell(record: TrialRecord, goal: Objective) -> str:
    if goal.name not in record.values:
        return record.obstacle or record.state
    value = quantity(record.values[goal.name], goal.unit)
    interval = record.intervals.get(goal.name)
    return value if interval is None else f"{value} [{', '.join(quantity(v, goal.unit) for v in interval)}]"
