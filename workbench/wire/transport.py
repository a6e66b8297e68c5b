"""Messages over ZeroMQ: a DEALER for the client, a ROUTER for the server. The one door to zmq.

Each end has a context of its own, so that closing one ends nothing else, and no limit on queued messages:
one request at a time is what bounds them. Frames of 64 KiB and more are sent from where they lie.

Between processes CURVE (rfc.zeromq.org/spec/26) encrypts and lets in only whom the server knows::

    server_keys, client_keys = new_keys(), new_keys()       # by whoever starts both sides
    server = listen(keys=server_keys, allowed=[client_keys.public])
    client = connect(server.address, server_key=server_keys.public, keys=client_keys)

Without keys both ends speak plain text, on loopback only.
"""

from __future__ import annotations

import ipaddress
import re
import struct
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic

import zmq
from zmq.utils import z85

from workbench.errors import AddressInUseError, InputError, PeerLostError, TransportError
from workbench.wire.base import Frame, Server, Transport

__all__ = ["MAX_FRAME_BYTES", "KeyPair", "connect", "listen", "new_keys"]

MAX_FRAME_BYTES = 1 << 30
"""A frame that announces more ends its connection before memory is set aside."""

_LOOK_MS = 100  # how often a waiting client looks whether its connection still stands
_LINGER_MS = 1000
_COPIED_BELOW = 1 << 16  # bytes; sending a larger frame from where it lies is worth its bookkeeping
_FOREVER_MS = -1  # a fresh socket's
_MORE = int(zmq.SNDMORE)
_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
_EVENTS |= zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_ZAP_ADDRESS = "inproc://zeromq.zap.01"  # where libzmq asks, per context (rfc.zeromq.org/spec/27)


@dataclass(frozen=True)
class KeyPair:
    """A CURVE identity, Z85 text."""

    public: str
    secret: str = field(repr=False)


