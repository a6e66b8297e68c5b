"""The shipped model, a cloud in a thread, and requests over the in-process transport."""

import threading
from collections.abc import Callable, Iterator

import pytest
import torch

from workbench.models import Model, load_model
from workbench.plan import CLOUD, Plan
from workbench.runtime import CloudServer, EdgeClient
from workbench.wire import in_process_pair


@pytest.fixture(scope="session")
def model() -> Model:
    torch.set_num_threads(1)
    return load_model("tiny")


@pytest.fixture
def edge_of(model: Model) -> Iterator[Callable[..., EdgeClient]]:
    """Makes edges, each with a cloud of its own where the plan has one."""
    stop, threads = threading.Event(), []

    def make(plan: Plan, **settings: object) -> EdgeClient:
        if CLOUD not in plan.partition.places:
            return EdgeClient(model, plan, **settings)
        transport, server = in_process_pair()
        cloud = CloudServer(model, server, device=settings.get("cloud_device"))
        threads.append(threading.Thread(target=cloud.run, args=(stop.is_set,)))
        threads[-1].start()
        return EdgeClient(model, plan, transport, **settings)

    yield make
    stop.set()
    for thread in threads:
        thread.join(timeout=30)
