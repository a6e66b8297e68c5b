"""What the cloud answers to clients that get the order wrong, vanish, or ask for the impossible."""

import threading
from collections.abc import Iterator

import pytest

from workbench.errors import InputError, PlanError, ProtocolError
from workbench.models import Model
from workbench.plan import EDGE, Partition, Plan
from workbench.runtime import CloudServer, cloud
from workbench.wire import (
    Forward,
    Generate,
    Hello,
    Open,
    Ping,
    Pong,
    Stats,
    Transport,
    Welcome,
    in_process_pair,
)
from workbench.wire.messages import Message


@pytest.fixture
def client(model: Model) -> Iterator[Transport]:
    transport, server = in_process_pair()
    stop = threading.Event()
    thread = threading.Thread(target=CloudServer(model, server).run, args=(stop.is_set,))
    thread.start()
    yield transport
    stop.set()
    thread.join(30)


def ask(client: Transport, message: Message) -> Message:
    client.send(message)
    return client.receive(60)[0]


def hello(model: Model, partition: Partition | None = None, **changes: object) -> Hello:
    plan = Plan.of("tiny", partition or Partition.split(model.n_blocks, 3))
    return Hello(**{"fingerprints": {"tiny": model.fingerprint}, "plan": plan.to_dict(), **changes})


def test_a_session_needs_a_hello_and_a_forward_needs_a_session(model: Model, client: Transport) -> None:
    with pytest.raises(ProtocolError, match="Hello"):
        ask(client, Open(1, 1))
    assert isinstance(ask(client, hello(model)), Welcome)
    for message in (Forward(5, 0, 0, ()), Generate(5, 1, ())):
        with pytest.raises(ProtocolError, match="session 5 is not open"):
            ask(client, message)


def test_an_impossible_plan_is_refused_and_the_cloud_goes_on(model: Model, client: Transport) -> None:
    with pytest.raises(PlanError):
        ask(client, hello(model, plan={"model": "tiny", "features": {}}))
    with pytest.raises(InputError, match="no stage in the cloud"):
        ask(client, hello(model, Partition.unsplit(model.n_blocks, EDGE)))
    with pytest.raises(PlanError):
        ask(client, hello(model, Partition.split(model.n_blocks + 4, 2)))
    assert isinstance(ask(client, Ping(0.0)), Pong)


def test_a_client_that_lost_count_is_told(model: Model, client: Transport) -> None:
    ask(client, hello(model))
    client.send(Open(1, 1))
    with pytest.raises(ProtocolError, match="holds 0 tokens, not 7"):
        ask(client, Forward(1, 0, 7, ()))


def test_sessions_are_bounded_and_forgotten_when_nobody_uses_them(
    model: Model, client: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "_MAX_SESSIONS", 2)
    ask(client, hello(model))
    client.send(Open(1, 1))
    client.send(Open(2, 1))
    with pytest.raises(InputError, match="sessions are open already"):
        ask(client, Open(3, 1))
    monkeypatch.setattr(cloud, "_FORGET_AFTER_S", 0.0)
    client.send(Open(3, 1))
    assert ask(client, Stats()).values["memory_bytes"] > 0
