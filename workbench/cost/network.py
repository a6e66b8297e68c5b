"""What crosses in one request and when it arrives: exact message sizes over a model of the link."""

from __future__ import annotations

from dataclasses import dataclass, field

from workbench.links import make_flow
from workbench.links.base import Direction, Flow
from workbench.plan import Placement
from workbench.profiles import LinkProfile, ModelProfile
from workbench.wire import sizes

__all__ = ["MessageSizes", "Path"]

_WIDTHS = (65536, 256, 128, 0)  # MessagePack writes an integer in 5, 3, 2 or 1 bytes from here on


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


class Path:
    """Both directions of a link between its two ends, from a cold start."""

    def __init__(self, link: LinkProfile, kind: str) -> None:
        self._flows: dict[Direction, Flow] = {
            "up": make_flow(kind, link, "up"),
            "down": make_flow(kind, link, "down"),
        }

    def arrival_s(self, n_bytes: int, direction: Direction, at_s: float) -> float:
        """When a message that leaves at ``at_s`` has arrived whole, behind those sent before it."""
        return at_s + self._flows[direction].transfer_s(n_bytes, at_s)


def _class_of(value: int) -> int:
    return next(width for width in _WIDTHS if value >= width)
