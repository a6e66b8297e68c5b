"""Children end with their parent, report what went wrong, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable

import psutil
import pytest

from workbench.errors import CheckpointError, ModelNotFoundError, PeerLostError
from workbench.runtime.process import Child

WORKER = "workbench.runtime.cloud_worker"
START_S = 300  # a busy machine may take long to import torch


def config(**changes: object) -> dict:
    from workbench.wire import new_keys

    keys = new_keys()
    common = {"models": {"tiny": "tiny"}, "threads": 1, "device": None, "compute": "cpu", "allowed": []}
    return {**common, "keys": {"public": keys.public, "secret": keys.secret}, **changes}


def test_a_child_is_ready_and_ends_when_closed(gone: Callable[[int], bool]) -> None:
    child = Child(WORKER, config(), {})
    assert child.receive(START_S)["event"] == "ready"
    child.close()
    child.close()
    assert gone(child.pid)


def test_an_error_of_the_child_keeps_its_class() -> None:
    child = Child(WORKER, config(models={"a": "no-such-model"}), {"HF_HUB_OFFLINE": "1"})
    try:
        with pytest.raises((ModelNotFoundError, CheckpointError), match="no-such-model"):
            child.receive(START_S)
    finally:
        child.close()


def test_a_child_that_is_killed_is_noticed_and_says_how() -> None:
    child = Child(WORKER, config(), {})
    child.receive(START_S)
    os.kill(child.pid, signal.SIGKILL)
    try:
        with pytest.raises(PeerLostError, match="ended with code -9"):
            child.receive(10)
    finally:
        child.close()


def test_children_end_when_their_parent_is_killed(gone: Callable[[int], bool]) -> None:
    script = textwrap.dedent("""
        import sys, time
        sys.path.insert(0, "tests/runtime")
        from test_process import START_S, WORKER, config
        from workbench.runtime.process import Child
        child = Child(WORKER, config(), {})
        child.receive(START_S)
        print(child.pid, flush=True)
        time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    assert gone(pid)
