"""The cloud side as a process of its own: ``python -m workbench.runtime.cloud_worker``, steered by a parent.

First line in: models, device, threads, what to set for a throttle, where to listen, allowed client keys.
First event out: ``ready`` with the address and what was set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from workbench.devices import apply_options
from workbench.models import load_model
from workbench.profiles import DeviceProfile
from workbench.runtime.cloud import CloudServer
from workbench.runtime.process import ParentChannel, run_child
from workbench.wire import KeyPair, listen

__all__: list[str] = []


def _serve(channel: ParentChannel, config: Mapping[str, Any]) -> None:
    torch.set_num_threads(config["threads"])
    applied = apply_options(config.get("options", {}))
    device = DeviceProfile.from_dict(config["device"]) if config["device"] else None
    models = [load_model(reference) for reference in config["models"].values()]
    keys = KeyPair(**config["keys"]) if config["keys"] else None  # plain text, to measure its cost
    with listen(f"tcp://{config.get('host', '127.0.0.1')}:*", keys=keys, allowed=config["allowed"]) as server:
        cloud = CloudServer(models, server, device=device, compute=config["compute"])
        channel.send({"event": "ready", "address": server.address, "applied": applied})
        cloud.run(channel.closed.is_set)


if __name__ == "__main__":
    run_child(_serve)
