"""Every plan of a problem as columns of numbers: what enumeration looks at, computed by NumPy all at once.

The same models as ``cost.predict``: computing and messages add up along a pass, a token after the first takes
the mean over the request's contexts, and messages after the first find their connection warm.

N plans, L places of a route, n blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workbench.cost import BlockColumns, Floats
from workbench.plan import Plan
from workbench.planner.crossings import FIRST_WINDOW_BYTES, Crossings, Message
from workbench.planner.problem import Problem
from workbench.planner.routes import Route, all_cuts, partition_along, routes_of

__all__ = ["Computed", "Landscape", "Pass", "Plans", "StageRuns"]

_AT_ONCE = 200_000  # plans in one batch: some 100 columns of them are alive at a time
_Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Plans:
    """Plans along one route."""

    route: Route
    cuts: _Ints  # [N, L + 1]
    bits: Mapping[str, _Ints]  # [N] by place
    wires: tuple[str, ...]
    wire: _Ints  # [N] which of the wires
    numbers: Mapping[str, Floats]  # [N] by aim
    memory_bytes: Mapping[str, Floats]  # [N] by place, at its peak
    busy_s: Mapping[str, Floats]  # [N] by place, computing in the whole request
    exit_head_bytes: Floats | float = 0.0  # what an exit's head takes on the user's device, beside its blocks

    def __len__(self) -> int:
        return len(self.cuts)

    def plan(self, model: str, index: int) -> Plan:
        """One of them."""
        bits = {place: int(column[index]) for place, column in self.bits.items()}
        partition = partition_along(self.route, self.cuts[index].tolist(), bits)
        return Plan.of(model, partition, self.wires[int(self.wire[index])])


@dataclass
class Landscape:
    """Columns of one problem, each computed once."""

    problem: Problem
    _columns: dict[tuple[str, int], BlockColumns] = field(default_factory=dict)
    _computing: dict[Route, _Computing] = field(default_factory=dict)
    _crossings: dict[str, Crossings] = field(default_factory=dict)

    def plans(self) -> Iterator[Plans]:
        """Every plan, batch by batch: unsplit ones first."""
        for route in self.routes:
            wires = tuple(self.problem.choices.wires)[: None if len(route.places) > 1 else 1]
            if route in self._computing:
                yield self._plans(self._computing[route], wires)
                continue
            cuts = all_cuts(route, self.problem.model.n_blocks)
            bits = {place: self.problem.choices.bits_of(place) for place in route.distinct}
            each = max(1, _AT_ONCE // (len(wires) * prod(map(len, bits.values()))))
            for first in range(0, len(cuts), each):
                computing = _Computing(self, route, cuts[first : first + each], bits, len(wires))
                if each >= len(cuts):
                    self._computing[route] = computing
                yield self._plans(computing, wires)

    @property
    def routes(self) -> tuple[Route, ...]:
        """Every route that a plan may take, unsplit ones first."""
        return routes_of(self.problem.chain.places, u_shaped=self.problem.choices.u_shaped)

    def along(
        self, route: Route, cuts: _Ints, bits: Mapping[str, Sequence[int]], wires: Sequence[str]
    ) -> Plans:
        """Every combination of some cuts [P, L + 1], some bits at each place and some codecs."""
        return self._plans(_Computing(self, route, cuts, bits, len(wires)), tuple(wires))

    def _plans(self, computing: _Computing, wires: tuple[str, ...]) -> Plans:
        pass_ = Pass(self, computing, wires)
        chosen, bits = computing.chosen, computing.bits
        memory = computing.memory_bytes.get(self.problem.user, np.zeros(len(computing.cuts)))
        return Plans(
            route=computing.route,
            cuts=computing.cuts,
            bits={place: np.array(bits[place])[index] for place, index in chosen.items()},
            wires=wires,
            wire=computing.wire,
            numbers={**pass_.numbers(), "memory": memory},
            memory_bytes=computing.memory_bytes,
            busy_s=pass_.busy_s,
            exit_head_bytes=computing.exit_head_bytes(self.problem.user),
        )

    def columns(self, place: str, bits: int) -> BlockColumns:
        """The model's blocks on one place's device."""
        if (place, bits) not in self._columns:
            request = self.problem.request
            self._columns[place, bits] = BlockColumns.of(
                self.problem.model,
                self.problem.devices[place],
                bits,
                prompt_tokens=request.prompt_tokens,
                new_tokens=request.new_tokens,
                batch=request.batch,
            )
        return self._columns[place, bits]

    def crossings(self, wire: str) -> Crossings:
        """The messages with one codec."""
        if wire not in self._crossings:
            self._crossings[wire] = Crossings(self.problem, wire)
        return self._crossings[wire]

    def over(self, problem: Problem) -> Landscape:
        """The landscape of a problem that differs in its links, limits or aims alone: computing stays."""
        return Landscape(problem, self._columns, self._computing)


class _Computing:
    """What the places of a route compute and hold, in every combination of cuts, bits and codecs."""

    def __init__(
        self,
        landscape: Landscape,
        route: Route,
        cuts: _Ints,
        bits: Mapping[str, Sequence[int]],
        n_wires: int,
    ) -> None:
        self.landscape, self.route, self.bits = landscape, route, bits
        sizes = (len(cuts), n_wires, *(len(bits[place]) for place in route.distinct))
        cut, self.wire, *widths = (axis.ravel() for axis in np.indices(sizes))
        self.chosen = dict(zip(route.distinct, widths, strict=True))
        self.cuts, self._base, self._cut = cuts[cut], cuts, cut
        self.columns = {p: [landscape.columns(p, b) for b in bits[p]] for p in route.distinct}
        self.stages = [self._stage(i, place) for i, place in enumerate(route.places)]
        self.memory_bytes = {place: self._memory(place) for place in route.distinct}
        self.loss = self._loss()

    def _stage(self, i: int, place: str) -> StageRuns:
        """Computed once per way to cut and width, then spread over all plans."""
        last = len(self.route.places) - 1
        found = [StageRuns.of(columns, self._base, i, i in (0, last)) for columns in self.columns[place]]
        at = (self.chosen[place], self._cut)
        names = ("present", "prefill_s", "decode_s", "held_bytes", "alive_bytes")
        return StageRuns(*(np.stack([getattr(stage, name) for stage in found])[at] for name in names))

    def _each(self, place: str, name: str) -> Floats:
        """One number of a place's device for each plan."""
        return np.array([getattr(columns, name) for columns in self.columns[place]], dtype=float)[
            self.chosen[place]
        ]

    def _memory(self, place: str) -> Floats:
        last = len(self.route.places) - 1
        own = [i for i, p in enumerate(self.route.places) if p == place]
        peaks = [self.stages[i].alive_bytes for i in own]
        ends = self._each(place, "embedding_bytes") * (0 in own) + self._each(place, "head_bytes") * (
            last in own
        )
        shared = self._each(place, "shared_bytes") if 0 in own and last in own else 0.0
        held = np.sum([self.stages[i].held_bytes for i in own], axis=0)
        return held + np.max(peaks, axis=0) + ends - shared

    def exit_head_bytes(self, user: str) -> Floats | float:
        """What a head of its own would take the user's device, which has the embedding."""
        if user not in self.columns:
            return 0.0
        return self._each(user, "head_bytes") - self._each(user, "shared_bytes")

    def _loss(self) -> Floats | None:
        losses = self.landscape.problem.losses
        if losses is None:
            return None
        total = np.zeros(len(self.cuts))
        for i, place in enumerate(self.route.places):
            rows = np.stack([_sums(np.array(losses.block(b))) for b in self.bits[place]])
            width = self.chosen[place]
            total += rows[width, self.cuts[:, i + 1]] - rows[width, self.cuts[:, i]]
        return total


