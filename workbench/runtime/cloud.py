"""The cloud side: holds stages, answers the edge. One thread; sessions of any number of peers take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workbench.devices import Pace, make_pace
from workbench.errors import AdapterError, InputError, PeerLostError, ProtocolError, WorkbenchError
from workbench.models import load_model
from workbench.models.slice import Boundary
from workbench.plan import CLOUD, Plan
from workbench.profiles import DeviceProfile
from workbench.runtime.decoding import Rows, Sampler, Sampling
from workbench.runtime.host import host_id
from workbench.runtime.modules import Module, Shelf, known_models
from workbench.runtime.stages import StageRun, tensors_of
from workbench.wire import (
    Cancel,
    Close,
    Forward,
    Frame,
    Generate,
    Hello,
    Open,
    Ping,
    Pong,
    Request,
    Result,
    Rewind,
    Server,
    Shutdown,
    Stats,
    StatsReport,
    Timing,
    Token,
    Welcome,
    decode_tensors,
    encode_tensors,
    pack_ids,
)

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["CloudServer"]

_MAX_PEERS = 64  # whose stages are kept
_MAX_SESSIONS = 64
_FORGET_AFTER_S = 600.0  # a client that vanished without a word is never heard of again
_IDLE_POLL_S = 0.1


@dataclass
class _Session:
    """One request: a run per cloud stage, visited in turn."""

    runs: list[StageRun]
    pace: Pace
    sampler: Sampler
    rows: Rows
    wire: str  # codec of boundary activations
    turns: Iterator[StageRun] = field(init=False)
    used_s: float = field(default_factory=perf_counter)

    def __post_init__(self) -> None:
        self.turns = cycle(self.runs)

    @property
    def idle_s(self) -> float:
        return perf_counter() - self.used_s

    def stats(self) -> dict[str, Any]:
        return {"memory_bytes": StageRun.held_bytes(self.runs), **self.pace.stats()}


Key = tuple[bytes, int]


class CloudServer:
    """Serves the cloud's part of any plan of some models.

    Args:
        models: what is served, each also as it is left at its exits; a client with other weights is refused.
        server: where messages come from; stays the caller's to close.
        device: what this host poses as; None for the host itself.
        compute: torch device of the stages.
    """

    def __init__(
        self,
        models: Model | Sequence[Model],
        server: Server,
        *,
        device: DeviceProfile | None = None,
        compute: str = "cpu",
    ) -> None:
        self._models = tuple(models) if isinstance(models, Sequence) else (models,)
        self._server, self._device = server, device
        self._shelf = Shelf(CLOUD, compute=compute)
        self._peers: dict[bytes, Mapping[str, Module]] = {}  # what each client asked for, by feature
        self._sessions: dict[Key, _Session] = {}
        self._streams: dict[Key, Iterator[None]] = {}
        self._stopped = False

    def run(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Serve until ``stopped`` says so or a Shutdown comes. An error of one request ends only that."""
        while not (stopped() or self._stopped):
            request = self._server.receive(0.0 if self._streams else _IDLE_POLL_S)
            if request is not None:
                self._answer(request, perf_counter())
            for key in list(self._streams):
                if key in self._streams:  # a client that is lost takes all of its streams along
                    self._advance(key)

    def _answer(self, request: Request, received_s: float) -> None:
        try:
            self._dispatch(request, received_s)
        except PeerLostError:
            self._forget(request.peer)
        except (WorkbenchError, RuntimeError, ValueError, KeyError) as error:
            self._server.fail(request.peer, error, getattr(request.message, "session", None))

    def _dispatch(self, request: Request, received_s: float) -> None:
        peer, message, frames = request
        match message:
            case Hello():
                self._hello(peer, message)
            case Open():
                self._open(peer, message)
            case Forward():
                self._forward(peer, message, frames, received_s)
            case Generate():
                self._session((peer, message.session))
                self._streams[peer, message.session] = self._stream(peer, message, frames, received_s)
            case Rewind():
                for run in self._session((peer, message.session)).runs:
                    run.rewind(message.n_tokens)
            case Cancel():
                self._streams.pop((peer, message.session), None)
            case Close():
                self._close(peer, message.session)
            case Ping():
                self._server.send(peer, Pong(message.sent_s, received_s, perf_counter()))
            case Stats():
                self._server.send(peer, StatsReport(self._stats(peer)))
            case Shutdown():
                self._stopped = True
            case _:
                raise ProtocolError(f"a {type(message).__name__} message is nothing that a cloud answers")

    # ---- connections and sessions

    def _hello(self, peer: bytes, message: Hello) -> None:
        plan = Plan.from_dict(message.plan)
        asked = message.features or tuple(plan.features)
        features = [f for f in asked if plan.placement(f).partition.on(CLOUD)]
        if not features:
            raise InputError(f"plan {plan} has no stage in the cloud: run it without one")
        names = dict.fromkeys(map(plan.model_of, features))
        served = {name: self._served(name, message.fingerprints.get(name, "")) for name in names}
        modules = self._shelf.modules(plan, features, known_models(served))
        for module in modules.values():
            _check_adapter(module, message.adapters)
        self._peers.pop(peer, None)
        self._peers[peer] = modules
        while len(self._peers) > _MAX_PEERS:
            self._forget(next(iter(self._peers)))
        self._shelf.keep_only(module for held in self._peers.values() for module in held.values())
        stages = {name: tuple(map(str, module.stages)) for name, module in modules.items()}
        self._server.send(peer, Welcome(stages, self._facts(modules)))

    def _served(self, name: str, fingerprint: str) -> Model:
        for model in self._models:
            if model.fingerprint == fingerprint:
                return model
        exits = (load_model(f"{m.source}@{depth}") for m in self._models for depth in m.exits)
        found = next((model for model in exits if model.fingerprint == fingerprint), None)
        if found is None:
            own = ", ".join(f"{model.name!r} with {model.fingerprint}" for model in self._models)
            raise InputError(
                f"the edge has model {name!r} with fingerprint {fingerprint}, the cloud serves {own}: load "
                "the same files on both sides"
            )
        return found

    def _facts(self, modules: Mapping[str, Module]) -> dict[str, Any]:
        return {
            "host": host_id(),
            "device": self._device.name if self._device else "host",
            "threads": torch.get_num_threads(),
            "needs_token_ids": [name for name, module in modules.items() if module.needs_token_ids],
        }

    def _open(self, peer: bytes, message: Open) -> None:
        for key in [key for key, open_ in self._sessions.items() if open_.idle_s > _FORGET_AFTER_S]:
            self._close(*key)
        if len(self._sessions) >= _MAX_SESSIONS:
            raise InputError(f"{_MAX_SESSIONS} sessions are open already: close one, or try again later")
        module = self._module(peer, message.feature)
        pace = make_pace(str(message.options.get("pace", "native")))
        runs = list(module.runs(self._device, pace, message.batch).values())
        sampling = Sampling.from_dict(message.sampling)
        rows = Rows(message.batch, () if sampling.ignore_eos else module.eos_ids)
        session = _Session(runs, pace, Sampler(sampling), rows, module.placement.wire)
        self._sessions[peer, message.session] = session

    def _close(self, peer: bytes, session: int) -> None:
        self._streams.pop((peer, session), None)
        self._sessions.pop((peer, session), None)

    def _forget(self, peer: bytes) -> None:
        self._peers.pop(peer, None)
        for key in [key for key in self._sessions if key[0] == peer]:
            self._close(*key)

    def _module(self, peer: bytes, feature: str) -> Module:
        if peer not in self._peers:
            raise ProtocolError("a session was opened before Hello: say Hello with a plan first")
        if feature not in self._peers[peer]:
            raise ProtocolError(
                f"a session was opened for {feature!r}, Hello asked for {sorted(self._peers[peer])}"
            )
        return self._peers[peer][feature]

    def _session(self, key: Key) -> _Session:
        if key not in self._sessions:
            raise ProtocolError(f"session {key[1]} is not open")
        self._sessions[key].used_s = perf_counter()
        return self._sessions[key]

    def _stats(self, peer: bytes) -> dict[str, Any]:
        sessions = [session for (owner, _), session in self._sessions.items() if owner == peer]
        return sessions[-1].stats() if sessions else {}

    # ---- work

    def _forward(self, peer: bytes, message: Forward, frames: list[Frame], received_s: float) -> None:
        session = self._session((peer, message.session))
        work = _Work(received_s)
        run = next(session.turns)
        if run.position != message.position:
            raise ProtocolError(
                f"session {message.session} holds {run.position} tokens, not {message.position}"
            )
        tensors = work.timed("decode_s", lambda: decode_tensors(message.tensors, frames, dtype=run.dtype))
        token_ids, padding = (_widened(tensors.pop(name, None)) for name in ("token_ids", "attention_mask"))
        inputs: Tensor | Boundary = run.boundary(tensors) if tensors else _needed(token_ids)
        output, work.compute_s = run.step(inputs, padding=padding, token_ids=token_ids)
        if isinstance(output, Boundary):
            headers, out = work.timed("encode_s", lambda: encode_tensors(tensors_of(output), session.wire))
            self._server.send(
                peer, Result(message.session, message.step, work.timing(), False, tensors=headers), out
            )
        elif message.sample:
            ids = work.timed("sample_s", partial(_choose, session, output))
            done = session.rows.finished
            self._server.send(peer, Result(message.session, message.step, work.timing(), done, pack_ids(ids)))
        else:
            self._server.send(peer, Result(message.session, message.step, work.timing(), False))

    def _stream(
        self, peer: bytes, message: Generate, frames: list[Frame], received_s: float
    ) -> Iterator[None]:
        """One token each time that it is advanced."""
        session = self._session((peer, message.session))
        run = session.runs[0]
        tensors = decode_tensors(message.tensors, frames)
        inputs, padding = _needed(_widened(tensors.get("token_ids"))), _widened(tensors.get("attention_mask"))
        for index in range(message.max_new_tokens):
            work = _Work(received_s)
            logits, work.compute_s = run.step(inputs, padding=padding)
            ids = work.timed("sample_s", partial(_choose, session, logits))
            done = session.rows.finished or index + 1 == message.max_new_tokens
            self._server.send(peer, Token(message.session, index, work.timing(), done, pack_ids(ids)))
            if done:
                return
            inputs = torch.tensor(ids)[:, None]
            padding = None if padding is None else torch.ones_like(inputs)
            yield
            session.used_s = received_s = perf_counter()

    def _advance(self, key: Key) -> None:
        try:
            next(self._streams[key])
        except StopIteration:
            self._streams.pop(key, None)
        except PeerLostError:
            self._forget(key[0])
        except (WorkbenchError, RuntimeError, ValueError) as error:
            self._streams.pop(key, None)
            self._server.fail(key[0], error, key[1])


