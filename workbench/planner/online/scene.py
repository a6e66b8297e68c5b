"""What really happens: a problem along a trace of its link and of loads, with time that passes.

Requests are work: a plan that takes c seconds a request does 1/c of one each second, at the conditions of
that second, and none while it needs a link that is down. So conditions may change within a request, and a
plan that waits for the link goes on where it was. Decisions are taken at epochs; while a move is under way
none is, and nothing is worked on.

N epochs, J pieces of constant conditions, P plans, R requests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from workbench.cost import Floats
from workbench.errors import InputError
from workbench.links.traces import LinkTrace
from workbench.planner.moving import Moving
from workbench.planner.online.candidates import Candidates, Conditions
from workbench.planner.online.observing import Estimator, LoadTrace, Observation, Sensor
from workbench.planner.problem import Problem

__all__ = ["Scene"]

_AS_USUAL = Moving()
_NEVER_S = 1e12  # finite, so that sums can be subtracted from each other


@dataclass(frozen=True)
class Scene:
    """One problem along one trace, once.

    Back to back, what counts is how many requests are done by the trace's end; with a period, how long each
    takes from when it is asked. Requests of a period that overlap do not slow each other down, those asked
    during a move wait for it, and those under way when one begins end as they began. After its end a trace
    begins again, for requests that are still under way.

    Raises:
        InputError: the aim is not the total time alone, a time is no time, or a load has no device.
    """

    problem: Problem
    trace: LinkTrace
    loads: tuple[LoadTrace, ...] = ()
    moving: Moving = _AS_USUAL
    request_period_s: float | None = None  # between two requests; None: back to back
    decide_every_s: float = 1.0
    name: str = ""
    most_plans: int = 48
    plans: Candidates | None = field(default=None, repr=False)  # to choose from; None finds the best ones

    def __post_init__(self) -> None:
        if not self.problem.links:
            raise InputError("with one device there is no link to watch and nothing to move: give two")
        for name in ("request_period_s", "decide_every_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name} is above 0 s and finite, got {value}")
        if self.plans is not None and (self.plans.problem, self.plans.moving) != (self.problem, self.moving):
            raise InputError(
                "plans to choose from have to be of the same problem, with the same costs of moving"
            )
        for load in self.loads:
            if load.place not in self.problem.devices:
                raise InputError(f"load of {load.place!r}: the problem has {list(self.problem.devices)}")

    # ---- what there is

    @cached_property
    def candidates(self) -> Candidates:
        return self.plans or Candidates(self.problem, self.pieces, self.moving, most=self.most_plans)

    @cached_property
    def times_s(self) -> Floats:
        """When pieces begin, [J]; the first at 0."""
        changes = {0.0, *(step.at_s for step in self.trace.steps)}
        changes |= {at_s for load in self.loads for at_s, _ in load.steps}
        return np.array(sorted(t for t in changes if t < self.trace.duration_s))

    @cached_property
    def pieces(self) -> list[Conditions]:
        """What holds in each piece, [J]; in an outage, of the link what comes after it."""
        found: list[Conditions] = []
        base, later = self.problem.links[0], None
        for at_s in reversed(self.times_s):
            step = self.trace.at(float(at_s))
            is_up = not (step.is_outage("up") or step.is_outage("down"))
            later = step.over(base) if is_up else later
            load = {trace.place: trace.at(float(at_s)) for trace in self.loads}
            found.append(Conditions(later or self.trace.at(0.0).over(base), is_up, load))
        return found[::-1]

    @cached_property
    def epochs_s(self) -> Floats:
        """When a policy is asked, [N + 1]: the last is the end."""
        n = max(1, math.ceil(self.trace.duration_s / self.decide_every_s - 1e-9))
        return np.append(self.decide_every_s * np.arange(n), self.trace.duration_s)

    @cached_property
    def asked_s(self) -> Floats:
        """When requests are asked, [R]; none where they are back to back."""
        if self.request_period_s is None:
            return np.zeros(0)
        return np.arange(0.0, self.trace.duration_s - 1e-9, self.request_period_s)

    @property
    def n_epochs(self) -> int:
        return len(self.epochs_s) - 1

    @cached_property
    def seconds(self) -> Floats:
        """Of a request in each piece by each plan, [J, P]; infinite in an outage of a link that it needs."""
        return np.stack([self.candidates.seconds(piece) for piece in self.pieces])

    @cached_property
    def best(self) -> tuple[int, ...]:
        """The plans that are fastest in some piece: one means that nothing is to be gained by moving."""
        return tuple(sorted(set(map(int, np.argmin(self.seconds, axis=1)))))

    # ---- how it goes on

    def move_s(self, epoch: int) -> Floats:
        """What moves take that begin then, [P, P]."""
        at_s = float(self.epochs_s[epoch]) % self.trace.duration_s
        index = self._piece(at_s)
        piece, wait_s = self.pieces[index], 0.0
        if not piece.link_up:
            wait_s = self._until_up_s(index, at_s)
            piece = Conditions(piece.link, math.isfinite(wait_s), piece.load)
        return self.candidates.move_s(piece, wait_s)

    def after(self, epoch: int, plans: NDArray[np.int64], move_s: Floats) -> tuple[Floats, NDArray[np.int64]]:
        """What it costs until a policy is asked again, and at which epoch that is, for some plans moved to.

        Costs are requests done, negative, where they are back to back; else seconds of those that were asked.
        """
        begun_s = self.epochs_s[epoch]
        ready_s = begun_s + move_s
        following = np.searchsorted(self.epochs_s, ready_s - 1e-9).clip(epoch + 1, self.n_epochs)
        end_s = self.epochs_s[following]
        if self.request_period_s is None:
            return self.work(np.minimum(ready_s, end_s), plans) - self.work(end_s, plans), following
        first, ready, last = (
            np.searchsorted(self.asked_s, t - 1e-9) for t in (begun_s, np.minimum(ready_s, end_s), end_s)
        )
        late = ready - first  # asked during the move: they begin together, when it is done
        there_s = np.where(late > 0, self.finish_s(ready_s, plans), 0.0)
        waited_s = late * there_s - (self._asked_sums_s[ready] - self._asked_sums_s[first])
        return waited_s + self._taken_s[last, plans] - self._taken_s[ready, plans], following

    def per_request_s(self, cost: float) -> float:
        """The mean of what ``after`` summed up."""
        if self.request_period_s is None:
            return float(self.epochs_s[-1]) / -cost if cost < 0 else math.inf
        mean_s = cost / len(self.asked_s)
        return mean_s if mean_s < _NEVER_S / len(self.asked_s) else math.inf

    def work(self, at_s: Floats, plans: NDArray[np.int64]) -> Floats:
        """Requests that each plan would have done by a time, from the trace's start on."""
        rounds, inside_s = np.divmod(at_s, self.trace.duration_s)
        piece = np.searchsorted(self.times_s, inside_s, side="right") - 1
        inside = self._done[piece, plans] + (inside_s - self.times_s[piece]) * self._rates[piece, plans]
        return rounds * self._done[-1, plans] + inside

    def finish_s(self, begun_s: Floats, plans: NDArray[np.int64]) -> Floats:
        """When a request is done that begins at a time, by each plan."""
        whole = self._done[-1, plans]
        usable = np.isfinite(begun_s) & (whole > 0)
        wanted = self.work(np.where(usable, begun_s, 0.0), plans) + 1.0
        rounds, inside = np.divmod(wanted, np.where(usable, whole, 1.0))
        piece = ((self._done[:-1, plans] < inside).sum(axis=0) - 1).clip(0)  # the one that brings it
        rates = self._rates[piece, plans]
        rest_s = (inside - self._done[piece, plans]) / np.where(rates > 0, rates, 1.0)
        there_s = rounds * self.trace.duration_s + self.times_s[piece] + rest_s
        return np.where(usable, there_s, np.inf)

    @cached_property
    def _rates(self) -> Floats:
        """Requests a second, [J, P]."""
        return 1.0 / self.seconds

    @cached_property
    def _done(self) -> Floats:
        """Requests that are done when a piece begins, [J + 1, P]."""
        lengths_s = np.diff([*self.times_s, self.trace.duration_s])
        done = np.cumsum(self._rates * lengths_s[:, None], axis=0)
        return np.concatenate([np.zeros((1, len(self.candidates))), done])

    @cached_property
    def _asked_sums_s(self) -> Floats:
        """Sums of the times at which requests are asked, [R + 1]."""
        return np.append(0.0, np.cumsum(self.asked_s))

    @cached_property
    def _taken_s(self) -> Floats:
        """Seconds of all requests before each, by the plan that they are asked of, [R + 1, P]."""
        plans = np.arange(len(self.candidates))
        rows = [self.finish_s(np.full(len(plans), t), plans) - t for t in self.asked_s]
        taken_s = np.minimum(rows, _NEVER_S)
        return np.concatenate([np.zeros((1, len(plans))), np.cumsum(taken_s, axis=0)])

    def _piece(self, at_s: float) -> int:
        return int(np.searchsorted(self.times_s, at_s, side="right")) - 1

    def _until_up_s(self, index: int, at_s: float) -> float:
        """From a time in an outage until it is over; it may go on in the trace's next round."""
        n = len(self.pieces)
        for step in range(1, n + 1):
            rounds, later = divmod(index + step, n)
            if self.pieces[later].link_up:
                return float(self.times_s[later]) + rounds * self.trace.duration_s - at_s
        return math.inf

    # ---- what of it can be seen

    def observations(self, sensor: Sensor) -> list[Observation]:
        """What a runtime believes at each epoch, [N]: all samples so far, smoothed."""
        n = max(1, math.ceil(float(self.epochs_s[-1]) / sensor.every_s - 1e-9))
        sampled_s = [i * sensor.every_s for i in range(n)]
        samples = sensor.noisy([self._seen(t, max(0.0, t - sensor.lag_s)) for t in sampled_s])
        estimator = Estimator(sensor.gain)
        believed = [estimator.update(sample) for sample in samples]
        last = [min(n - 1, int(t / sensor.every_s + 1e-9)) for t in self.epochs_s[:-1]]
        return [replace(believed[i], time_s=float(t)) for i, t in zip(last, self.epochs_s[:-1], strict=True)]

    def _seen(self, now_s: float, then_s: float) -> Observation:
        piece = self.pieces[self._piece(then_s % self.trace.duration_s)]
        link = piece.link
        return Observation(now_s, link.uplink_bps, link.downlink_bps, link.rtt_s, piece.load, piece.link_up)