@dataclass(frozen=True)
class StageRuns:
    """One place's run of blocks in each plan."""

    present: NDArray[np.bool_]  # a place that is passed by has nothing
    prefill_s: Floats
    decode_s: Floats
    held_bytes: Floats
    alive_bytes: Floats

    @classmethod
    def of(cls, columns: BlockColumns, cuts: _Ints, i: int, is_end: bool) -> StageRuns:
        start, stop = cuts[:, i], cuts[:, i + 1]
        present = (stop > start) | is_end
        prefill_s, decode_s = (
            np.where(present, columns.overhead_s + _between(column, start, stop), 0.0)
            for column in (columns.prefill_s, columns.decode_s)
        )
        if i == 0:
            prefill_s, decode_s = prefill_s + columns.embedding_s[0], decode_s + columns.embedding_s[1]
        if i == cuts.shape[1] - 2:
            prefill_s, decode_s = prefill_s + columns.head_s, decode_s + columns.head_s
        held, alive = _between(columns.held_bytes, start, stop), _alive(columns, cuts, i, present)
        return cls(present, prefill_s, decode_s, held, alive)


def _alive(columns: BlockColumns, cuts: _Ints, i: int, present: NDArray[np.bool_]) -> Floats:
    """Activations at their peak: what came in and a block's own, or the head's."""
    start, stop = cuts[:, i], cuts[:, i + 1]
    embedding = columns.embedding_alive_bytes if i == 0 else 0
    head = columns.head_alive_bytes if i == cuts.shape[1] - 2 else 0
    own = np.maximum(columns.alive_bytes[start, stop], max(embedding, head))
    return np.where(present, own + (columns.received_bytes[start] if i else 0.0), 0.0)


