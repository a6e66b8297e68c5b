"""What crosses in one request and when it arrives: exact message sizes over a model of the link."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from workbench.cost.chain import Chain
from workbench.links import make_flow
from workbench.links.base import Direction, Flow
from workbench.plan import Placement
from workbench.profiles import ModelProfile
from workbench.wire import sizes

__all__ = ["Crossing", "MessageSizes", "Paths"]

_WAYS: tuple[Direction, Direction] = ("up", "down")
_WIDTHS = (65536, 256, 128, 0)  # MessagePack writes an integer in 5, 3, 2 or 1 bytes from here on


class Crossing(NamedTuple):
    """One message over one link, packed, sent and unpacked."""

    link: int
    direction: Direction
    n_bytes: int
    start_s: float
    end_s: float


@dataclass
class MessageSizes:
    """Bytes of a request's messages on the wire, as ``wire.sizes`` counts them, each shape counted once."""

    model: ModelProfile
    placement: Placement
    batch: int
    secure: bool = True
    _known: dict[tuple[object, ...], int] = field(default_factory=dict)

    def forward(self, split_point: int, tokens: int, position: int, step: int) -> int:
        """Edge to cloud: a boundary activation."""
        key = ("forward", split_point, tokens, _class_of(position), _class_of(step))
        if key not in self._known:
            elements = self.model.boundary_elements[split_point]
            self._known[key] = sizes.forward_bytes(
                self.batch,
                tokens,
                elements,
                self.placement.wire,
                position=_class_of(position),
                step=_class_of(step),
                secure=self.secure,
            )
        return self._known[key]

    def boundary(self, split_point: int, tokens: int, step: int) -> int:
        """Cloud to edge: a boundary activation of a U-shaped plan."""
        key = ("boundary", split_point, tokens, _class_of(step))
        if key not in self._known:
            elements = self.model.boundary_elements[split_point]
            self._known[key] = sizes.boundary_bytes(
                self.batch, tokens, elements, self.placement.wire, step=_class_of(step), secure=self.secure
            )
        return self._known[key]

    def tokens(self, step: int) -> int:
        """Cloud to edge: the tokens that the cloud sampled."""
        key = ("tokens", _class_of(step))
        if key not in self._known:
            self._known[key] = sizes.tokens_bytes(self.batch, step=_class_of(step), secure=self.secure)
        return self._known[key]

    def generate(self, prompt_tokens: int, new_tokens: int) -> int:
        """Edge to cloud: the whole prompt as token ids."""
        return sizes.generate_bytes(self.batch, prompt_tokens, new_tokens, secure=self.secure)

    def streamed(self, index: int) -> int:
        """Cloud to edge: one token that nobody asked for."""
        key = ("streamed", _class_of(index))
        if key not in self._known:
            self._known[key] = sizes.token_bytes(self.batch, _class_of(index), secure=self.secure)
        return self._known[key]


class Paths:
    """Both directions of every link of a chain, from a cold start."""

    def __init__(self, chain: Chain, kind: str) -> None:
        self._chain = chain
        self._flows: dict[tuple[int, Direction], Flow] = {
            (i, way): make_flow(kind, link, way) for i, link in enumerate(chain.links) for way in _WAYS
        }
        self._ways: dict[tuple[str, str], tuple[_Hop, ...]] = {}

    def cross(self, n_bytes: int, sender: str, receiver: str, at_s: float) -> Iterator[Crossing]:
        """A message from place to place, link by link: each is left when the message is there whole.

        On each link it queues behind what was sent before it.
        """
        for hop in self._hops(sender, receiver):
            left_s = at_s + hop.pack_s
            there_s = left_s + hop.flow.transfer_s(n_bytes, left_s) + hop.unpack_s
            yield Crossing(hop.link, hop.direction, n_bytes, at_s, there_s)
            at_s = there_s

    def _hops(self, sender: str, receiver: str) -> tuple[_Hop, ...]:
        if (sender, receiver) not in self._ways:
            chain = self._chain
            hops, ends = chain.hops(sender, receiver), chain.passed(sender, receiver)
            self._ways[sender, receiver] = tuple(
                _Hop(*hop, self._flows[hop], *map(chain.message_overhead_s, pair))
                for hop, pair in zip(hops, ends, strict=True)
            )
        return self._ways[sender, receiver]


class _Hop(NamedTuple):
    """One link on a message's way."""

    link: int
    direction: Direction
    flow: Flow
    pack_s: float
    unpack_s: float


@lru_cache(maxsize=4096)
def _class_of(value: int) -> int:
    return next(width for width in _WIDTHS if value >= width)
