"""The doctor looks at everything, tells the way out and changes nothing."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from workbench import cli, doctor
from workbench.doctor import Finding, examine


def test_the_machine_that_runs_the_tests_has_what_is_required() -> None:
    findings = examine()
    assert len({f.name for f in findings}) == len(doctor.CHECKS)
    assert [f.name for f in findings if f.required and not f.ok] == []
    assert all(f.found for f in findings)


def test_what_is_missing_comes_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "_which", lambda *names: None)
    monkeypatch.setattr(doctor, "DATA", tmp_path)
    monkeypatch.setattr(doctor, "version", _no_version)
    monkeypatch.setattr(doctor, "describe_groups", lambda: (False, "v2: not mounted"))
    monkeypatch.setattr(doctor.sys, "prefix", str(tmp_path))
    missing = [f for f in examine() if not f.ok]
    assert {"Chromium", "Jupyter kernel", "network namespaces", "netem", "shipped models"} <= {
        f.name for f in missing
    }
    assert {"control groups", "pyroute2", "optuna-dashboard"} <= {f.name for f in missing}
    assert all(f.way_out for f in missing)


def _no_version(name: str) -> str:
    raise PackageNotFoundError(name)


def test_control_groups_come_with_their_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "describe_groups", lambda: (False, "v2: / may not be written"))
    finding = doctor._cgroups()
    assert not finding.ok
    for way_out in ("root", "Delegate=yes", "throttle='dilation'"):
        assert way_out in finding.way_out


def test_a_folder_where_no_study_can_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctor._database().ok
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "results").write_text("in the way")
    finding = doctor._database()
    assert not finding.ok
    assert "--storage" in finding.way_out


def test_a_cache_folder_that_cannot_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("WORKBENCH_CACHE", str(blocked))
    finding = doctor._cache()
    assert not finding.ok
    assert "WORKBENCH_CACHE" in finding.way_out


def test_text_and_json_say_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = [Finding("good", True, "yes"), Finding("bad", False, "no", "buy one")]
    monkeypatch.setattr("workbench.cli.doctor.examine", lambda: findings)
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "good" in text
    assert "buy one" in text
    assert cli.main(["doctor", "--json"]) == 0
    assert [f["name"] for f in json.loads(capsys.readouterr().out)] == ["good", "bad"]


def test_something_required_that_is_missing_is_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = [Finding("torch", False, "none", "install it", required=True)]
    monkeypatch.setattr("workbench.cli.doctor.examine", lambda: missing)
    assert cli.main(["doctor"]) == 1
    assert "MISSING" in capsys.readouterr().out