class Computed(Protocol):
    """What the places of a route compute in each plan."""

    @property
    def route(self) -> Route: ...

    @property
    def cuts(self) -> _Ints: ...  # [N, L + 1]

    @property
    def wire(self) -> _Ints: ...  # [N] which of the codecs

    @property
    def stages(self) -> Sequence[StageRuns]: ...  # one for each place of the route

    @property
    def loss(self) -> Floats | None: ...  # [N] of the blocks


class Pass:
    """A request along a route, in every plan."""

    def __init__(self, landscape: Landscape, computing: Computed, wires: tuple[str, ...]) -> None:
        self.problem, self.computing = landscape.problem, computing
        self.wires, self.wire = wires, computing.wire
        self.crossings = [landscape.crossings(name) for name in wires]
        self.places, self.user = computing.route.places, landscape.problem.user
        self.steps = self.problem.request.new_tokens - 1
        n = len(computing.cuts)
        self.prefill_s, self.decode_s = np.zeros(n), np.zeros((len(self.crossings[0].pauses), n))
        self.busy_s = {place: np.zeros(n) for place in dict.fromkeys((self.user, *self.places))}
        self.step_s = {place: np.zeros(n) for place in self.busy_s}  # of one token, by place
        self.link_s = np.zeros(n)  # the slowest link's time for one token
        self.up, self.down = np.zeros(n), np.zeros(n)
        self._run()

    def _run(self) -> None:
        devices = self.problem.devices
        start, end = self.places[0], self.places[-1]
        for place, stage in zip(self.places, self.computing.stages, strict=True):
            self._work(place, stage.prefill_s, stage.decode_s)
        self._work(end, devices[end].sample_s, devices[end].sample_s)
        self._hand_over()
        if end != start:
            self._send(end, start, self.crossings[0].tokens(end, start))
        if start != self.user:
            self._work(start, 0.0, devices[start].stream_overhead_s)
        self._settle()
        self._work(self.user, self.problem.begin_s, 0.0)
        if start != self.user:
            self._stream(start)

    def _work(self, place: str, prefill_s: Floats | float, decode_s: Floats | float) -> None:
        self.prefill_s = self.prefill_s + prefill_s
        self.decode_s = self.decode_s + decode_s
        self.step_s[place] = self.step_s[place] + decode_s
        self.busy_s[place] = self.busy_s[place] + prefill_s + self.steps * decode_s

    def _hand_over(self) -> None:
        """Boundary activations from place to place; who has no block hands on what it got."""
        stages, cuts = self.computing.stages, self.computing.cuts
        for i, (sender, receiver) in enumerate(pairwise(self.places)):
            points = cuts[:, i + 1]
            self._send(sender, receiver, self._boundary(sender, receiver, points))
            for place, stage in ((sender, stages[i]), (receiver, stages[i + 1])):
                prompt_s, token_s = self._codec_s(place, points)
                self._work(place, np.where(stage.present, prompt_s, 0), np.where(stage.present, token_s, 0))

    def _boundary(self, sender: str, receiver: str, points: _Ints) -> Message:
        found = [crossings.boundary(sender, receiver) for crossings in self.crossings]
        at = (self.wire, points)
        return Message(
            np.stack([m.prefill_s for m in found])[at],
            np.stack([m.decode_s for m in found], axis=1)[:, *at],
            np.stack([m.n_bytes for m in found])[at],
            np.stack([m.occupancy_s for m in found])[at],
        )

    def _codec_s(self, place: str, points: _Ints) -> tuple[Floats, Floats]:
        device, request = self.problem.devices[place], self.problem.request
        elements = np.array(self.problem.model.boundary_elements, dtype=float)[points] * request.batch
        fixed_s, each_s = device.encode_s, device.encode_s_per_element
        return fixed_s + elements * request.prompt_tokens * each_s, fixed_s + elements * each_s

    def _send(self, sender: str, receiver: str, message: Message) -> None:
        self.prefill_s = self.prefill_s + message.prefill_s
        by_pause = message.decode_s if message.decode_s.ndim == 2 else message.decode_s[:, None]
        self.decode_s = self.decode_s + by_pause
        self._count(sender, receiver, message)

    def _settle(self) -> None:
        """Keep each plan's own pause: the first that is as long as the decode step that follows from it."""
        ends = np.array(self.crossings[0].pauses)[:, None]
        chosen = np.argmax(self.decode_s <= ends, axis=0)
        self.decode_s = np.take_along_axis(self.decode_s, chosen[None], axis=0)[0]

    def _stream(self, start: str) -> None:
        """The prompt goes up as token ids; tokens come as they are made, behind one another on the link."""
        any_wire = self.crossings[0]  # token ids are not encoded
        prompt, back = any_wire.prompt(self.user, start), any_wire.streamed(start, self.user)
        self._count(self.user, start, prompt)
        self._count(start, self.user, back)
        made_s = self.prefill_s + prompt.prefill_s
        self.prefill_s = made_s + back.prefill_s
        flows = back.n_bytes <= FIRST_WINDOW_BYTES and back.occupancy_s < self.decode_s.min()
        if len(self.places) == 1 and self.steps and not flows:  # played token by token, slow start and all
            last_s = [
                any_wire.last_streamed_s(start, float(first), float(each))
                for first, each in zip(made_s, self.decode_s, strict=True)
            ]
            self.decode_s = (np.array(last_s) - self.prefill_s) / self.steps
        else:
            self.decode_s = np.maximum(self.decode_s, back.occupancy_s)

    def _count(self, sender: str, receiver: str, message: Message) -> None:
        self.link_s = np.maximum(self.link_s, message.occupancy_s)
        for index, way in self.problem.chain.hops(sender, receiver):
            if index == 0 and way == "up":
                self.up = self.up + message.n_bytes
            elif index == 0:
                self.down = self.down + message.n_bytes

    def numbers(self) -> dict[str, Floats]:
        """Every aim's values, in its own direction."""
        request = self.problem.request
        total_s = self.prefill_s + self.steps * self.decode_s
        slowest_s = np.max([self.link_s, *self.step_s.values()], axis=0)
        found = {
            "total": total_s,
            "ttft": self.prefill_s,
            "tpot": self.decode_s if self.steps else np.zeros_like(total_s),
            "edge_energy": self._energy_j(total_s),
            "throughput": request.batch / np.maximum(slowest_s, 1e-12),
            "price": self._price() / (request.batch * request.new_tokens),
            "bytes": self.up + self.down,
        }
        loss = self.computing.loss
        if loss is not None and self.problem.losses is not None:
            encoded = np.sum([stage.present for stage in self.computing.stages], axis=0) - 1  # times
            of_wires = np.array(
                [self.problem.losses.wire(n) if len(self.places) > 1 else 0.0 for n in self.wires]
            )
            found["loss"] = loss + encoded * of_wires[self.wire]
        return found

    def _energy_j(self, total_s: Floats) -> Floats:
        device, busy_s = self.problem.devices[self.user], self.busy_s[self.user]
        working = device.active_w * busy_s + device.idle_w * np.maximum(0.0, total_s - busy_s)
        return working + device.radio_j_per_byte * self.up

    def _price(self) -> Floats:
        prices = self.problem.prices
        hours = sum(self.busy_s[p] * price / 3600 for p, price in prices.per_hour.items() if p in self.busy_s)
        return hours + (self.up + self.down) * prices.per_gb / 1e9


def _sums(column: Floats) -> Floats:
    """Of the first 0 to n blocks."""
    return np.concatenate([[0.0], np.cumsum(column)])


def _between(column: Floats, start: _Ints, stop: _Ints) -> Floats:
    """Over blocks [start, stop) of a column with an entry per block."""
    sums = _sums(column)
    return sums[stop] - sums[start]
