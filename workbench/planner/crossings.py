"""What messages of a request take on their way, for every split point at once.

A connection that was idle for longer than its retransmission timeout begins again with a smaller window
(RFC 2861), so a message that does not fit into one takes longer the longer the pause before it: a pass that
takes long pays for it. Times of such messages are kept by *pause*, G lengths of it; ``Crossings.pauses``
says where each ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from workbench.cost import Chain, Floats, MessageSizes, Paths
from workbench.links import make_flow
from workbench.links.base import Direction
from workbench.links.tcp import INITIAL_WINDOW, MIN_RTO_S, MSS_BYTES
from workbench.plan import CLOUD, Partition, Placement
from workbench.planner.problem import Problem

__all__ = ["FIRST_WINDOW_BYTES", "Crossings", "Message"]

FIRST_WINDOW_BYTES = INITIAL_WINDOW * MSS_BYTES
"""What a connection sends at once, whatever happened before."""

_WARM_ROUND_TRIPS = 2.0  # after the prompt's message until the next: only slow start could tell …
_HALVINGS = 6  # after as many timeouts any window is back to the first one
_SETTLED = 10  # messages after which a window no longer changes
_PAUSE_S = 1e-3  # … and that it is a message of its own, not the end of the one before


@dataclass(frozen=True)
class Message:
    """One kind of message over one stretch of links, or many of them as columns [K]."""

    prefill_s: Floats | float  # of the prompt's message, or of the first token's
    decode_s: Floats  # [G] or [G, K]: mean of the later ones, by pause
    n_bytes: Floats | float  # of the whole request
    occupancy_s: Floats | float  # of the slowest link by one later message: what limits a pipeline

    @classmethod
    def stacked(cls, messages: Sequence[Message]) -> Message:
        """Several as columns."""
        return cls(
            np.stack([m.prefill_s for m in messages]),
            np.stack([m.decode_s for m in messages], axis=1),
            np.stack([m.n_bytes for m in messages]),
            np.stack([m.occupancy_s for m in messages]),
        )


@dataclass
class Crossings:
    """Messages of one problem with one codec. Each size is asked of the link once."""

    problem: Problem
    wire: str
    _sizes: MessageSizes = field(init=False)
    _boundaries: dict[tuple[str, str], Message] = field(default_factory=dict)
    _known: dict[tuple[object, ...], tuple[float, Floats]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._sizes = _sizes(self.problem, self.wire)

    def boundary(self, sender: str, receiver: str) -> Message:
        """A boundary activation, by split point [n + 1]."""
        if (sender, receiver) not in self._boundaries:
            self._boundaries[sender, receiver] = self._all_boundaries(sender, receiver)
        return self._boundaries[sender, receiver]

    def _all_boundaries(self, sender: str, receiver: str) -> Message:
        model, chain = self.problem.model, self.problem.chain
        outward = chain.hops(sender, receiver)[0][1] == "up"
        kinds: dict[int, Message] = {}
        for point, elements in enumerate(model.boundary_elements):
            if elements not in kinds:
                kinds[elements] = self._message(sender, receiver, self._boundary_bytes(point, outward))
        return Message.stacked([kinds[elements] for elements in model.boundary_elements])

    def tokens(self, sender: str, receiver: str) -> Message:
        """The sampled tokens on their way to where the next pass begins."""
        return self._message(sender, receiver, [self._sizes.tokens(step) for step in self._steps])

    def streamed(self, sender: str, receiver: str) -> Message:
        """Tokens that nobody waits for but the user."""
        return self._message(sender, receiver, [self._sizes.streamed(step) for step in self._steps])

    def prompt(self, sender: str, receiver: str) -> Message:
        """The prompt's token ids, once."""
        request = self.problem.request
        n_bytes = self._sizes.generate(request.prompt_tokens, request.new_tokens)
        once = self._message(sender, receiver, [n_bytes])
        return Message(once.prefill_s, np.zeros(len(self.pauses)), n_bytes, 0.0)

    def last_streamed_s(self, sender: str, first_s: float, step_s: float) -> float:
        """When the last token is with the user, made one every ``step_s`` from ``first_s`` on."""
        paths, user = Paths(self.problem.chain, self.problem.link_kind), self.problem.user
        there_s = first_s
        for step in self._steps:
            made_s = first_s + step * step_s
            *_, last = paths.cross(self._sizes.streamed(step), sender, user, made_s)
            there_s = last.end_s
        return there_s

    @cached_property
    def pauses(self) -> tuple[float, ...]:
        """Up to how many seconds between two messages each of the G columns is for, the last without end.

        One where no message of a later token is larger than a connection's first window, with any codec.
        """
        model, wires = self.problem.model, self.problem.choices.wires
        widest = int(np.argmax(model.boundary_elements))
        sizes = [_sizes(self.problem, wire).forward(widest, 1, 1, 1) for wire in (*wires, self.wire)]
        if max(sizes) <= FIRST_WINDOW_BYTES:
            return (math.inf,)
        timeouts = {round(link.rtt_s + MIN_RTO_S, 2) for link in self.problem.links}
        return (*sorted({n * s for s in timeouts for n in range(1, _HALVINGS + 1)}), math.inf)

    @property
    def _steps(self) -> range:
        return range(self.problem.request.new_tokens)

    def _boundary_bytes(self, point: int, outward: bool) -> list[int]:
        prompt = self.problem.request.prompt_tokens
        tokens = [prompt if step == 0 else 1 for step in self._steps]
        if not outward:
            return [self._sizes.boundary(point, n, step) for step, n in zip(self._steps, tokens, strict=True)]
        at = [0 if step == 0 else prompt + step - 1 for step in self._steps]
        return [
            self._sizes.forward(point, n, at[step], step) for step, n in zip(self._steps, tokens, strict=True)
        ]

    def _message(self, sender: str, receiver: str, sizes: list[int]) -> Message:
        first, later = sizes[0], sizes[1:]
        mean = sum(later) / len(later) if later else 0.0
        chain, hops = self.problem.chain, self.problem.chain.hops(sender, receiver)
        fixed_s = sum(map(chain.message_overhead_s, _handled(chain, sender, receiver)))
        times = [self._times(index, way, first, round(mean)) for index, way in hops]
        busy = [mean * 8 / chain.links[index].way(way).rate_bps for index, way in hops]
        return Message(
            fixed_s + sum(prefill_s for prefill_s, _ in times),
            np.sum([decode_s for _, decode_s in times], axis=0) + (fixed_s if later else 0.0),
            float(sum(sizes)),
            max(busy),
        )

    def _times(self, index: int, way: Direction, first: int, later: int) -> tuple[float, Floats]:
        """Seconds of the prompt's message over a cold connection, and of the later ones by pause, [G]."""
        key = (index, way, first, later)
        if key not in self._known:
            link = self.problem.links[index]
            flow = make_flow(self.problem.link_kind, link, way)
            first_s = flow.transfer_s(first, 0.0)
            ends = self.pauses
            if later <= FIRST_WINDOW_BYTES:
                at_s = first_s + _WARM_ROUND_TRIPS * link.rtt_s + _PAUSE_S
                decode_s = np.full(len(ends), flow.transfer_s(later, at_s) if later else 0.0)
            else:
                middles = [(a + min(b, a + 1.0)) / 2 for a, b in pairwise((0.0, *ends))]
                decode_s = np.array([self._mean_s(index, way, first, later, pause_s) for pause_s in middles])
            self._known[key] = first_s, decode_s
        return self._known[key]

    def _mean_s(self, index: int, way: Direction, first: int, later: int, pause_s: float) -> float:
        """Mean seconds of the later messages, one every ``pause_s``; the window takes a few to settle."""
        flow = make_flow(self.problem.link_kind, self.problem.links[index], way)
        at_s, steps = flow.transfer_s(first, 0.0), len(self._steps) - 1
        played: list[float] = []
        for _ in range(min(steps, _SETTLED)):
            at_s += pause_s
            played.append(flow.transfer_s(later, at_s))
        return (sum(played) + (steps - len(played)) * played[-1]) / steps


def _sizes(problem: Problem, wire: str) -> MessageSizes:
    placement = Placement(Partition.unsplit(problem.model.n_blocks, CLOUD), wire)
    return MessageSizes(problem.model, placement, problem.request.batch)


def _handled(chain: Chain, sender: str, receiver: str) -> list[str]:
    """Who packs or unpacks a message: relays do both."""
    return [place for pair in chain.passed(sender, receiver) for place in pair]
