"""Accuracies come from a process of their own: of the last plan asked for, never during a measurement."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import workbench as wb
from workbench.errors import WorkbenchError
from workbench.evaluation import evaluate
from workbench.exploration import Appraiser
from workbench.models import Model
from workbench.plan import Plan
from workbench.records import Accuracy


class Listener:
    """What an appraiser has said."""

    def __init__(self) -> None:
        self.found: list[tuple[Plan, Accuracy]] = []
        self.failed: list[tuple[Plan, WorkbenchError]] = []

    def wait(self, done: Callable[[], bool], within_s: float = 120.0) -> None:
        end = time.monotonic() + within_s
        while not done():
            assert time.monotonic() < end, (self.found, self.failed)
            time.sleep(0.02)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def appraiser(model: Model, listener: Listener) -> Iterator[Appraiser]:
    made = Appraiser(
        model, lambda *found: listener.found.append(found), lambda *failed: listener.failed.append(failed)
    )
    yield made
    made.close()


@pytest.mark.slow
def test_it_finds_what_evaluate_finds_and_only_of_the_last_plan(
    appraiser: Appraiser, listener: Listener, model: Model
) -> None:
    plans = [wb.split(model, at=k, edge_bits=8) for k in range(4)]
    for plan in plans:
        appraiser.ask(plan)
        appraiser.ask(plan)  # asked twice is asked once
    listener.wait(lambda: bool(listener.found))
    assert [plan for plan, _ in listener.found] == [plans[-1]]
    assert appraiser.known(plans[-1]) == listener.found[0][1] == evaluate(model, plans[-1])
    assert appraiser.known(plans[0]) is None


@pytest.mark.slow
def test_held_it_evaluates_nothing_and_goes_on_afterwards(
    appraiser: Appraiser, listener: Listener, model: Model
) -> None:
    plan = wb.split(model, at=5, edge_bits=8)
    appraiser.ask(plan)
    with appraiser.hold():
        time.sleep(2)
        assert listener.found == []
    listener.wait(lambda: bool(listener.found))
    assert listener.found[0][0] == plan


def test_closed_it_leaves_no_process(appraiser: Appraiser, model: Model) -> None:
    appraiser.ask(wb.split(model, at=2))
    time.sleep(1)
    appraiser.close()
    assert not [p for p in psutil.Process().children(recursive=True) if "evaluation" in " ".join(p.cmdline())]
    assert not [t for t in threading.enumerate() if t.name == "appraiser"]


def test_a_model_that_is_gone_is_said(listener: Listener, model: Model, tmp_path: Path) -> None:
    gone = replace(model, files=replace(model.files, folder=tmp_path / "gone"))
    made = Appraiser(gone, lambda *_: None, lambda *failed: listener.failed.append(failed))
    try:
        made.ask(wb.split(model, at=2))
        listener.wait(lambda: bool(listener.failed))
    finally:
        made.close()
    assert "gone" in str(listener.failed[0][1])
