"""Link traces: a path whose rates, round trip and loss change over time, recorded or modelled. Data only.

Read from CSV, from Mahimahi's packet-delivery traces, or by name from ``data/traces``.
"""

from __future__ import annotations

import csv
import json
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from workbench.errors import ProfileError, UnknownNameError
from workbench.files import write_text
from workbench.profiles import DATA, Direction, LinkProfile, Source
from workbench.trace import LABELS, Label

__all__ = ["LinkStep", "LinkTrace", "link_trace", "link_traces"]

_WAYS: tuple[Direction, Direction] = ("up", "down")
_OPPORTUNITY_BYTES = 1448  # what an application gets of the 1500 bytes that a line of Mahimahi's lets through
_CALENDAR_S = 1e8  # three years: no trace is so long, a Unix time is longer
_FACTORS: Mapping[str, tuple[str, float]] = {
    "uplink_mbps": ("uplink_bps", 1e6),
    "downlink_mbps": ("downlink_bps", 1e6),
    "rtt_ms": ("rtt_s", 1e-3),
}


@dataclass(frozen=True)
class LinkStep:
    """What holds from a moment on. ``None`` stays as the profile has it; rate 0 or loss 1 is an outage."""

    at_s: float  # from the start of the trace
    uplink_bps: float | None = None
    downlink_bps: float | None = None
    rtt_s: float | None = None
    loss: float | None = None  # share of packets, both ways

    def __post_init__(self) -> None:
        for column in fields(self):
            value = getattr(self, column.name)
            if value is not None and not 0 <= value < math.inf:
                raise ProfileError(f"{column.name} must be finite and not negative, got {value}")
        if self.loss is not None and self.loss > 1:
            raise ProfileError(f"loss is a share from 0 to 1, got {self.loss}: write 2 % as 0.02")

    def is_outage(self, direction: Direction) -> bool:
        """Whether nothing gets through."""
        return self.loss == 1 or (self.uplink_bps if direction == "up" else self.downlink_bps) == 0

    def over(self, base: LinkProfile) -> LinkProfile:
        """The profile with what this says put in; an outage leaves a direction as the profile has it."""
        changed: dict[str, Any] = {}
        for key in ("uplink_bps", "downlink_bps", "rtt_s"):
            changed |= {key: getattr(self, key)} if getattr(self, key) else {}
        if self.rtt_s == 0:
            changed["rtt_s"] = 0.0
        if self.loss is not None and self.loss < 1:
            changed["loss"] = self.loss
        for side in ("uplink", "downlink"):
            changed[side] = _own(getattr(base, side), changed, base.rtt_s)
        return replace(base, **changed)


