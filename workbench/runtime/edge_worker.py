"""The edge side as a process of its own: ``python -m workbench.runtime.edge_worker``, steered by a parent.

First line in: model, plan, devices, threads, what to set for a throttle. Then commands ``connect``,
``generate`` and ``cancel``; events out are ``ready``, ``connected``, ``token``, ``trace`` and ``error``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch

from workbench.devices import apply_options
from workbench.links import make_flow
from workbench.models import load_model
from workbench.plan import Plan
from workbench.profiles import DeviceProfile, LinkProfile
from workbench.runtime.decoding import Sampling
from workbench.runtime.edge import Conditions, EdgeClient
from workbench.runtime.process import ParentChannel, run_child
from workbench.runtime.timeline import Flows
from workbench.wire import KeyPair, connect

__all__: list[str] = []


def _serve(channel: ParentChannel, config: Mapping[str, Any]) -> None:
    torch.set_num_threads(config["threads"])
    applied = apply_options(config.get("options", {}))
    client = _client(config)
    client.cancelled = channel.cancelled
    channel.send({"event": "ready", "applied": applied})
    with contextlib.ExitStack() as connections:
        while (command := channel.receive()) is not None:
            try:
                _obey(channel, client, connections, command)
            except Exception as error:  # noqa: BLE001  (whatever it is, the parent has to hear of it)
                channel.fail(error)


def _client(config: Mapping[str, Any]) -> EdgeClient:
    return EdgeClient(
        load_model(config["model"]),
        Plan.from_dict(config["plan"]),
        device=_device(config["device"]),
        cloud_device=_device(config["cloud_device"]),
        feature=config["feature"],
        compute=config["compute"],
    )


def _device(data: Mapping[str, Any] | None) -> DeviceProfile | None:
    return DeviceProfile.from_dict(data) if data else None


def _obey(
    channel: ParentChannel, client: EdgeClient, connections: contextlib.ExitStack, command: Mapping[str, Any]
) -> None:
    if command["command"] == "connect":
        connections.close()
        keys = KeyPair(**command["keys"])
        transport = connections.enter_context(
            connect(command["address"], server_key=command["server_key"], keys=keys)
        )
        client.connect(transport)
        channel.send({"event": "connected"})
    elif command["command"] == "generate":
        _generate(channel, client, command)


def _generate(channel: ParentChannel, client: EdgeClient, command: Mapping[str, Any]) -> None:
    virtual = command["virtual_link"]
    conditions = Conditions(
        pace=command["pace"],
        cloud_pace=command["cloud_pace"],
        flows=_flows(LinkProfile.from_dict(virtual)) if virtual else None,
        facts=command["facts"],
    )
    trace = client.generate(
        command["prompts"],
        max_new_tokens=command["max_new_tokens"],
        sampling=Sampling.from_dict(command["sampling"]),
        prefill_chunk=command["prefill_chunk"],
        conditions=conditions,
        on_token=lambda piece: channel.send({"event": "token", "text": piece}),
    )
    channel.send({"event": "trace", "trace": trace.to_dict(), "pace": client.pace})


def _flows(link: LinkProfile) -> Flows:
    return {"up": make_flow("simulated", link, "up"), "down": make_flow("simulated", link, "down")}


if __name__ == "__main__":
    run_child(_serve)