def new_keys() -> KeyPair:
    """A fresh identity."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


def connect(
    address: str,
    *,
    server_key: str | None = None,
    keys: KeyPair | None = None,
    allow_plain: bool = False,
    max_frame_bytes: int = MAX_FRAME_BYTES,
) -> Transport:
    """A client of the server at ``address``, e.g. ``tcp://127.0.0.1:5555``.

    Returns at once; whether somebody is there shows with the first answer.

    Args:
        server_key: the server's public key; None speaks plain text.
        keys: who this client is; a fresh identity by default.
        allow_plain: plain text beyond loopback too, for a network that is trusted.

    Raises:
        InputError: the address or a key cannot be, or it would be plain text beyond loopback.
    """
    if server_key is None:
        _check_plain(address, allow_plain)
    context = zmq.Context()
    try:
        return _Client(context, address, server_key, keys or new_keys(), max_frame_bytes)
    except BaseException:
        context.destroy(linger=0)
        raise


def listen(
    address: str = "tcp://127.0.0.1:*",
    *,
    keys: KeyPair | None = None,
    allowed: Iterable[str] | None = None,
    allow_plain: bool = False,
    max_frame_bytes: int = MAX_FRAME_BYTES,
) -> Server:
    """A server at ``address``; ``*`` as the port takes a free one, ``server.address`` tells which.

    Args:
        keys: the server's identity; None speaks plain text.
        allowed: public keys of the clients that may come in; None lets in all who know the server's key.
        allow_plain: plain text, open to everybody, beyond loopback too.

    Raises:
        AddressInUseError: somebody else listens there.
        InputError: the address or a key cannot be, or it would be plain text beyond loopback.
    """
    if keys is None:
        _check_plain(address, allow_plain)
        if allowed is not None:
            raise InputError("allowed clients are known by their keys: pass keys=new_keys() as well")
    context = zmq.Context()
    try:
        return _ZmqServer(context, address, keys, allowed, max_frame_bytes)
    except BaseException:
        context.destroy(linger=0)
        raise


class _Client(Transport):
    def __init__(
        self, context: zmq.Context, address: str, server_key: str | None, keys: KeyPair, max_frame_bytes: int
    ) -> None:
        self._context, self._address = context, address
        self._connected = False
        self._patience_ms = _FOREVER_MS
        self._end: str | None = None  # why no more can come
        self._socket = _socket(context, zmq.DEALER, address, max_frame_bytes)
        if server_key is not None:
            self.secure = True
            _set_key(self._socket, zmq.CURVE_SERVERKEY, server_key)
            _set_key(self._socket, zmq.CURVE_PUBLICKEY, keys.public)
            _set_key(self._socket, zmq.CURVE_SECRETKEY, keys.secret)
        self._monitor = self._socket.get_monitor_socket(_EVENTS)
        try:
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self._monitor.close(linger=0)
            raise InputError(
                f"nothing can connect to {address!r} ({error}): write tcp://HOST:PORT"
            ) from error

    def _put(self, parts: Sequence[Frame]) -> None:
        if self._end is not None:
            raise PeerLostError(self._end)
        _send(self._socket, parts)

    def _take(self, timeout_s: float) -> Sequence[Frame]:
        until = monotonic() + timeout_s
        while self._end is None:
            left_ms = max(0, round((until - monotonic()) * 1000))
            parts = self._poll(min(left_ms, _LOOK_MS))
            if parts is not None:
                return parts
            self._watch()
            if left_ms <= _LOOK_MS and self._end is None:
                raise PeerLostError(self._silence(timeout_s))
        parts = self._poll(0)  # what came before the end
        if parts is None:
            raise PeerLostError(self._end)
        return parts

    def _poll(self, timeout_ms: int) -> Sequence[Frame] | None:
        if self._socket.closed:
            return None
        self._patience_ms = _be_patient(self._socket, timeout_ms, self._patience_ms)
        try:
            return _receive(self._socket)
        except zmq.Again:
            return None

    def _watch(self) -> None:
        """Learn from the socket's monitor whether the connection still stands."""
        while self._monitor.poll(0):
            event, _ = struct.unpack("=Hi", self._monitor.recv_multipart()[0])
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._connected = True
            elif event != zmq.EVENT_DISCONNECTED:
                self._end = (
                    f"{self._address} refused this client: its keys are not those that the server expects, "
                    "or what listens there is no server of the workbench"
                )
            elif self._connected:
                self._end = f"the other side at {self._address} went away: the connection closed"

    def _silence(self, timeout_s: float) -> str:
        if self._connected:
            return f"{self._address} did not answer within {timeout_s:g} s, though the connection stands"
        return f"nobody answered at {self._address} within {timeout_s:g} s: is the server running there?"

    def close(self) -> None:
        if self._context.closed:
            return
        linger_ms = 0 if self._end else _LINGER_MS
        self._end = self._end or "this connection is closed: make a new one"
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=linger_ms)
        self._context.term()


class _ZmqServer(Server):
    def __init__(
        self,
        context: zmq.Context,
        address: str,
        keys: KeyPair | None,
        allowed: Iterable[str] | None,
        max_frame_bytes: int,
    ) -> None:
        self._context = context
        self._patience_ms = _FOREVER_MS
        self._doorman = None if allowed is None else _Doorman(context, allowed)
        self._socket = _socket(context, zmq.ROUTER, address, max_frame_bytes)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        if keys is not None:
            self.secure = True
            self._socket.setsockopt(zmq.CURVE_SERVER, 1)
            _set_key(self._socket, zmq.CURVE_SECRETKEY, keys.secret)
        _bind(self._socket, address)
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def _put(self, peer: bytes, parts: Sequence[Frame]) -> None:
        try:
            _send(self._socket, [peer, *parts])
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise TransportError(f"client {peer!r} cannot be answered: {error}") from error
            raise PeerLostError(f"client {peer!r} is gone") from error

    def _take(self, timeout_s: float) -> tuple[bytes, Sequence[Frame]] | None:
        self._patience_ms = _be_patient(self._socket, max(0, round(timeout_s * 1000)), self._patience_ms)
        try:
            peer, *parts = _receive(self._socket)
        except zmq.Again:
            return None
        return bytes(peer), parts

    def close(self) -> None:
        if self._context.closed:
            return
        self._socket.close(linger=_LINGER_MS)
        if self._doorman is not None:
            self._doorman.close()
        self._context.term()


