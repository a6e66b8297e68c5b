"""The edge's side of the conversation with the cloud: messages out, answers in, times written down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from workbench.errors import PeerLostError, ProtocolError, WorkbenchError
from workbench.models.slice import Boundary
from workbench.plan import Plan
from workbench.runtime.decoding import Sampling
from workbench.runtime.host import host_id
from workbench.runtime.stages import StageRun, tensors_of
from workbench.runtime.timeline import Exchange, RemoteWork, Timeline
from workbench.wire import (
    Cancel,
    Close,
    Forward,
    Generate,
    Hello,
    Open,
    Ping,
    Pong,
    Result,
    Stats,
    StatsReport,
    Timing,
    Token,
    Transport,
    Welcome,
    decode_tensors,
    encode_tensors,
    ids_of,
)

__all__ = ["Answer", "CloudLink", "Pass"]

_LOAD_TIMEOUT_S = 600.0  # a large stage takes a while to load
_STEP_TIMEOUT_S = 120.0
_PINGS = 5


@dataclass(frozen=True)
class Answer:
    """What one exchange brought: tokens, or a boundary activation, or neither where more prompt follows."""

    ids: tuple[int, ...]
    boundary: Boundary | None
    bytes_up: int
    bytes_down: int


@dataclass(frozen=True)
class Pass:
    """Which pass over the stages an exchange belongs to."""

    session: int
    position: int  # tokens that every stage had seen before
    token: int  # the output token that it works for
    sample: bool  # False while more of the prompt follows
    wire: str  # codec of boundary activations
    into: StageRun | None  # who takes a boundary activation that comes back


class CloudLink:
    """One connection, greeted. Used by one thread.

    Args:
        fingerprints: of each model that the plan names, by its name there.
        features: those that sessions will be opened for.
        adapters: fingerprints of the adapters that they use.

    Raises:
        TransportError: nobody answers, or the cloud refuses the model or the plan.
    """

    def __init__(
        self,
        transport: Transport,
        fingerprints: Mapping[str, str],
        plan: Plan,
        features: Sequence[str],
        adapters: Mapping[str, str] | None = None,
    ) -> None:
        self.transport = transport
        transport.send(Hello(dict(fingerprints), plan.to_dict(), tuple(features), dict(adapters or {})))
        welcome = self._expect(Welcome, _LOAD_TIMEOUT_S)[0]
        self.facts: Mapping[str, Any] = welcome.facts
        self._sends_ids = False
        self._offset_s = self._clock_offset()
        self._asked = 0  # exchanges of the session so far
        self._has_leftovers = False

    # ---- sessions

    def open(self, session: int, feature: str, batch: int, sampling: Sampling, pace: str) -> None:
        """Begin a session; not answered. What still comes of one that failed is thrown away first."""
        if self._has_leftovers:
            self._drain()
            self._has_leftovers = False
        self._asked = 0
        self._sends_ids = feature in self.facts.get("needs_token_ids", ())
        self.transport.send(Open(session, batch, feature, sampling.to_dict(), {"pace": pace}))

    def close(self, session: int) -> None:
        """End a session; not answered."""
        self.transport.send(Close(session))

    def failed(self) -> None:
        """The session ended in an error: answers to what it asked may be on their way yet."""
        self._has_leftovers = True

    def cancel(self, session: int) -> None:
        """Stop a stream, and throw away what is still on its way."""
        self.transport.send(Cancel(session))
        self._drain()

    def stats(self) -> dict[str, Any]:
        """Memory and pace of the cloud's part in the last session."""
        self.transport.send(Stats())
        return self._expect(StatsReport, _STEP_TIMEOUT_S)[0].values

    # ---- work

    def forward(
        self, step: Pass, state: Boundary | Tensor, ids: Tensor, padding: Tensor | None, line: Timeline
    ) -> Answer:
        """Through the cloud's next stage."""
        # 1. out
        started_s = perf_counter()
        headers, frames = encode_tensors(self._payload(state, ids, padding), step.wire)
        line.local("encode", step.token, started_s, perf_counter() - started_s)
        message = Forward(step.session, self._asked, step.position, headers, step.sample)
        sent_s = perf_counter()
        bytes_up = self.transport.send(message, frames)
        # 2. and back
        result, answer_frames, bytes_down = self._expect_counted(Result)
        received_s = perf_counter()
        if result.step != self._asked:
            raise ProtocolError(f"the cloud answered step {result.step} where {self._asked} was asked")
        line.exchange(
            Exchange(step.token, sent_s, received_s, bytes_up, bytes_down, self._remote(result.timing))
        )
        self._asked += 1
        boundary = self._boundary(result, answer_frames, step, line)
        return Answer(ids_of(result), boundary, bytes_up, bytes_down)

    def generate(
        self, session: int, ids: Tensor, padding: Tensor | None, n: int, line: Timeline
    ) -> Iterator[Answer]:
        """The tokens of a whole request as they come; the caller may stop reading after ``cancel``."""
        tensors = {"token_ids": ids.to(torch.int32)}
        if padding is not None:
            tensors["attention_mask"] = padding.to(torch.uint8)
        headers, frames = encode_tensors(tensors, "fp32")
        sent_s = perf_counter()
        bytes_up = self.transport.send(Generate(session, n, headers), frames)
        while True:
            token, _, bytes_down = self._expect_counted(Token)
            work = self._remote(token.timing)
            line.exchange(Exchange(token.index, sent_s, perf_counter(), bytes_up, bytes_down, work))
            yield Answer(ids_of(token), None, bytes_up, bytes_down)
            if token.finished:
                return
            bytes_up = 0

    def _payload(self, state: Boundary | Tensor, ids: Tensor, padding: Tensor | None) -> dict[str, Tensor]:
        tensors = tensors_of(state) if isinstance(state, Boundary) else {}
        if self._sends_ids or not tensors:
            tensors["token_ids"] = ids.to(torch.int32)
        if padding is not None:
            tensors["attention_mask"] = padding.to(torch.uint8)
        return tensors

    def _boundary(self, result: Result, frames: list[Any], step: Pass, line: Timeline) -> Boundary | None:
        if not result.tensors:
            return None
        if step.into is None:
            raise ProtocolError("the cloud sent a boundary activation where tokens were due")
        started_s = perf_counter()
        boundary = step.into.boundary(decode_tensors(result.tensors, frames, dtype=step.into.dtype))
        line.local("decode_wire", step.token, started_s, perf_counter() - started_s)
        return boundary

    def _remote(self, timing: Timing) -> RemoteWork:
        spans = (
            ("decode_wire", timing.decode_s),
            ("compute", timing.compute_s),
            ("sample", timing.sample_s),
            ("encode", timing.encode_s),
        )
        done = tuple((kind, seconds) for kind, seconds in spans if seconds > 0)
        return RemoteWork(timing.received_s - self._offset_s, timing.sent_s - self._offset_s, done)

    # ---- plumbing

    def _expect(self, kind: type[Any], timeout_s: float) -> tuple[Any, list[Any]]:
        message, frames = self.transport.receive(timeout_s)
        if not isinstance(message, kind):
            raise ProtocolError(f"expected a {kind.__name__}, the cloud sent a {type(message).__name__}")
        return message, frames

    def _expect_counted(self, kind: type[Any]) -> tuple[Any, list[Any], int]:
        before = self.transport.bytes_received
        message, frames = self._expect(kind, _STEP_TIMEOUT_S)
        return message, frames, self.transport.bytes_received - before

    def _drain(self) -> None:
        """Read up to the answer of a Ping: what was sent before it is then gone, failures too."""
        sent_s = perf_counter()
        self.transport.send(Ping(sent_s))
        while True:
            try:
                message, _ = self.transport.receive(_STEP_TIMEOUT_S)
            except (PeerLostError, ProtocolError):
                raise
            except WorkbenchError:
                continue  # what the cloud says of a session that is over
            if isinstance(message, Pong) and message.ping_sent_s == sent_s:
                return

    def _clock_offset(self) -> float:
        """Seconds that the cloud's clock is ahead: none on one host, else from the quickest of some pings."""
        if self.facts.get("host") == host_id():
            return 0.0
        return min(self._ping() for _ in range(_PINGS))[1]

    def _ping(self) -> tuple[float, float]:
        """Round trip and clock offset, taking both ways as equally long (as NTP does, RFC 5905)."""
        sent_s = perf_counter()
        self.transport.send(Ping(sent_s))
        pong = self._expect(Pong, _STEP_TIMEOUT_S)[0]
        here_s = perf_counter()
        round_trip_s = (here_s - sent_s) - (pong.sent_s - pong.received_s)
        return round_trip_s, ((pong.received_s - sent_s) + (pong.sent_s - here_s)) / 2
