"""The cloud side as a process of its own: ``python -m workbench.runtime.cloud_worker``, steered by a parent.

First line in: model, device, threads, allowed client keys. First event out: ``ready`` with address and key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from workbench.models import Model, load_model
from workbench.profiles import DeviceProfile
from workbench.runtime.cloud import CloudServer
from workbench.runtime.process import ParentChannel
from workbench.wire import KeyPair, listen

__all__ = ["serve"]


def serve(
    model: Model,
    address: str,
    *,
    keys: KeyPair | None,
    allowed: Iterable[str] | None = None,
    allow_plain: bool = False,
    device: DeviceProfile | None = None,
    compute: str = "cpu",
    on_ready: Callable[[str], None],
    stopped: Callable[[], bool],
) -> None:
    """Serve a model's cloud side until ``stopped`` says so.

    Args:
        address: where to listen, e.g. ``tcp://127.0.0.1:5555``; ``*`` as the port takes a free one.
        keys: the server's CURVE identity; None speaks plain text.
        allowed: public keys of the clients that may come in; None lets in all who know the server's key.
        on_ready: is told the address once clients may come.

    Raises:
        AddressInUseError: somebody else listens there.
    """
    with listen(address, keys=keys, allowed=allowed, allow_plain=allow_plain) as server:
        cloud = CloudServer(model, server, device=device, compute=compute)
        on_ready(server.address)
        cloud.run(stopped)


def main() -> None:
    channel = ParentChannel()
    config = channel.receive()
    if config is None:
        return
    try:
        _serve(channel, config)
    except Exception as error:
        channel.fail(error)


def _serve(channel: ParentChannel, config: Mapping[str, Any]) -> None:
    torch.set_num_threads(config["threads"])
    serve(
        load_model(config["model"]),
        "tcp://127.0.0.1:*",
        keys=KeyPair(**config["keys"]),
        allowed=config["allowed"],
        device=DeviceProfile.from_dict(config["device"]) if config["device"] else None,
        compute=config["compute"],
        on_ready=lambda address: channel.send({"event": "ready", "address": address}),
        stopped=channel.closed.is_set,
    )


if __name__ == "__main__":
    main()