class _Work:
    """Adds up what one answer took."""

    def __init__(self, received_s: float) -> None:
        self._received_s = received_s
        self._seconds = {"decode_s": 0.0, "encode_s": 0.0, "sample_s": 0.0}
        self.compute_s = 0.0

    def timed(self, field: str, work: Callable[[], Any]) -> Any:
        started_s = perf_counter()
        result = work()
        self._seconds[field] = perf_counter() - started_s
        return result

    def timing(self) -> Timing:
        return Timing(self._received_s, perf_counter(), self.compute_s, **self._seconds)


def _check_adapter(module: Module, fingerprints: Mapping[str, str]) -> None:
    adapter, named = module.adapter, module.placement.adapter
    if adapter is not None and fingerprints.get(str(named)) != adapter.fingerprint:
        raise AdapterError(
            f"adapter {named!r} of the edge has fingerprint {fingerprints.get(str(named))}, the cloud's has "
            f"{adapter.fingerprint}: put the same files on both sides"
        )


def _choose(session: _Session, logits: Tensor | Boundary) -> list[int]:
    assert isinstance(logits, Tensor)  # of a stage with the head
    return session.rows.accept(session.sampler(logits[:, -1]))


def _needed(token_ids: Tensor | None) -> Tensor:
    if token_ids is None:
        raise ProtocolError("neither a boundary activation nor token ids came")
    return token_ids


def _widened(integers: Tensor | None) -> Tensor | None:
    """Ids and masks cross in few bytes; models take them as int64."""
    return None if integers is None else integers.long()
