"""Fronts of records, and how much of the objectives' box they dominate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.planner.pareto import hypervolume, non_dominated
from workbench.records import Objective, TrialRecord

__all__ = ["Box", "front_of", "usable"]

_MARGIN = 0.1  # of the box beyond the worst value, so that the ends of a front count too


def usable(records: Sequence[TrialRecord], goals: Sequence[Objective]) -> list[TrialRecord]:
    """The records that ran to the end and have every goal's number."""
    return [r for r in records if r.state == "complete" and all(g.name in r.values for g in goals)]


def front_of(records: Sequence[TrialRecord], goals: Sequence[Objective]) -> list[TrialRecord]:
    """The records that no other beats in every goal, by the first goal from best to worst."""
    candidates = usable(records, goals)
    kept = [candidates[i] for i in non_dominated([_point(r, goals) for r in candidates])]
    return sorted(kept, key=lambda r: _point(r, goals))


def _point(record: TrialRecord, goals: Sequence[Objective]) -> tuple[float, ...]:
    """To be minimised."""
    return tuple(record.values[g.name] * (1 if g.direction == "minimize" else -1) for g in goals)


@dataclass(frozen=True)
class Box:
    """The best and worst value of each goal: what hypervolumes are shares of."""

    goals: tuple[Objective, ...]
    best: tuple[float, ...]
    worst: tuple[float, ...]

    @classmethod
    def around(cls, records: Sequence[TrialRecord], goals: Sequence[Objective]) -> Box:
        """The box that holds all usable records."""
        points = [_point(r, goals) for r in usable(records, goals)] or [(0.0,) * len(goals)]
        columns = list(zip(*points, strict=True))
        return cls(tuple(goals), tuple(map(min, columns)), tuple(map(max, columns)))

    def share(self, records: Sequence[TrialRecord]) -> float:
        """The dominated part of the box, widened by a tenth beyond the worst; 0 is nothing, 1 all of it."""
        points = [self._scaled(_point(r, self.goals)) for r in usable(records, self.goals)]
        reference = (1 + _MARGIN,) * len(self.goals)
        return hypervolume(points, reference) / (1 + _MARGIN) ** len(self.goals)

    def history(self, records: Sequence[TrialRecord]) -> list[float]:
        """``share`` of the records up to each one, computed anew only where the front moves."""
        shares: list[float] = []
        front: list[TrialRecord] = []
        for record in records:
            moved = front_of([*front, record], self.goals)
            if not shares or {r.number for r in moved} != {r.number for r in front}:
                front = moved
                shares.append(self.share(front))
            else:
                shares.append(shares[-1])
        return shares

    def _scaled(self, point: tuple[float, ...]) -> tuple[float, ...]:
        triples = zip(point, self.best, self.worst, strict=True)
        return tuple((x - low) / (high - low) if high > low else 0.0 for x, low, high in triples)
