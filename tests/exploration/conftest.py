"""Settings to explore: of the shipped model, of one too large for its edge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import workbench as wb
from workbench.exploration import Run, Setting
from workbench.models import Model
from workbench.trace import RequestTrace


def make_setting(**changes: Any) -> Setting:
    """The shipped model between a Raspberry Pi and an H100 over LTE, cut behind block 3."""
    pi, h100, lte = wb.device("raspberry-pi-5"), wb.device("h100-sxm"), wb.link("lte")
    return replace(Setting("tiny", 8, pi, h100, lte, split=3, back=6, edge_bits=4, wire="int8"), **changes)


def make_run(setting: Setting, predicted: RequestTrace, name: str = "a run") -> Run:
    """A run that took just what was predicted, but for its label."""
    facts = {**predicted.facts, "link kind": setting.link_kind}
    measured = replace(
        predicted, label="measured", bytes_label="measured", clock="wall", text="text", facts=facts
    )
    return Run(name, setting, predicted, measured, "2026-11-25T12:00:00+00:00")


@pytest.fixture
def setting() -> Setting:
    return make_setting()


@pytest.fixture(scope="session")
def model() -> Model:
    return wb.load_model("tiny")
