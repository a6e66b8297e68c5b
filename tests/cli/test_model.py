"""``workbench model profile``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.profiles.tables import table_of, with_times
from workbench import cli
from workbench.models import load_model
from workbench.profiles import ModelProfile


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> ModelProfile:
    """What was measured, without the seconds that it takes: tests/profiler does it for real."""
    profile = load_model("tiny").profile
    table = table_of(profile.n_blocks, lambda block, tokens, context, batch: 1e-3 * (block + 1))
    found = with_times(profile, (16, table), (4, table))

    def measure(model: object, *, bits: Any, again: bool, on_step: Any) -> ModelProfile:
        on_step("every block with weights of 16 bits")
        return found

    monkeypatch.setattr("workbench.cli.model.measure_model", measure)
    return found


def test_each_width_has_its_table(measured: ModelProfile, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["model", "profile", "--bits", "16", "4"]) == 0
    printed = capsys.readouterr()
    assert "measuring every block" in printed.err
    assert "16 bits: 0.10 ms per pass of a stage besides, 0.50 ms more after a pause" in printed.out
    assert "4 bits" in printed.out
    row = next(line for line in printed.out.splitlines() if line.startswith("prompt 64, batch 4"))
    assert "1.00–8.00 ms" in row
    assert "36.00 ms" in row


def test_the_file_is_a_model_that_predict_takes(
    measured: ModelProfile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.json"
    options = ["--device", "raspberry-pi-5", "--out", str(path), "--json"]
    assert cli.main(["model", "profile", *options]) == 0
    shown = ModelProfile.from_dict(json.loads(capsys.readouterr().out))
    assert ModelProfile.load(path) == shown
    assert [times.device for times in shown.times] == ["raspberry-pi-5"]
    assert replace(shown, times=()) == replace(measured, times=())
    assert cli.main(["predict", "--split", "3", "--profile", str(path), "--json"]) == 0
    trace = json.loads(capsys.readouterr().out)["plans"]["split at 3"]["trace"]
    prefill = [s for s in trace["spans"] if (s["place"], s["kind"], s["token"]) == ("edge", "compute", 0)]
    assert prefill[0]["duration_s"] == pytest.approx(1e-4 + 1e-3 * (1 + 2 + 3) + 1e-4)


def test_a_file_is_not_written_over_unless_forced(
    measured: ModelProfile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "there.json"
    path.write_text("mine", encoding="utf-8")
    assert cli.main(["model", "profile", "--out", str(path)]) == 2
    assert "--force" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "mine"
    assert cli.main(["model", "profile", "--out", str(path), "--force"]) == 0
    assert ModelProfile.load(path) == measured


def test_a_profile_that_is_none_says_how_to_make_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["predict", "--split", "3", "--profile", str(tmp_path / "none.json")]) == 2
    assert "workbench model profile" in capsys.readouterr().err
