"""What became of requests, one by one and all together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import InputError
from workbench.files import write_text
from workbench.plan import CLOUD, EDGE
from workbench.routing.bounds import OUTCOMES, Settled
from workbench.routing.policies.base import Route
from workbench.routing.request import Request
from workbench.trace import RequestTrace

__all__ = ["Report", "Served", "joined", "waiting_s"]

UNKNOWN = "unknown"
"""In a confusion, the truth of requests of which nobody knows it."""


def waiting_s(request: Request, finished_s: float, traces: Iterable[RequestTrace]) -> float:
    """What a request waited since it came: for a link, a slot, and a device that works for others."""
    own = list(traces)
    waits = sum(span.duration_s for trace in own for span in trace.spans if span.kind == "wait")
    return max(0.0, finished_s - request.arrival_s - sum(trace.total_s for trace in own) + waits)


def joined(traces: Sequence[RequestTrace]) -> RequestTrace | None:
    """One record of a request that several modules were asked in turn; None where none was."""
    return reduce(lambda first, then: then.after(first), traces) if traces else None


@dataclass(frozen=True)
class Served:
    """One request and what became of it. Times are seconds since the workload began."""

    request: Request
    route: Route | None  # None where already the policy refused
    settled: Settled | None = None  # None where it was refused
    module: str | None = None  # that answered last
    escalated: bool = False  # whether another module was asked again
    trace: RequestTrace | None = None  # of all that was computed and sent for it
    queued_s: float = 0.0  # waited, for a link or for a module that was busy
    started_s: float = 0.0
    finished_s: float = 0.0
    right: bool | None = None  # exact match; None where no answer is known
    routing_s: float = 0.0  # what deciding took, measured
    refused: str | None = None  # why, where nobody answered
    where_made: tuple[str, ...] = ()  # of each token of the answer, "edge" or "cloud"
    traces: tuple[RequestTrace, ...] = ()  # one of each module that was asked, in turn; ``trace`` joins them
    ready_s: float = 0.0  # when it could first be worked on: as it came, or once there was a link
    confidence: float | None = None  # that the edge's answer is right, where that was asked

    def __post_init__(self) -> None:
        object.__setattr__(self, "where_made", tuple(self.where_made))
        if strange := sorted(set(self.where_made) - {EDGE, CLOUD}):
            raise InputError(f"a token is made on the {EDGE!r} or in the {CLOUD!r}: got {strange}")
        if self.refused is None and self.finished_s < self.started_s:
            times = f"{self.started_s} s to {self.finished_s} s"
            raise InputError(f"served from {times}: it ends before it starts")

    @property
    def latency_s(self) -> float | None:
        """From arrival to the last token, waiting included; None where it was refused."""
        return None if self.refused is not None else self.finished_s - self.request.arrival_s

    @property
    def outcome(self) -> str:
        """One of ``OUTCOMES``, or "refused"."""
        if self.refused is not None or self.settled is None:
            return "refused"
        return self.settled.outcome

    @property
    def on_edge(self) -> bool:
        """Whether all of it was computed on the edge and nothing crossed the link."""
        if self.refused is not None:
            return False
        if self.trace is not None:
            return all(span.place == EDGE for span in self.trace.spans)
        return not self.escalated and set(self.where_made) == {EDGE}

    @property
    def taken(self) -> str | None:
        """What the request was taken to be; None where nobody said."""
        return None if self.route is None else self.route.feature


@dataclass(frozen=True)
class Report:
    """Sums over requests. Shares and means are None where there is nothing to take them of."""

    served: tuple[Served, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "served", tuple(self.served))

    @property
    def n(self) -> int:
        return len(self.served)

    @property
    def label(self) -> str:
        """Of times: that of the traces, or both where they differ. Energy is always modelled."""
        return " and ".join(sorted({s.trace.label for s in self.served if s.trace is not None})) or "none"

    def confusion(self) -> dict[str, dict[str, int]]:
        """What requests are → what they were taken for → how many, of those that were routed."""
        counts: dict[str, dict[str, int]] = {}
        for one in self.served:
            if one.taken is not None:
                row = counts.setdefault(one.request.truth or UNKNOWN, {})
                row[one.taken] = row.get(one.taken, 0) + 1
        return {truth: dict(sorted(row.items())) for truth, row in sorted(counts.items())}

    @property
    def misrouted(self) -> float | None:
        """Share of the requests that were taken for what they are not, of those whose truth is known."""
        known = [s for s in self.served if s.taken is not None and s.request.truth is not None]
        return _mean(s.taken != s.request.truth for s in known)

    @property
    def edge_share(self) -> float | None:
        """Share of the answered requests all of whose computing was on the edge."""
        return _mean(s.on_edge for s in self.served if s.refused is None)

    @property
    def escalated_share(self) -> float | None:
        """Share of the answered requests that were asked again."""
        return _mean(s.escalated for s in self.served if s.refused is None)

    @property
    def edge_tokens_share(self) -> float | None:
        """Share of the answers' tokens that were made on the edge."""
        return _mean(place == EDGE for s in self.served for place in s.where_made)

    @property
    def quality(self) -> dict[str, float]:
        """Share of right answers per feature that requests really are. A refused request is not right."""
        groups: dict[str, list[bool]] = {}
        for one in self.served:
            if (right := _right(one)) is not None:
                groups.setdefault(one.request.truth or UNKNOWN, []).append(right)
        return {feature: sum(hits) / len(hits) for feature, hits in sorted(groups.items())}

    @property
    def mean_quality(self) -> float | None:
        """Share of right answers of all requests whose answer is known."""
        return _mean(right for s in self.served if (right := _right(s)) is not None)

    @property
    def latency_s(self) -> dict[str, float]:
        """Mean, median ("p50") and 95th percentile ("p95"), of the answered; empty where there are none."""
        return _spread([s.latency_s for s in self.served if s.latency_s is not None])

    @property
    def routing_s(self) -> dict[str, float]:
        """What deciding took, measured: mean, "p50" and "p95"."""
        return _spread([s.routing_s for s in self.served])

    @property
    def energy_j(self) -> float:
        """Of all requests and places, modelled: each as if it had its device for itself, idling included."""
        return self._sum(lambda trace: sum(trace.energy_j.values()))

    @property
    def bytes_up(self) -> int:
        return int(self._sum(lambda trace: trace.bytes_up))

    @property
    def bytes_down(self) -> int:
        return int(self._sum(lambda trace: trace.bytes_down))

    @property
    def outcomes(self) -> dict[str, int]:
        """How many requests came to each outcome."""
        counts = Counter(s.outcome for s in self.served)
        return {outcome: counts[outcome] for outcome in (*OUTCOMES, "refused")}

    def of(self, feature: str) -> Report:
        """The same of the requests that really are of one feature."""
        return Report(tuple(s for s in self.served if (s.request.truth or UNKNOWN) == feature))

    def rows(self) -> Iterator[dict[str, Any]]:
        """A table: one row per feature that requests really are, then all together."""
        for feature in sorted({s.request.truth or UNKNOWN for s in self.served}):
            yield {"feature": feature, **self.of(feature)._row()}
        yield {"feature": "all", **self._row()}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            **self._row(),
            "confusion": self.confusion(),
            "quality": self.quality,
            "outcomes": self.outcomes,
            "routing_s": self.routing_s,
            "features": [row for row in self.rows() if row["feature"] != "all"],
        }

    def save(self, path: str | Path) -> None:
        """Write sums and every request, with its traces, as JSON."""
        rows = [{**asdict(one), "latency_s": one.latency_s, "outcome": one.outcome} for one in self.served]
        write_text(Path(path), json.dumps({**self.to_dict(), "served": rows}, indent=1) + "\n")

    def _row(self) -> dict[str, Any]:
        latency = self.latency_s
        return {
            "requests": self.n,
            "refused": self.outcomes["refused"],
            "misrouted": self.misrouted,
            "edge_share": self.edge_share,
            "edge_tokens_share": self.edge_tokens_share,
            "escalated": self.escalated_share,
            "right": self.mean_quality,
            **{f"latency_{name}_s": latency.get(name) for name in ("mean", "p50", "p95")},
            "energy_j": self.energy_j,
            "bytes_up": self.bytes_up,
            "bytes_down": self.bytes_down,
            "label": self.label,
        }

    def _sum(self, of: Callable[[RequestTrace], float]) -> float:
        return sum(of(s.trace) for s in self.served if s.trace is not None)


def _right(one: Served) -> bool | None:
    if one.refused is not None:
        return None if one.request.answer is None else False
    return one.right


def _mean(values: Iterable[bool]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None


def _spread(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    p50, p95 = np.percentile(values, (50, 95))
    return {"mean": float(np.mean(values)), "p50": float(p50), "p95": float(p95)}
