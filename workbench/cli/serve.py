"""``workbench serve``: the cloud side."""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch

from workbench.cli.options import device_of, model_of
from workbench.devices import threads_for
from workbench.errors import InputError
from workbench.runtime.cloud import CloudServer
from workbench.runtime.stages import HOST_KIND
from workbench.wire.transport import KeyPair, listen, new_keys

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM, which are the ways to end it and no failure."""
    model, keys = model_of(args), _keys(args.key_file)
    device = None if args.device == HOST_KIND else device_of(args.device)
    torch.set_num_threads(threads_for(model.profile))
    with _until_signalled() as stopped, listen(_address(args.listen), keys=keys) as server:
        ready = {
            "address": server.address.removeprefix("tcp://"),
            "server_key": keys.public,
            "model": model.name,
            "fingerprint": model.fingerprint,
        }
        _announce(ready, as_json=args.json)
        CloudServer(model, server, device=device).run(stopped.is_set)
    return 0


def _announce(ready: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(ready), flush=True)  # one line: whoever started us reads it and goes on
        return
    print(f"ready: {ready['model']} at {ready['address']}, key {ready['server_key']}")
    print("on the edge:")
    print(f"  workbench generate --cloud {ready['address']} --server-key='{ready['server_key']}' …")
    print("Ctrl-C ends it", flush=True)


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 2**16):
        raise InputError(f"--listen takes HOST:PORT, as 127.0.0.1:5555 or 0.0.0.0:5555; got {text!r}")
    return f"tcp://{host}:{port if int(port) else '*'}"


def _keys(path: Path | None) -> KeyPair:
    """The key pair of a file, made if missing; a fresh one without a file."""
    if path is None:
        return new_keys()
    if not path.exists():
        return _kept(path, new_keys())
    try:
        return KeyPair(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} holds no key pair ({error}): name another file, and one will be made"
        ) from error


def _kept(path: Path, keys: KeyPair) -> KeyPair:
    try:
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            json.dump({"public": keys.public, "secret": keys.secret}, file)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): name another file") from error
    return keys


@contextmanager
def _until_signalled() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C or SIGTERM; a second one ends the process at once."""
    stopped = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.set()
        signal.signal(number, signal.SIG_DFL)

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
