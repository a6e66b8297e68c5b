"""``workbench demo`` does the main job once, and only what is missing the second time."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench import cli

pytestmark = pytest.mark.slow


def test_the_demo_predicts_runs_searches_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["demo", "--out", str(tmp_path), "--trials", "3"]) == 0
    printed = capsys.readouterr()
    assert "wall clock" in printed.out
    assert "measured" in printed.out
    assert "modelled" in printed.out
    assert "edge-only" in printed.out
    written = {path.name for path in tmp_path.iterdir()}
    assert {"report.html", "study.db", "trials.csv", "trials.parquet"} <= written
    assert "Run for real" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert cli.main(["demo", "--out", str(tmp_path), "--trials", "3"]) == 0
    assert "trial " not in capsys.readouterr().err