@dataclass(frozen=True)
class LinkTrace:
    """Steps in order of time. Each is whole in itself: what it leaves out is as in the profile below it.

    Before the first step that profile holds, from the last step on that step.
    """

    name: str
    steps: tuple[LinkStep, ...]
    duration_s: float  # after which it begins again where it loops
    title: str = ""
    label: Label = "measured"  # "modelled" where nobody recorded it
    sources: Mapping[str, Source] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise UnknownNameError("label", self.label, LABELS)
        if not self.steps:
            raise ProfileError(f"trace {self.name!r} is empty: give one step at least")
        for before, after in pairwise(self.steps):
            if after.at_s <= before.at_s:
                raise ProfileError(
                    f"trace {self.name!r}: time runs backwards from {before.at_s:g} s to {after.at_s:g} s"
                )
        if not max(0.0, self.steps[-1].at_s) <= self.duration_s < math.inf or self.duration_s == 0:
            raise ProfileError(
                f"trace {self.name!r}: duration_s has to reach to the last step at {self.steps[-1].at_s:g} s "
                f"and be above 0, got {self.duration_s:g}"
            )

    @cached_property
    def _times(self) -> tuple[float, ...]:
        return tuple(step.at_s for step in self.steps)

    # ---- making one

    @classmethod
    def outage(cls, at_s: float, for_s: float) -> LinkTrace:
        """The profile as it is, but for a while nothing gets through in either direction.

        Raises:
            ProfileError: it does not begin at 0 or later, or does not last.
        """
        if not for_s > 0:
            raise ProfileError(f"an outage lasts for more than 0 s, got {for_s:g}")
        steps = (LinkStep(at_s, loss=1.0), LinkStep(at_s + for_s))
        return cls("outage", steps, at_s + for_s, f"outage of {for_s:g} s after {at_s:g} s", "modelled")

    @classmethod
    def from_csv(cls, path: Path | str, *, duration_s: float | None = None) -> LinkTrace:
        """Read a table: ``time_s`` and any of ``uplink_bps``, ``downlink_bps``, ``rtt_s``, ``loss``.

        Rates may be given as ``uplink_mbps`` and ``downlink_mbps``, the round trip as ``rtt_ms``. An empty
        cell stays as the profile has it. Lines that begin with ``#`` are skipped. Title, label, sources and
        duration are read from the JSON file beside it, where there is one; else the last row holds as long
        as the one before.

        Raises:
            ProfileError: it is no such table; the message has the line and its value.
        """
        path = Path(path)
        steps = tuple(_csv_steps(path))
        if not steps:
            raise ProfileError(f"{path} is empty: it needs a line of column names and at least one row")
        more = _beside(path)
        if duration_s is not None:
            more["duration_s"] = duration_s
        elif "duration_s" not in more:
            more["duration_s"] = _duration_s(path, steps)
        try:
            return cls(name=path.stem, steps=steps, **more)
        except TypeError as error:
            raise ProfileError(f"{path.with_suffix('.json')} does not describe a trace: {error}") from error

    @classmethod
    def from_mahimahi(
        cls, uplink: Path | str | None = None, downlink: Path | str | None = None, *, bin_s: float = 0.1
    ) -> LinkTrace:
        """Read packet-delivery traces: one line per packet of 1500 bytes that may pass, in ms from the start.

        An application gets 1448 bytes of each. A trace begins again at its last line's time; where both
        directions differ in length, the shorter one does so within the longer one. A direction that is not
        given stays as the profile has it.

        Netravali et al., "Mahimahi: accurate record-and-replay for HTTP", USENIX ATC 2015.

        Args:
            bin_s: packets of so many seconds are counted together; none in there is an outage.

        Raises:
            ProfileError: a file is no such trace; the message has the line and its value.
        """
        given = {way: Path(p) for way, p in zip(_WAYS, (uplink, downlink), strict=True) if p is not None}
        if not given:
            raise ProfileError("give a trace for the uplink, the downlink or both")
        if not 1e-3 <= bin_s < math.inf:
            raise ProfileError(f"bin_s must be 0.001 s or more, got {bin_s}")
        moments_ms = {way: _mahimahi_ms(path) for way, path in given.items()}
        end_ms = max(moments[-1] for moments in moments_ms.values())
        rates = {way: _binned_bps(moments, end_ms, bin_s * 1e3) for way, moments in moments_ms.items()}
        steps = [
            LinkStep(index * bin_s, *(rates[way][index] if way in rates else None for way in _WAYS))
            for index in range(math.ceil(end_ms / (bin_s * 1e3)))
        ]
        name = " and ".join(dict.fromkeys(path.stem for path in given.values()))
        return cls(name, tuple(_without_repeats(steps)), end_ms / 1e3, name)

    def to_csv(self, path: Path | str) -> None:
        """Write the table and, beside it, the JSON file with the rest: ``from_csv`` reads both back."""
        path = Path(path)
        columns = [c.name for c in fields(LinkStep)]
        used = [c for c in columns if c == "at_s" or any(getattr(step, c) is not None for step in self.steps)]
        head = ",".join(_column(c) for c in used)
        rows = [",".join(_cell(getattr(step, c)) for c in used) for step in self.steps]
        write_text(path, "\n".join([head, *rows]) + "\n")
        about = {
            "title": self.title,
            "label": self.label,
            "duration_s": self.duration_s,
            "sources": {key: asdict(source) for key, source in self.sources.items()},
        }
        write_text(path.with_suffix(".json"), json.dumps(about, ensure_ascii=False, indent=2) + "\n")

    # ---- what it says

    def at(self, at_s: float, *, loop: bool = False) -> LinkStep:
        """The step that holds so many seconds after the start."""
        if loop:
            at_s %= self.duration_s
        index = bisect_right(self._times, at_s) - 1
        return self.steps[index] if index >= 0 else _NOTHING

    def profile_at(self, base: LinkProfile, at_s: float, *, loop: bool = False) -> LinkProfile:
        """The profile so many seconds after the start. In an outage, what it has there is the base's."""
        return self.at(at_s, loop=loop).over(base)

    def profiles(self, base: LinkProfile) -> list[tuple[float, LinkProfile, frozenset[Direction]]]:
        """Every step as ``(at_s, profile, directions with an outage)``; the first one begins at 0.

        Raises:
            ProfileError: a step cannot be put on this profile.
        """
        steps = self.steps if self.steps[0].at_s == 0 else (_NOTHING, *self.steps)
        return [(s.at_s, self._put(s, base), frozenset(w for w in _WAYS if s.is_outage(w))) for s in steps]

    def shapes(self, base: LinkProfile) -> list[tuple[float, dict[Direction, dict[str, Any] | None]]]:
        """Rows of a ``Timetable``, as plain JSON: the first at 0, a direction with an outage ``None``.

        Raises:
            ProfileError: a step cannot be put on this profile.
        """
        return [
            (at_s, {way: None if way in out else asdict(profile.way(way)) for way in _WAYS})
            for at_s, profile, out in self.profiles(base)
        ]

    def delivered_bytes(
        self, base: LinkProfile, direction: Direction, from_s: float, to_s: float, *, loop: bool = False
    ) -> float:
        """What a sender that always has more gets through between two moments, as far as rates decide."""
        total = 0.0
        for begin_s, end_s, step in self._stretches(from_s, to_s, loop):
            own = step.uplink_bps if direction == "up" else step.downlink_bps
            rate_bps = (
                own if own is not None else (base.uplink_bps if direction == "up" else base.downlink_bps)
            )
            total += 0.0 if step.is_outage(direction) else rate_bps * (end_s - begin_s) / 8
        return total

    def _put(self, step: LinkStep, base: LinkProfile) -> LinkProfile:
        try:
            return step.over(base)
        except ProfileError as error:
            raise ProfileError(f"trace {self.name!r} at {step.at_s:g} s: {error}") from error

    def _stretches(self, from_s: float, to_s: float, loop: bool) -> Iterator[tuple[float, float, LinkStep]]:
        """Every step that holds between two moments, with when it begins and ends there."""
        first, last = (int(t // self.duration_s) if loop else 0 for t in (from_s, to_s))
        for repetition in range(first, last + 1):
            start_s = repetition * self.duration_s
            steps = [_NOTHING, *self.steps]
            ends = [*self._times, self.duration_s if loop else math.inf]
            for step, end_s in zip(steps, ends, strict=True):
                begin = max(from_s, start_s + step.at_s)
                end = min(to_s, start_s + end_s)
                if begin < end:
                    yield begin, end, step


def link_traces() -> dict[str, LinkTrace]:
    """Every shipped link trace by name."""
    return dict(_shipped())


def link_trace(name: str) -> LinkTrace:
    """A shipped link trace.

    Raises:
        UnknownNameError: no trace is called so; the message suggests the nearest.
    """
    known = _shipped()
    if name not in known:
        raise UnknownNameError("link trace", name, known)
    return known[name]


@cache
def _shipped() -> Mapping[str, LinkTrace]:
    return {path.stem: LinkTrace.from_csv(path) for path in sorted((DATA / "traces").glob("*.csv"))}


_NOTHING = LinkStep(0.0)


def _own(own: Mapping[str, Any], changed: Mapping[str, Any], rtt_s: float) -> dict[str, Any]:
    """What a direction keeps of its own under a trace: its share of the round trip, but not its loss."""
    kept = {key: value for key, value in own.items() if not (key == "loss" and "loss" in changed)}
    if "delay_s" in kept and "rtt_s" in changed:
        share = kept["delay_s"] / rtt_s if rtt_s else 0.5
        kept["delay_s"] = share * changed["rtt_s"]
    return kept


# ---- CSV


def _csv_steps(path: Path) -> Iterator[LinkStep]:
    lines = ((i, line) for i, line in enumerate(_lines(path), 1) if line.strip() and line[0] != "#")
    number, head = next(lines, (0, ""))
    if not number:
        return
    columns = _columns(f"{path}:{number}", [name.strip() for name in next(csv.reader([head]))])
    before_s = -1.0
    for number, line in lines:
        step = _csv_step(f"{path}:{number}", columns, next(csv.reader([line])))
        if step.at_s <= before_s:
            raise ProfileError(
                f"{path}:{number}: time runs backwards, from {before_s:g} s to {step.at_s:g} s: "
                "sort the rows, one for each moment"
            )
        before_s = step.at_s
        yield step


def _columns(where: str, names: Sequence[str]) -> list[tuple[str, str, float]]:
    """Column by column: its name, the field of a step, and the factor to the field's unit."""
    known = {_column(f.name): (f.name, 1.0) for f in fields(LinkStep)} | dict(_FACTORS)
    unknown = [name for name in names if name not in known]
    if unknown or "time_s" not in names or len(names) < 2:
        raise ProfileError(
            f"{where}: the first line names the columns, time_s and some of "
            f"{sorted(set(known) - {'time_s'})}; got {list(names)}"
        )
    columns = [(name, *known[name]) for name in names]
    if len({key for _, key, _ in columns}) < len(columns):
        raise ProfileError(f"{where}: a column is there twice: {list(names)}")
    return columns


def _csv_step(where: str, columns: Sequence[tuple[str, str, float]], cells: Sequence[str]) -> LinkStep:
    if len(cells) != len(columns):
        raise ProfileError(f"{where}: {len(columns)} columns were named, this line has {len(cells)}: {cells}")
    values = {
        key: _number(where, name, cell, factor)
        for (name, key, factor), cell in zip(columns, cells, strict=True)
    }
    at_s = values.pop("at_s")
    if at_s is None:
        raise ProfileError(f"{where}: time_s is empty: every row needs its moment")
    if at_s > _CALENDAR_S:
        raise ProfileError(
            f"{where}: time_s counts from the start of the trace, got {at_s:g}: subtract the first"
        )
    try:
        return LinkStep(at_s, **values)
    except ProfileError as error:
        raise ProfileError(f"{where}: {error}") from error


def _number(where: str, name: str, cell: str, factor: float) -> float | None:
    if not cell.strip():
        return None
    try:
        value = float(cell)
    except ValueError:
        raise ProfileError(
            f"{where}: {name} is no number: {cell.strip()!r}; leave it empty if unknown"
        ) from None
    if not 0 <= value < math.inf:
        raise ProfileError(f"{where}: {name} must be finite and not negative, got {cell.strip()}")
    return value * factor


def _duration_s(path: Path, steps: Sequence[LinkStep]) -> float:
    if len(steps) < 2:
        raise ProfileError(f"{path} has one row: how long it holds is not said; give duration_s")
    return 2 * steps[-1].at_s - steps[-2].at_s


def _beside(path: Path) -> dict[str, Any]:
    """What the JSON file beside a table says."""
    about = path.with_suffix(".json")
    if not about.is_file():
        return {"title": path.stem}
    try:
        data = json.loads("\n".join(_lines(about)))
        return {**data, "sources": {key: Source(**value) for key, value in data.get("sources", {}).items()}}
    except (AttributeError, TypeError, json.JSONDecodeError) as error:
        raise ProfileError(f"{about} does not describe a trace: {error}") from error


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path} cannot be read as text: {error}") from error


def _column(field_name: str) -> str:
    return "time_s" if field_name == "at_s" else field_name


def _cell(value: float | None) -> str:
    return "" if value is None else repr(float(value)).removesuffix(".0")


# ---- Mahimahi


def _mahimahi_ms(path: Path) -> list[int]:
    moments: list[int] = []
    for number, line in enumerate(_lines(path), 1):
        text = line.strip()
        if not text:
            continue
        if not (text.isascii() and text.isdigit()):
            raise ProfileError(f"{path}:{number}: a line is a whole number of milliseconds, got {text!r}")
        if moments and int(text) < moments[-1]:
            raise ProfileError(f"{path}:{number}: time runs backwards, from {moments[-1]} ms to {text} ms")
        moments.append(int(text))
    if not moments or moments[-1] == 0:
        raise ProfileError(
            f"{path} is empty: one line per packet, in milliseconds from the start, is expected"
        )
    return moments


def _binned_bps(moments_ms: Sequence[int], end_ms: int, bin_ms: float) -> list[float]:
    """A rate per bin; what may pass at t had since the bin's start, exclusive, to come."""
    counts = [0] * math.ceil(end_ms / bin_ms)
    for start_ms in range(0, end_ms, moments_ms[-1]):
        for moment in moments_ms:
            if start_ms + moment <= end_ms:
                counts[max(0, math.ceil((start_ms + moment) / bin_ms) - 1)] += 1
    widths_ms = [min(bin_ms, end_ms - index * bin_ms) for index in range(len(counts))]
    return [n * _OPPORTUNITY_BYTES * 8e3 / width for n, width in zip(counts, widths_ms, strict=True)]


def _without_repeats(steps: Sequence[LinkStep]) -> Iterator[LinkStep]:
    said: Callable[[LinkStep], LinkStep] = lambda step: replace(step, at_s=0.0)  # noqa: E731
    yield steps[0]
    yield from (after for before, after in pairwise(steps) if said(after) != said(before))
