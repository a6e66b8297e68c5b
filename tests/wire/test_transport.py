"""ZeroMQ's own: keys, addresses, and strangers at the door."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import zmq

from workbench.errors import AddressInUseError, InputError, PeerLostError
from workbench.wire import VERSION, KeyPair, Ping, Server, Stats, connect, listen, new_keys
from workbench.wire.messages import encode_message

SOON_S = 20.0


@pytest.fixture
def server() -> Iterator[Server]:
    with listen() as made:
        yield made


def _serves(server: Server, address: str, key: str | None = None) -> None:
    with connect(address, server_key=key) as client:
        client.send(Ping(1.0))
        for _ in range(1000):
            request = server.receive(0.02)
            if request is not None and request.message == Ping(1.0):
                server.send(request.peer, Stats())
                break
        assert client.receive(SOON_S) == (Stats(), [])


def test_several_clients_are_told_apart(server: Server) -> None:
    with connect(server.address) as one, connect(server.address) as two:
        for index, client in enumerate((one, two)):
            client.send(Ping(float(index)))
        for _ in range(2):
            request = server.receive(SOON_S)
            assert request is not None
            server.send(request.peer, request.message)
        assert one.receive(SOON_S) == (Ping(0.0), [])
        assert two.receive(SOON_S) == (Ping(1.0), [])


def test_a_port_in_use_is_named(server: Server) -> None:
    with pytest.raises(AddressInUseError, match=f"{server.address} is in use"):
        listen(server.address)


@pytest.mark.parametrize(
    "address",
    ["", "localhost", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "tcp://127.0.0.1:http", "udp://a:1"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    for use in (listen, connect):
        with pytest.raises(InputError, match="tcp://HOST:PORT"):
            use(address)


@pytest.mark.parametrize(
    "address", ["tcp://0.0.0.0:*", "tcp://192.0.2.1:5555", "tcp://[::]:*", "tcp://a.org:1"]
)
def test_plain_text_stays_on_loopback(address: str) -> None:
    with pytest.raises(InputError, match="new_keys"):
        listen(address)
    with pytest.raises(InputError, match="allow_plain=True"):
        connect(address)


def test_plain_text_beyond_loopback_takes_a_word() -> None:
    with listen("tcp://0.0.0.0:*", allow_plain=True) as server:
        address = server.address.replace("0.0.0.0", "127.0.0.1")
        _serves(server, address)


def test_localhost_is_loopback(server: Server) -> None:
    _serves(server, server.address.replace("127.0.0.1", "localhost"))


def test_nobody_there_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        connect(f"tcp://127.0.0.1:{port}") as client,
        pytest.raises(PeerLostError, match="is the server running"),
    ):
        client.receive(0.2)


def test_a_client_may_come_before_its_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with connect(f"tcp://127.0.0.1:{port}") as client:
        client.send(Ping(0.0))
        with pytest.raises(PeerLostError):
            client.receive(0.1)
        with listen(f"tcp://127.0.0.1:{port}") as server:
            assert server.receive(SOON_S) is not None


KEYS, FRIEND, STRANGER = new_keys(), new_keys(), new_keys()


@pytest.mark.parametrize(
    ("server_key", "keys"),
    [(None, None), (KEYS.public, None), (KEYS.public, STRANGER), (STRANGER.public, FRIEND)],
    ids=["no key", "a fresh key", "a stranger's key", "another server's key"],
)
def test_who_is_not_known_is_not_let_in(server_key: str | None, keys: KeyPair | None) -> None:
    server = listen(keys=KEYS, allowed=[FRIEND.public])
    with server, connect(server.address, server_key=server_key, keys=keys) as client:
        client.send(Ping(0.0))
        with pytest.raises(PeerLostError, match="refused this client: its keys"):
            client.receive(SOON_S)
        assert server.receive(0.1) is None


def test_without_a_list_the_server_key_is_enough() -> None:
    with listen(keys=KEYS) as server, connect(server.address, server_key=KEYS.public) as client:
        client.send(Ping(0.0))
        assert server.receive(SOON_S) is not None


def test_a_secure_client_refuses_a_plain_server(server: Server) -> None:
    with connect(server.address, server_key=KEYS.public) as client:
        client.send(Ping(0.0))
        with pytest.raises(PeerLostError, match="refused"):
            client.receive(SOON_S)


@pytest.mark.parametrize("key", ["", "short", "x" * 41, "\u00e4" * 40, " " * 40])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(InputError, match="CURVE key"):
        connect("tcp://127.0.0.1:5555", server_key=key)
    with pytest.raises(InputError, match="CURVE key"):
        listen(keys=KEYS, allowed=[key])
    with pytest.raises(InputError, match="CURVE key"):
        listen(keys=KeyPair(KEYS.public, key))


def test_a_list_of_clients_needs_keys() -> None:
    with pytest.raises(InputError, match="new_keys"):
        listen(allowed=[FRIEND.public])


def test_secrets_are_not_shown() -> None:
    assert KEYS.secret not in repr(KEYS)


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(48) + b"\x02" + b"\xff" * 8 + b"payload",
        random.Random(0).randbytes(10_000),
        b"",
    ],
    ids=["http", "tls", "zmtp that announces too much", "noise", "nothing"],
)
@pytest.mark.parametrize("secure", [False, True])
def test_strangers_on_the_port_do_no_harm(noise: bytes, secure: bool) -> None:
    keys = KEYS if secure else None
    with listen(keys=keys) as server:
        host, port = server.address.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port))) as stranger:
            stranger.sendall(noise)
            assert server.receive(0.2) is None
            _serves(server, server.address, keys.public if keys else None)


def test_malformed_messages_are_answered_and_passed_over(server: Server) -> None:
    wrong = [
        [b""],
        [b"EC"],
        [b"EC" + bytes([VERSION + 1]) + b"\x80"],
        [b"EC" + bytes([VERSION]) + b"\xdd\xff\xff\xff\xff"],
        [encode_message(Ping(0.0))[:-1]],
        [bytes(2 << 20)],
        [encode_message(Ping(0.0)), *[b"x"] * 1000],
    ]
    context = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    stranger.connect(server.address)
    for parts in wrong:
        stranger.send_multipart(parts)
        assert server.receive(SOON_S) is None
        assert stranger.poll(20_000)
        assert b"ProtocolError" in stranger.recv()
    stranger.close(linger=0)
    context.term()
    _serves(server, server.address)


def test_a_frame_over_the_limit_ends_its_connection() -> None:
    with listen(max_frame_bytes=1000) as server:
        with connect(server.address) as client:
            client.send(Ping(0.0), [bytes(1001)])
            with pytest.raises(PeerLostError, match="went away"):
                client.receive(SOON_S)
            assert server.receive(0.1) is None
        with connect(server.address) as client:
            client.send(Ping(0.0), [bytes(1000)])
            assert server.receive(SOON_S) is not None


_SERVER = """
from workbench.wire import Stats, listen
with listen() as server:
    print(server.address, flush=True)
    while True:
        request = server.receive(0.1)
        if request:
            server.send(request.peer, Stats())
"""


def test_a_killed_server_is_noticed() -> None:
    process = subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        with connect(process.stdout.readline().strip()) as client:
            client.send(Ping(0.0))
            assert client.receive(SOON_S) == (Stats(), [])
            os.kill(process.pid, signal.SIGKILL)
            with pytest.raises(PeerLostError, match="went away"):
                client.receive(SOON_S)
    finally:
        process.kill()
        process.communicate()
