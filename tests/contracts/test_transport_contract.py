"""What every transport guarantees, whatever carries it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import torch

from workbench.errors import PeerError, PeerLostError, PlanError, ProtocolError
from workbench.links import ProxyLink
from workbench.profiles import LinkProfile
from workbench.wire import (
    Failure,
    Forward,
    Ping,
    Pong,
    Result,
    Server,
    Stats,
    StatsReport,
    Timing,
    Transport,
    connect,
    decode_tensors,
    encode_tensors,
    in_process_pair,
    listen,
    new_keys,
    pack_ids,
)
from workbench.wire.sizes import forward_bytes, tokens_bytes

SOON_S = 20.0
BACKENDS = ("in-process", "plain", "curve", "curve-through-proxy")


@dataclass
class Ends:
    client: Transport
    server: Server

    def ask(self, message: object, frames: tuple[bytes, ...] = ()) -> bytes:
        """Deliver a message; returns whom to answer."""
        self.client.send(message, frames)  # type: ignore[arg-type]
        request = self.server.receive(SOON_S)
        assert request is not None
        assert request.message == message
        return request.peer


@pytest.fixture(params=BACKENDS)
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    with ExitStack() as stack:
        yield _ends(request.param, stack)


def _ends(backend: str, stack: ExitStack) -> Ends:
    if backend == "in-process":
        client, server = in_process_pair()
        return Ends(stack.enter_context(client), stack.enter_context(server))
    if backend == "plain":
        server = stack.enter_context(listen())
        return Ends(stack.enter_context(connect(server.address)), server)
    keys, mine = new_keys(), new_keys()
    server = stack.enter_context(listen(keys=keys, allowed=[mine.public]))
    address = server.address
    if backend == "curve-through-proxy":
        address = stack.enter_context(ProxyLink(LinkProfile(0.002, 1e9, 1e9))).open(address)
    return Ends(stack.enter_context(connect(address, server_key=keys.public, keys=mine)), server)


def test_a_message_arrives_as_it_was_sent(ends: Ends) -> None:
    values = torch.randn(1, 64, 512)
    headers, frames = encode_tensors({"hidden_states": values}, "fp32")
    ends.client.send(Forward(1, 0, 0, headers), frames)
    request = ends.server.receive(SOON_S)
    assert request is not None
    assert isinstance(request.message, Forward)
    arrived = decode_tensors(request.message.tensors, request.frames)
    assert torch.equal(arrived["hidden_states"], values)
    reply = Result(1, 0, Timing(0.0, 0.0, 0.0), False, pack_ids([7]))
    ends.server.send(request.peer, reply)
    assert ends.client.receive(SOON_S) == (reply, [])


def test_messages_keep_their_order(ends: Ends) -> None:
    for index in range(200):
        ends.client.send(Ping(float(index)), [bytes([index])] * (index % 4))
    for index in range(200):
        request = ends.server.receive(SOON_S)
        assert request is not None
        assert request.message == Ping(float(index))
        assert [bytes(frame) for frame in request.frames] == [bytes([index])] * (index % 4)
        ends.server.send(request.peer, Pong(float(index), 0.0, 0.0))
    answers = [ends.client.receive(SOON_S)[0] for _ in range(200)]
    assert answers == [Pong(float(index), 0.0, 0.0) for index in range(200)]


def test_bytes_are_counted_alike_on_both_ends_and_by_sizes(ends: Ends) -> None:
    secure = ends.client.secure
    headers, frames = encode_tensors({"hidden_states": torch.randn(2, 16, 192)}, "int4")
    up = ends.client.send(Forward(1, 3, 16, headers), frames)
    request = ends.server.receive(SOON_S)
    assert request is not None
    down = ends.server.send(request.peer, Result(1, 3, Timing(1.0, 2.0, 3.0), True, pack_ids([1, 2])))
    ends.client.receive(SOON_S)
    assert up == forward_bytes(2, 16, 192, "int4", position=16, step=3, secure=secure)
    assert down == tokens_bytes(2, step=3, secure=secure)
    assert (ends.client.bytes_sent, ends.client.bytes_received) == (up, down)
    assert (ends.server.bytes_sent, ends.server.bytes_received) == (down, up)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65535, 65536, 3_000_000])
def test_frames_of_any_size_arrive(ends: Ends, size: int) -> None:
    frame = bytes(range(256)) * (size // 256 + 1)
    ends.client.send(Ping(0.0), [frame[:size], b""])
    request = ends.server.receive(SOON_S)
    assert request is not None
    assert [bytes(part) for part in request.frames] == [frame[:size], b""]


def test_a_failure_is_raised_as_the_error_that_it_was(ends: Ends) -> None:
    peer = ends.ask(Ping(0.0))
    ends.server.fail(peer, PlanError("no stage here"))
    with pytest.raises(PlanError, match="no stage here"):
        ends.client.receive(SOON_S)
    ends.server.send(peer, Failure("ZeroDivisionError", "division by zero"))
    with pytest.raises(PeerError, match="ZeroDivisionError: division by zero"):
        ends.client.receive(SOON_S)
    ends.server.send(peer, Stats())  # and it goes on
    assert ends.client.receive(SOON_S) == (Stats(), [])


def test_silence_has_an_end(ends: Ends) -> None:
    assert ends.server.receive(0.0) is None
    assert ends.server.receive(0.01) is None
    ends.ask(Ping(0.0))
    with pytest.raises(PeerLostError, match=r"0\.01 s"):
        ends.client.receive(0.01)


def test_a_silent_server_may_still_answer_later(ends: Ends) -> None:
    peer = ends.ask(Ping(0.0))
    with pytest.raises(PeerLostError):
        ends.client.receive(0.0)
    ends.server.send(peer, Stats())
    assert ends.client.receive(SOON_S) == (Stats(), [])


def test_what_was_sent_before_the_end_is_received(ends: Ends) -> None:
    peer = ends.ask(Ping(0.0))
    ends.server.send(peer, Stats(), [bytes(100_000)])
    ends.server.close()
    message, frames = ends.client.receive(SOON_S)
    assert (message, len(frames[0])) == (Stats(), 100_000)


def test_a_server_that_went_away_is_noticed(ends: Ends) -> None:
    peer = ends.ask(Ping(0.0))
    ends.server.send(peer, Stats())
    ends.client.receive(SOON_S)
    ends.server.close()
    with pytest.raises(PeerLostError, match="went away"):
        ends.client.receive(SOON_S)
    with pytest.raises(PeerLostError):
        ends.client.send(Ping(0.0))


def test_a_client_that_went_away_cannot_be_answered(ends: Ends) -> None:
    peer = ends.ask(Ping(0.0))
    ends.client.close()
    with pytest.raises(PeerLostError, match="gone"):
        _send_until_refused(ends.server, peer)
    ends.server.fail(peer, ValueError("nobody listens"))


def _send_until_refused(server: Server, peer: bytes) -> None:
    for _ in range(1000):  # the news takes a moment
        assert server.receive(0.02) is None
        server.send(peer, Stats())


def test_the_last_words_of_a_client_arrive(ends: Ends) -> None:
    ends.ask(Ping(0.0))
    ends.client.send(Stats(), [bytes(100_000)])
    ends.client.close()
    request = ends.server.receive(SOON_S)
    assert request is not None
    assert request.message == Stats()


def test_an_unknown_client_cannot_be_answered(ends: Ends) -> None:
    with pytest.raises(PeerLostError, match="gone"):
        ends.server.send(b"nobody", Stats())


def test_closing_twice_is_closing(ends: Ends) -> None:
    for end in (ends.client, ends.server):
        end.close()
        end.close()
    with pytest.raises(PeerLostError, match="closed"):
        ends.client.send(Ping(0.0))
    with pytest.raises(PeerLostError):
        ends.client.receive(SOON_S)


def test_a_message_that_cannot_be_written_harms_nothing(ends: Ends) -> None:
    with pytest.raises(ProtocolError):
        ends.client.send(StatsReport({"no": object()}))
    ends.ask(Ping(1.0))


def test_too_many_frames_are_refused_and_the_server_goes_on(ends: Ends) -> None:
    ends.client.send(Ping(0.0), [b"x"] * 17)
    assert ends.server.receive(SOON_S) is None
    with pytest.raises(ProtocolError, match="18 came"):
        ends.client.receive(SOON_S)
    ends.ask(Ping(1.0))


def test_a_receiver_wakes_when_the_message_comes(ends: Ends) -> None:
    peer = ends.ask(Ping(0.0))
    timer = threading.Timer(0.3, lambda: ends.server.send(peer, Stats()))  # the server's only user meanwhile
    timer.start()
    assert ends.client.receive(SOON_S) == (Stats(), [])
    timer.join()
