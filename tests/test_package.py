"""The public face: short, sorted, and light until a model is asked for."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

import pytest

import workbench

HEAVY = (
    "torch",
    "transformers",
    "tokenizers",
    "optuna",
    "plotly",
    "pandas",
    "zmq",
    "ipywidgets",
    "jupyterlab",
)
LIGHT_ROOMS = (
    "workbench",
    "workbench.cli",
    "workbench.cost",
    "workbench.errors",
    "workbench.plan",
    "workbench.planner",
    "workbench.profiles",
    "workbench.routing",
    "workbench.trace",
)


def _loaded_after(statement: str) -> set[str]:
    script = f"import sys, json\n{statement}\njson.dump(sorted(sys.modules), sys.stdout)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_public_names_are_sorted_and_there() -> None:
    assert sorted(workbench.__all__) == workbench.__all__
    assert dir(workbench) == workbench.__all__
    for name in workbench.__all__:
        assert getattr(workbench, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        workbench.nonsense  # noqa: B018


@pytest.mark.parametrize("room", LIGHT_ROOMS)
def test_a_light_room_brings_nothing_heavy(room: str) -> None:
    assert not _loaded_after(f"import {room}") & set(HEAVY)


def test_plots_bring_no_torch() -> None:
    assert not _loaded_after("import workbench.plots") & {"torch", "transformers"}


def test_no_public_name_is_that_of_a_room() -> None:
    """Importing a room of that name would put the module in the name's place."""
    rooms = {module.name for module in pkgutil.iter_modules(workbench.__path__)}
    assert not rooms & set(workbench.__all__)
