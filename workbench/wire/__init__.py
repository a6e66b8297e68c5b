"""How edge and cloud talk: typed messages, tensors as raw bytes, ZeroMQ and its in-process twin.

The tensor codec and ZeroMQ are fetched when first used: ``workbench.wire.sizes`` needs neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.wire.messages import (
    VERSION,
    Cancel,
    Close,
    Failure,
    Forward,
    Generate,
    Hello,
    Message,
    Open,
    Ping,
    Pong,
    Result,
    Rewind,
    Shutdown,
    Stats,
    StatsReport,
    TensorHeader,
    Timing,
    Token,
    Welcome,
    failure_of,
    ids_of,
    pack_ids,
)

if TYPE_CHECKING:
    from workbench.wire.base import Frame, Request, Server, Transport
    from workbench.wire.codec import decode_tensors, encode_tensors
    from workbench.wire.in_process import in_process_pair
    from workbench.wire.transport import KeyPair, connect, listen, new_keys

_HOMES = {
    "workbench.wire.base": ("Frame", "Request", "Server", "Transport"),
    "workbench.wire.codec": ("decode_tensors", "encode_tensors"),
    "workbench.wire.in_process": ("in_process_pair",),
    "workbench.wire.transport": ("KeyPair", "connect", "listen", "new_keys"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "VERSION",
    "Cancel",
    "Close",
    "Failure",
    "Forward",
    "Frame",
    "Generate",
    "Hello",
    "KeyPair",
    "Message",
    "Open",
    "Ping",
    "Pong",
    "Request",
    "Result",
    "Rewind",
    "Server",
    "Shutdown",
    "Stats",
    "StatsReport",
    "TensorHeader",
    "Timing",
    "Token",
    "Transport",
    "Welcome",
    "connect",
    "decode_tensors",
    "encode_tensors",
    "failure_of",
    "ids_of",
    "in_process_pair",
    "listen",
    "new_keys",
    "pack_ids",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
