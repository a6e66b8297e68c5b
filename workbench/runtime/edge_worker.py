"""The edge side as a process of its own: ``python -m workbench.runtime.edge_worker``, steered by a parent.

First line in: models, plan, features, devices, threads, slots, what to set for a throttle. Then commands
``connect``, ``generate`` and ``cancel``; events out are ``ready``, ``connected``, ``token``, ``trace`` and
``error``. A slot is one conversation with the cloud: as many requests run at once as there are slots, and
their steps take turns, as those of one device do.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch

from workbench.devices import apply_options
from workbench.links import make_flow
from workbench.models import load_model
from workbench.plan import EDGE, Plan
from workbench.profiles import DeviceProfile, LinkProfile
from workbench.runtime.decoding import Sampling
from workbench.runtime.edge import Conditions, EdgeClient
from workbench.runtime.modules import Shelf, known_models
from workbench.runtime.process import ParentChannel, run_child
from workbench.runtime.timeline import Flows
from workbench.wire import KeyPair, connect

__all__: list[str] = []


def _serve(channel: ParentChannel, config: Mapping[str, Any]) -> None:
    torch.set_num_threads(config["threads"])
    applied = apply_options(config.get("options", {}))
    slots = _slots(config)
    channel.cancels.extend(client.cancelled for client in slots)
    channel.send({"event": "ready", "applied": applied})
    with contextlib.ExitStack() as stack:
        connections = stack.enter_context(contextlib.ExitStack())
        run = _runner(channel, slots, stack)
        while (command := channel.receive()) is not None:
            try:
                if command["command"] == "connect":
                    _connect(slots, connections, command)
                    channel.send({"event": "connected"})
                elif command["command"] == "generate":
                    run(command)
            except Exception as error:  # noqa: BLE001  (whatever it is, the parent has to hear of it)
                channel.fail(error)


def _slots(config: Mapping[str, Any]) -> list[EdgeClient]:
    models = {name: load_model(reference) for name, reference in config["models"].items()}
    plan = Plan.from_dict(config["plan"])
    modules = Shelf(EDGE, compute=config["compute"]).modules(plan, config["features"], known_models(models))
    client = partial(
        EdgeClient,
        models[plan.model_of(config["features"][0])],
        plan,
        device=_device(config["device"]),
        cloud_device=_device(config["cloud_device"]),
        feature=config["features"][0],
        modules=modules,
    )
    return [client() for _ in range(config["slots"])]


def _device(data: Mapping[str, Any] | None) -> DeviceProfile | None:
    return DeviceProfile.from_dict(data) if data else None


def _connect(slots: list[EdgeClient], connections: contextlib.ExitStack, command: Mapping[str, Any]) -> None:
    connections.close()
    keys = KeyPair(**command["keys"])
    for client in slots:
        transport = connect(command["address"], server_key=command["server_key"], keys=keys)
        client.connect(connections.enter_context(transport))


def _runner(
    channel: ParentChannel, slots: list[EdgeClient], stack: contextlib.ExitStack
) -> Callable[[Mapping[str, Any]], object]:
    """What runs a request: here with one slot, and else in as many threads as there are slots."""
    if len(slots) == 1:
        return partial(_generate, channel, slots[0])
    free: queue.SimpleQueue[EdgeClient] = queue.SimpleQueue()
    for client in slots:
        free.put(client)
    pool = stack.enter_context(ThreadPoolExecutor(len(slots), "slot"))
    return lambda command: pool.submit(_in_a_slot, channel, free, command)


def _in_a_slot(
    channel: ParentChannel, free: queue.SimpleQueue[EdgeClient], command: Mapping[str, Any]
) -> None:
    client = free.get()
    try:
        _generate(channel, client, command)
    finally:
        free.put(client)


def _generate(channel: ParentChannel, client: EdgeClient, command: Mapping[str, Any]) -> None:
    request, virtual = command["request"], command["virtual_link"]
    try:
        trace = client.generate(
            command["prompts"],
            max_new_tokens=command["max_new_tokens"],
            sampling=Sampling.from_dict(command["sampling"]),
            prefill_chunk=command["prefill_chunk"],
            conditions=Conditions(
                pace=command["pace"],
                cloud_pace=command["cloud_pace"],
                flows=_flows(LinkProfile.from_dict(virtual)) if virtual else None,
                facts=command["facts"],
            ),
            on_token=lambda piece: channel.send({"event": "token", "request": request, "text": piece}),
            feature=command["feature"],
        )
    except Exception as error:  # noqa: BLE001  (whatever it is, the parent has to hear of it)
        channel.fail(error, request)
    else:
        channel.send({"event": "trace", "request": request, "trace": trace.to_dict(), "pace": client.pace})


def _flows(link: LinkProfile) -> Flows:
    return {"up": make_flow("simulated", link, "up"), "down": make_flow("simulated", link, "down")}


if __name__ == "__main__":
    run_child(_serve)
