"""``workbench device calibrate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench import cli, profiles
from workbench.profiles import DeviceProfile, Source


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What was measured, without the seconds that it takes: tests/profiler does it for real."""
    again_asked: list[bool] = []

    def calibrate(model: object, *, again: bool, on_step: Any) -> DeviceProfile:
        again_asked.append(again)
        on_step("blocks with weights of 16 bits")
        data = profiles.device("raspberry-pi-5").to_dict()
        sources = {"flops": Source("medians", "measured"), "idle_w": Source("a guess", "modelled")}
        return DeviceProfile.from_dict({**data, "name": "host", "kind": "host", "sources": sources})

    monkeypatch.setattr("workbench.cli.device.calibrate_host", calibrate)
    return again_asked


def test_what_was_measured_is_shown_with_its_labels(
    measured: list[bool], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["device", "calibrate"]) == 0
    printed = capsys.readouterr()
    assert "measured" in next(line for line in printed.out.splitlines() if line.startswith("flops"))
    assert "modelled" in next(line for line in printed.out.splitlines() if line.startswith("idle_w"))
    assert "measuring blocks" in printed.err
    assert measured == [False]


def test_the_file_is_a_device_that_edge_takes(
    measured: list[bool], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my-laptop.json"
    assert cli.main(["device", "calibrate", "--out", str(path), "--json"]) == 0
    shown = DeviceProfile.from_dict(json.loads(capsys.readouterr().out))
    device = profiles.device(str(path))
    assert device == shown
    assert device.name == "my-laptop"
    assert device.kind != "host"  # on another machine it is a device like any
    options = ["--split", "3", "--edge", str(path), "--cloud", str(path), "--json"]
    assert cli.main(["predict", *options]) == 0
    assert json.loads(capsys.readouterr().out)["edge"]["name"] == "my-laptop"


def test_a_file_is_not_written_over_unless_forced(
    measured: list[bool], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "there.json"
    path.write_text("mine")
    assert cli.main(["device", "calibrate", "--out", str(path)]) == 2
    assert "--force" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert measured == []
    assert cli.main(["device", "calibrate", "--out", str(path), "--force"]) == 0
    assert profiles.device(str(path)).name == "there"
    assert measured == [True]


def test_a_file_that_edge_would_not_know_for_one_is_refused(
    measured: list[bool], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["device", "calibrate", "--out", str(tmp_path / "profile.txt")]) == 2
    assert ".json" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert cli.main(["device", "calibrate", "--out", str(tmp_path / "file" / "x.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_device_alone_says_what_it_can(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["device"])
    assert end.value.code == 2
    assert "COMMAND" in capsys.readouterr().err
