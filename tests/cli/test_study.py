"""``workbench study`` and ``workbench report``: search, stop, go on, write."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import cli, profiles

FAST = ("--objectives", "latency,memory", "--edge", "raspberry-pi-5", "--cloud", "h100-sxm", "--link", "lte")


def _study(path: Path, *options: str) -> int:
    return cli.main(["study", "--storage", str(path), *FAST, *options])


def test_a_study_prints_its_front_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "study.db"
    assert _study(path, "--trials", "6", "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert len(first["records"]) == 6
    assert {record["baseline"] for record in first["records"]} == {True, False}
    assert _study(path, "--trials", "4") == 0
    printed = capsys.readouterr()
    assert "goes on after 6 plans" in printed.err
    assert "latency (modelled)" in printed.out
    assert _study(path, "--trials", "1", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["records"]) == 11


def test_a_report_is_one_page_and_two_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "study.db"
    assert _study(path, "--trials", "5") == 0
    capsys.readouterr()
    assert cli.main(["report", "--storage", str(path), "--out", str(tmp_path / "out"), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert set(written) == {"csv", "html", "parquet"}
    assert all(Path(name).stat().st_size > 0 for name in written.values())


def test_the_space_may_be_narrowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = ("--splits", "2,3", "--edge-bits", "8", "--cloud-bits", "16", "--wires", "int8", "--json")
    assert _study(tmp_path / "study.db", "--trials", "50", *space) == 0
    records = json.loads(capsys.readouterr().out)["records"]
    assert len(records) == 4  # two splits and both baselines: nothing is tried twice


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--objectives", "latencey"], "did you mean 'latency'"),
        (["--sampler", "tpee"], "did you mean 'tpe'"),
        (["--splits", "99"], "out of range"),
        (["--wires", "int9"], "did you mean 'int"),
    ],
)
def test_bad_input_is_code_2(
    options: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _study(tmp_path / "study.db", "--trials", "2", *options) == 2
    assert reason in capsys.readouterr().err


def test_another_question_under_the_same_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "study.db"
    assert _study(path, "--trials", "2", "--name", "mine") == 0
    assert _study(path, "--trials", "2", "--name", "mine", "--new-tokens", "7") == 1
    assert "new_tokens differ" in capsys.readouterr().err


def test_no_plan_that_fits_is_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = tmp_path / "small.json"
    small.write_text(json.dumps(profiles.device("raspberry-pi-5").to_dict() | {"memory_bytes": 1000}))
    both = ("--edge", str(small), "--cloud", str(small))
    assert _study(tmp_path / "study.db", "--trials", "4", *both) == 3
    assert "none of 4 plans can run" in capsys.readouterr().err


def test_a_file_that_is_no_study_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "notes.db"
    path.write_text("not a database")
    assert cli.main(["report", "--storage", str(path), "--out", str(tmp_path)]) in (1, 2)
    missing = cli.main(["report", "--storage", str(tmp_path / "none.db"), "--out", str(tmp_path)])
    assert missing in (1, 2)
    assert capsys.readouterr().err.count("error: ") == 2
    assert not (tmp_path / "none.db").exists()


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "study.db"
    searching = subprocess.Popen(
        [sys.executable, "-m", "workbench", "study", "--storage", str(path), *FAST, "--trials", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert searching.stderr is not None
    for line in searching.stderr:
        if line.startswith("trial 10 "):
            break
    searching.send_signal(signal.SIGINT)
    _, rest = searching.communicate(timeout=60)
    assert searching.returncode == 130, rest
    assert "the same command goes on" in rest
    assert "Traceback" not in rest
    assert _study(path, "--trials", "1", "--json") == 0
    printed = capsys.readouterr()
    assert "goes on after" in printed.err
    assert len(json.loads(printed.out)["records"]) >= 11
