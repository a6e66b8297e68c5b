"""``workbench model sensitivity``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench import cli
from workbench.evaluation import Additivity
from workbench.plan import Partition, Plan
from workbench.planner import LossTable

TABLE = LossTable("tiny", {8: (0.001, -0.002), 4: (0.1, 0.2)}, {"int8": 0.01}, base=1.5, suite="full")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What was asked for, without the minutes that it takes: tests/evaluation does it for real."""
    seen: dict[str, Any] = {}

    def measure(model: object, *, on_step: Callable[[int, int, str], None], **how: Any) -> LossTable:
        seen.update(how)
        on_step(1, 1, "16 bits")
        return TABLE

    def check(model: object, table: LossTable, **how: Any) -> tuple[Additivity, ...]:
        seen.update(n=how["n"])
        return (Additivity(Plan.of("tiny", Partition.unsplit(2, "edge", [8, 4])), 0.201, 0.2),)

    monkeypatch.setattr("workbench.cli.sensitivity.sensitivity", measure)
    monkeypatch.setattr("workbench.cli.sensitivity.additivity", check)
    return seen


def test_the_table_is_shown_and_written(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "losses.json"
    assert cli.main(["model", "sensitivity", "--suite", "full", "--bits", "8", "4", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "evaluated 1 of 1: 16 bits" in printed.err
    assert "-0.00200" in printed.out
    assert "int8" in printed.out
    assert (asked["suite"], list(asked["bits"])) == ("full", [8, 4])
    assert LossTable.load(out) == TABLE


def test_sums_are_checked_on_request(asked: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["model", "sensitivity", "--check", "1", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["label"] == "measured"
    assert data["check"][0]["measured"] == 0.2
    assert asked["n"] == 1
    assert cli.main(["model", "sensitivity", "--check", "1"]) == 0
    assert "+0.20100" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_said(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert cli.main(["model", "sensitivity", "--out", str(tmp_path / "file" / "losses.json")]) == 2
    assert "--out" in capsys.readouterr().err
