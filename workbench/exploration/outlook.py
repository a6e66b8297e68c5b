"""What a setting would cost, beside not splitting: one record behind figure, table and sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from workbench.exploration.runs import Run
from workbench.exploration.setting import CLOUD_ONLY, EDGE_ONLY, Setting
from workbench.planner.verdict import dominant, verdict
from workbench.records import Accuracy, Share
from workbench.trace import RequestTrace

__all__ = ["Outlook", "Row"]


@dataclass(frozen=True)
class Row:
    """One number of the plan beside that of both baselines. None where there is no such number."""

    name: str
    unit: str
    label: str  # of the plan's and the baselines' numbers
    plan: float | None
    edge_only: float | None = None
    cloud_only: float | None = None
    run: float | None = None  # what a run gave
    run_label: str = ""
    interval: tuple[float, float] | None = None  # 95 %, of the plan's number

    @property
    def error(self) -> float | None:
        """Of the prediction against a measured run, as a share."""
        if self.plan is None or not self.run or self.run_label != "measured":
            return None
        return self.plan / self.run - 1


@dataclass(frozen=True)
class Outlook:
    """A setting with all that is known of it."""

    setting: Setting
    traces: Mapping[str, RequestTrace]  # by position; the chosen one and both baselines at least
    unfit: frozenset[str]  # positions that some device cannot hold
    accuracy: Accuracy | None = None
    accuracy_note: str = ""  # why there is none yet, or none at all
    run: Run | None = None  # of this very setting

    @property
    def trace(self) -> RequestTrace:
        """The chosen plan's request, predicted."""
        return self.traces[self.setting.position]

    @property
    def sentence(self) -> str:
        """Whether to split, what dominates, and what does not fit."""
        return " ".join([self._verdict(), *self._misfits()])

    def _verdict(self) -> str:
        edge, cloud = (self._if_fits(position) for position in (EDGE_ONLY, CLOUD_ONLY))
        if self.setting.position in (EDGE_ONLY, CLOUD_ONLY):
            return self._unsplit_sentence(edge, cloud)
        return verdict(self.trace, edge, cloud).text

    def _if_fits(self, position: str) -> RequestTrace | None:
        return None if position in self.unfit else self.traces[position]

    def _unsplit_sentence(self, edge: RequestTrace | None, cloud: RequestTrace | None) -> str:
        name, share = dominant(self.trace)
        own = f"Not split: {_duration(self.trace.total_s)} in total (modelled), {share:.0%} of it {name}."
        other = cloud if self.setting.position == EDGE_ONLY else edge
        other_name = CLOUD_ONLY if self.setting.position == EDGE_ONLY else EDGE_ONLY
        told = "cannot run" if other is None else f"takes {_duration(other.total_s)}"
        return f"{own} {other_name.capitalize()} {told}."

    def _misfits(self) -> Iterator[str]:
        for note in self.trace.notes:
            if note.startswith("does not fit"):
                yield f"It {note}."

    def rows(self) -> list[Row]:
        """Every number, times first."""
        return [*self._request_rows(), *self._accuracy_rows()]

    def _request_rows(self) -> Iterator[Row]:
        columns = {p: _numbers(self.traces[p]) for p in (self.setting.position, EDGE_ONLY, CLOUD_ONLY)}
        measured = {} if self.run is None else {n.name: n for n in self.run.measured.numbers()}
        for number in self.trace.numbers():
            found = measured.get(number.name)
            yield Row(
                number.name,
                number.unit,
                number.label,
                number.value,
                columns[EDGE_ONLY].get(number.name),
                columns[CLOUD_ONLY].get(number.name),
                found.value if found else None,
                found.label if found else "",
            )

    def _accuracy_rows(self) -> Iterator[Row]:
        if self.accuracy is None:
            return
        found = self.accuracy
        for name, share in (("exact match", found.mean_exact_match), ("agreement", found.agreement)):
            yield _share_row(name, share, found.label)
        yield Row("bits per byte", "bits/B", found.label, found.bits_per_byte)


def _share_row(name: str, share: Share, label: str) -> Row:
    return Row(name, "%", label, 100 * share.value, interval=(100 * share.low, 100 * share.high))


def _numbers(trace: RequestTrace) -> dict[str, float]:
    return {number.name: number.value for number in trace.numbers()}


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
