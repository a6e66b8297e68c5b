"""Many requests that share an edge, a link and a cloud: who waits for whom, played event by event.

A place computes one step at a time, and each direction of a link lets one message's bits out at a time, first
come, first served; a step is never interrupted. What a transfer takes besides its bits is delay, in which
others may be sent. Each request's steps come from its own ``RequestTrace``, a request that had everything for
itself: alone, it is played back as it is. Slow start is in there as each trace has it.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from workbench.errors import InputError, UnknownNameError
from workbench.profiles import LinkProfile
from workbench.trace import Label, Number, RequestTrace, Span

__all__ = ["SLOT", "Finish", "Job", "Played", "play"]

SLOT = "slot"
"""What a request waits for while the deployment works on as many as it may."""

_WAYS = {"uplink": "up", "downlink": "down"}
_SAME_S = 1e-9  # a step that starts so soon after another ended follows it


@dataclass(frozen=True)
class Job:
    """One request: when it comes, and what it runs, one trace after the other.

    A request that the edge passes on has two traces: the edge's, then the cloud's.
    """

    arrival_s: float
    traces: tuple[RequestTrace, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "traces", tuple(self.traces))
        if not 0 <= self.arrival_s < math.inf:
            raise InputError(f"a request arrives at a finite time of at least 0 s: got {self.arrival_s}")
        if not self.traces:
            raise InputError(f"the request that arrives at {self.arrival_s} s runs nothing: give a trace")


@dataclass(frozen=True)
class Finish:
    """What became of one job. Times are on the clock of ``Job.arrival_s``."""

    arrival_s: float
    started_s: float  # when it got a slot
    finished_s: float
    token_times_s: tuple[float, ...]  # of its last trace, whose answer the user gets
    waited_s: Mapping[str, float]  # by resource: "slot", a place, or a link's name and direction

    @property
    def latency_s(self) -> float:
        """From arrival to the end."""
        return self.finished_s - self.arrival_s

    @property
    def ttft_s(self) -> float:
        """From arrival to the first token that the user keeps."""
        return (self.token_times_s[0] if self.token_times_s else self.finished_s) - self.arrival_s


@dataclass(frozen=True)
class Played:
    """All jobs, in the order in which they were given, and how busy everything was."""

    served: tuple[Finish, ...]
    busy_s: Mapping[str, float]  # by resource: a place, or a link's name and direction
    label: Label = "modelled"

    @property
    def span_s(self) -> float:
        """From the first arrival to the last end."""
        if not self.served:
            return 0.0
        return max(job.finished_s for job in self.served) - min(job.arrival_s for job in self.served)

    @property
    def utilisation(self) -> dict[str, float]:
        """The share of ``span_s`` that each resource was busy, 0 to 1."""
        return {name: busy / self.span_s if self.span_s else 0.0 for name, busy in self.busy_s.items()}

    @property
    def mean_latency_s(self) -> float:
        return sum(job.latency_s for job in self.served) / len(self.served) if self.served else 0.0

    @property
    def per_s(self) -> float:
        """Requests per second."""
        return len(self.served) / self.span_s if self.span_s else 0.0

    def latency_s(self, share: float) -> float:
        """The time within which that share of the requests, 0 to 1, was done (nearest rank)."""
        if not 0 <= share <= 1:
            raise InputError(f"a share of the requests lies from 0 to 1: got {share}")
        ordered = sorted(job.latency_s for job in self.served)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0

    def numbers(self) -> Iterator[Number]:
        """Every headline number with its unit and label."""
        yield Number("mean latency", self.mean_latency_s, "s", self.label)
        yield Number("95 % of the requests within", self.latency_s(0.95), "s", self.label)
        yield Number("rate", self.per_s, "requests/s", self.label)
        for name, share in self.utilisation.items():
            yield Number(f"utilisation of {name}", share, "", self.label)


def play(
    jobs: Sequence[Job],
    links: LinkProfile | Mapping[str, LinkProfile],
    *,
    slots: int | None = None,
) -> Played:
    """Let jobs share what they need; equal input gives equal output.

    Args:
        jobs: in any order; of those that arrive at once, the first given comes first.
        links: between edge and cloud; in a longer chain each link by the name that spans have for it.
        slots: requests under way at once, the others wait in the order of arrival; None for no bound.

    Raises:
        InputError: no room for a single request.
        UnknownNameError: a trace crosses a link that is not given.
    """
    if slots is not None and (isinstance(slots, bool) or not isinstance(slots, int) or slots < 1):
        raise InputError(f"slots counts requests under way, 1 or more, or is None for no bound: got {slots}")
    by_name = {"link": links} if isinstance(links, LinkProfile) else links
    return _Players(jobs, by_name, slots).run()


class _Step(NamedTuple):
    """One span as it waits for its turn."""

    resource: str  # "" where nothing has to be free
    service_s: float  # for which it has the resource to itself
    delay_s: float  # after that, until it is over
    followers: list[tuple[int, float]]  # steps that wait for its end, and how long after it they come


@dataclass
class _Score:
    """A trace, ready to be played: which step follows which."""

    steps: list[_Step]
    first: list[tuple[int, float]]  # steps that wait for nothing but the beginning, and how long
    tokens: list[tuple[int, float]]  # the step that each token comes with, -1 for none, and how long after

    @classmethod
    def of(cls, trace: RequestTrace, links: Mapping[str, LinkProfile]) -> _Score:
        score = cls(_steps(trace.spans, links), [], [])
        ends: list[tuple[float, int]] = []
        last: dict[int, tuple[float, int]] = {}
        for i, span in enumerate(trace.spans):
            before = bisect_right(ends, (span.start_s + _SAME_S, i)) - 1
            end_s, leader = ends[before] if before >= 0 else (0.0, -1)
            waiting = score.steps[leader].followers if before >= 0 else score.first
            waiting.append((i, max(0.0, span.start_s - end_s)))
            insort(ends, (span.end_s, i))
            last[span.token] = max(last.get(span.token, (-1.0, -1)), (span.end_s, i))
        for token, time_s in enumerate(trace.token_times_s):
            end_s, index = last.get(token, (0.0, -1))
            score.tokens.append((index, time_s - end_s))
        return score


def _steps(spans: Sequence[Span], links: Mapping[str, LinkProfile]) -> list[_Step]:
    """What of each span takes its resource.

    Where a trace's own messages queue behind each other, that wait is in their durations already: only what
    is left of a message's bits behind its own predecessor counts, so that nothing is waited for twice.
    """
    found, free_s = [], dict[str, float]()
    for span in spans:
        if span.kind == "wait":
            found.append(_Step("", 0.0, span.duration_s, []))
        elif span.kind in _WAYS:
            name = f"{span.place} {_WAYS[span.kind]}"
            begin_s = min(max(span.start_s, free_s.get(name, 0.0)), span.end_s)
            service_s = min(_bits_s(span, links), span.end_s - begin_s)
            free_s[name] = begin_s + service_s
            found.append(_Step(name, service_s, span.end_s - free_s[name], []))
        else:
            found.append(_Step(span.place, span.duration_s, 0.0, []))
    return found


def _bits_s(span: Span, links: Mapping[str, LinkProfile]) -> float:
    if span.place not in links:
        raise UnknownNameError("link", span.place, links)
    link = links[span.place]
    return span.n_bytes * 8 / (link.uplink_bps if span.kind == "uplink" else link.downlink_bps)


@dataclass
class _Player:
    """One job under way."""

    job: Job
    scores: list[_Score]
    started_s: float = 0.0
    began_s: float = 0.0  # the trace being played
    trace: int = -1  # the one being played
    left: int = 0  # steps of it that have not been served
    end_s: float = 0.0  # the latest end of a step, or token, so far
    ends_s: list[float] = field(default_factory=list)  # of the steps of the trace being played
    token_times_s: tuple[float, ...] = ()
    waited_s: dict[str, float] = field(default_factory=dict)


class _Players:
    """The agenda. An entry is (when, rank of the job, step that is ready, or -1 to begin a trace or end)."""

    def __init__(self, jobs: Sequence[Job], links: Mapping[str, LinkProfile], slots: int | None) -> None:
        known: dict[int, _Score] = {}  # jobs share traces
        for job in jobs:
            for trace in job.traces:
                if id(trace) not in known:
                    known[id(trace)] = _Score.of(trace, links)
        self.order = sorted(range(len(jobs)), key=lambda i: jobs[i].arrival_s)
        self.players = [_Player(jobs[i], [known[id(t)] for t in jobs[i].traces]) for i in self.order]
        self.agenda = [(player.job.arrival_s, rank, -1) for rank, player in enumerate(self.players)]
        self.free_slots: float = math.inf if slots is None else slots
        self.waiting: deque[int] = deque()
        self.free_s: dict[str, float] = {}
        self.busy_s: dict[str, float] = {}

    def run(self) -> Played:
        while self.agenda:
            now_s, rank, step = heapq.heappop(self.agenda)
            if step >= 0:
                self._serve(now_s, rank, step)
            elif self.players[rank].trace < 0:
                self._arrive(now_s, rank)
            else:
                self._next(now_s, rank)
        served = dict(zip(self.order, map(_served, self.players), strict=True))
        return Played(tuple(served[i] for i in range(len(served))), dict(sorted(self.busy_s.items())))

    def _arrive(self, now_s: float, rank: int) -> None:
        self.waiting.append(rank)
        self._admit(now_s)

    def _admit(self, now_s: float) -> None:
        while self.waiting and self.free_slots > 0:
            rank = self.waiting.popleft()
            self.free_slots -= 1
            player = self.players[rank]
            player.started_s = now_s
            if now_s > player.job.arrival_s:
                player.waited_s[SLOT] = now_s - player.job.arrival_s
            self._next(now_s, rank)

    def _next(self, now_s: float, rank: int) -> None:
        """The job's next trace; without one it is done, and another may begin."""
        player = self.players[rank]
        player.trace += 1
        player.began_s = player.end_s = now_s
        if player.trace == len(player.scores):
            self.free_slots += 1
            self._admit(now_s)
            return
        score = player.scores[player.trace]
        player.left = len(score.steps)
        player.ends_s = [0.0] * player.left
        for step, lag_s in score.first:
            heapq.heappush(self.agenda, (now_s + lag_s, rank, step))
        if not score.steps:
            self._finish_trace(now_s, rank, score)

    def _serve(self, now_s: float, rank: int, step: int) -> None:
        """Entries come in order of time: whoever is looked at first was there first."""
        player = self.players[rank]
        score = player.scores[player.trace]
        resource, service_s, delay_s, followers = score.steps[step]
        begin_s = now_s
        if resource:
            begin_s = max(now_s, self.free_s.get(resource, 0.0))
            self.free_s[resource] = begin_s + service_s
            self.busy_s[resource] = self.busy_s.get(resource, 0.0) + service_s
            if begin_s > now_s:
                player.waited_s[resource] = player.waited_s.get(resource, 0.0) + begin_s - now_s
        end_s = begin_s + service_s + delay_s
        player.ends_s[step] = end_s
        player.end_s = max(player.end_s, end_s)
        for follower, lag_s in followers:
            heapq.heappush(self.agenda, (end_s + lag_s, rank, follower))
        player.left -= 1
        if not player.left:
            self._finish_trace(now_s, rank, score)

    def _finish_trace(self, now_s: float, rank: int, score: _Score) -> None:
        """All steps are served: when the last of them, and the last token, will be over."""
        player = self.players[rank]
        player.token_times_s = tuple(
            (player.ends_s[step] if step >= 0 else player.began_s) + lag_s for step, lag_s in score.tokens
        )
        player.end_s = max(player.end_s, now_s, *player.token_times_s)
        heapq.heappush(self.agenda, (player.end_s, rank, -1))


def _served(player: _Player) -> Finish:
    return Finish(player.job.arrival_s, player.started_s, player.end_s, player.token_times_s, player.waited_s)
