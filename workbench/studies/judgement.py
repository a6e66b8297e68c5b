"""What a study's records say about splitting: the fastest of each kind, among those accurate enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from workbench.errors import StudyError
from workbench.planner.verdict import Verdict, verdict
from workbench.records import BASELINES, Objective, TrialRecord
from workbench.studies.fronts import usable
from workbench.trace import RequestTrace

__all__ = ["TOLERANCE", "fastest_by_role", "judge"]

TOLERANCE = 0.02
"""Of accuracy: what is given up at most for speed."""
_TIMES = {"latency": "total", "ttft": "ttft", "tpot": "tpot"}  # objectives, and what a verdict calls them


def fastest_by_role(
    records: Sequence[TrialRecord], goals: Sequence[Objective], time: str
) -> dict[str, TrialRecord]:
    """Of edge-only, cloud-only, split and U-shaped the fastest record that is accurate enough.

    Args:
        time: the objective that says what is fast: ``"latency"``, ``"ttft"`` or ``"tpot"``.
    """
    ran = usable(records, goals)
    floor = max((r.values.get("accuracy", 0.0) for r in ran), default=0.0) - TOLERANCE
    enough = [r for r in ran if r.values.get("accuracy", 0.0) >= floor]
    return {r.role: r for r in sorted(enough, key=lambda r: r.values[time], reverse=True)}


def judge(
    name: str,
    records: Sequence[TrialRecord],
    goals: Sequence[Objective],
    trace: Callable[[TrialRecord], RequestTrace],
) -> Verdict:
    """The fastest split against the fastest of each baseline, by the first time among the goals.

    Args:
        name: of the study, for the message.
        trace: predicts a record's request.

    Raises:
        StudyError: no record is of a plan that fits.
    """
    time = next((goal.name for goal in goals if goal.name in _TIMES), "latency")
    fastest = fastest_by_role(records, goals, time)
    if not fastest:
        raise StudyError(f"study {name!r} has found no plan that fits yet: run more trials")
    splits = [record for role, record in fastest.items() if role not in BASELINES]
    if not splits:
        return _without_split(fastest, time)
    split = min(splits, key=lambda record: record.values[time])
    edge, cloud = (trace(fastest[role]) if role in fastest else None for role in BASELINES)
    found = verdict(trace(split), edge, cloud, metric=_TIMES[time])
    accurate = " that is as accurate" if "accuracy" in split.values else ""
    text = f"The fastest split{accurate}: {split.title}. {found.text}"
    return Verdict(text, found.best, found.seconds, found.metric)


def _without_split(fastest: Mapping[str, TrialRecord], time: str) -> Verdict:
    seconds = {role: record.values[time] for role, record in fastest.items()}
    best = min(seconds, key=lambda role: seconds[role])
    text = f"Don't split: no split that was tried fits and is as accurate. The fastest is {best}."
    return Verdict(text, best, seconds, _TIMES[time])