class _Doorman:
    """Answers libzmq's question who may come in (ZAP): those whose public key is on the list."""

    def __init__(self, context: zmq.Context, allowed: Iterable[str]) -> None:
        self._allowed = {_raw_key(key) for key in allowed}
        self._socket = context.socket(zmq.REP)
        self._socket.bind(_ZAP_ADDRESS)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="curve-doorman", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            if self._socket.poll(_LOOK_MS):
                self._socket.send_multipart(self._verdict(self._socket.recv_multipart()))
        self._socket.close(linger=0)

    def _verdict(self, request: Sequence[bytes]) -> list[bytes]:
        version, request_id, _domain, _address, _identity, mechanism, *credentials = request
        known = mechanism == b"CURVE" and len(credentials) == 1 and credentials[0] in self._allowed
        status = (b"200", b"OK") if known else (b"400", b"this key is not on the list")
        return [version, request_id, *status, b"", b""]

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def _socket(context: zmq.Context, kind: int, address: str, max_frame_bytes: int) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = context.socket(kind)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, max_frame_bytes)
    socket.setsockopt(zmq.IPV6, ":" in _host(address))
    return socket


def _be_patient(socket: zmq.Socket[bytes], timeout_ms: int, before_ms: int) -> int:
    """Let receiving take so long at most; setting it again costs more than looking."""
    if timeout_ms != before_ms:
        socket.setsockopt(zmq.RCVTIMEO, timeout_ms)
    return timeout_ms


def _send(socket: zmq.Socket[bytes], parts: Sequence[Frame]) -> None:
    more = _MORE
    for left in range(len(parts) - 1, -1, -1):
        socket.send(parts[-1 - left], more if left else 0, copy=len(parts[-1 - left]) < _COPIED_BELOW)


def _receive(socket: zmq.Socket[bytes]) -> list[Frame]:
    frame = socket.recv(copy=False)
    parts: list[Frame] = [frame.buffer]
    while frame.more:
        frame = socket.recv(copy=False)
        parts.append(frame.buffer)
    return parts


def _bind(socket: zmq.Socket[bytes], address: str) -> None:
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        if error.errno == zmq.EADDRINUSE:
            raise AddressInUseError(
                f"{address} is in use: end what listens there, or take another port (* takes a free one)"
            ) from error
        raise InputError(f"nothing can listen at {address!r} ({error}): write tcp://HOST:PORT") from error


def _raw_key(key: str) -> bytes:
    try:
        raw = z85.decode(key.encode("ascii")) if len(key) == 40 else b""
    except (ValueError, KeyError, struct.error):
        raw = b""
    if len(raw) != 32:
        raise InputError("a CURVE key is 40 characters of Z85 text, as new_keys() gives: this one is not")
    return raw


def _set_key(socket: zmq.Socket[bytes], option: int, key: str) -> None:
    _raw_key(key)
    socket.setsockopt(option, key.encode("ascii"))


def _check_plain(address: str, allow_plain: bool) -> None:
    if not allow_plain and not _is_local(_host(address)):
        raise InputError(
            f"{address} is reached from other machines: pass CURVE keys (see new_keys), "
            "or allow_plain=True on a network that you trust"
        )


def _host(address: str) -> str:
    match = re.fullmatch(r"tcp://(\[[^\]]+\]|[^:/]+):(\d{1,5}|\*)", address)
    if match is None or (match[2] != "*" and int(match[2]) > 65535):
        raise InputError(f"{address!r} is no address: write tcp://HOST:PORT, with a port up to 65535")
    return match[1].strip("[]")


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
