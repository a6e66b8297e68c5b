"""Help, exit codes and errors of the command line."""

from __future__ import annotations

import argparse
import subprocess
import sys
from types import SimpleNamespace

import pytest

from workbench import cli, errors
from workbench.cli.parser import build_parser

COMMANDS = (
    "architectures",
    "demo",
    "device",
    "devices",
    "doctor",
    "generate",
    "links",
    "models",
    "plan",
    "predict",
    "report",
    "serve",
    "study",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0
    assert f"workbench {command}" in capsys.readouterr().out.partition("examples:")[2]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ([], "required: COMMAND"),
        (["nonsense"], "invalid choice"),
        (["predict", "--split", "three"], "is no split"),
        (["predict", "--split", "1,2,3"], "is no split"),
        (["predict", "--split", "3", "--edge-only"], "not allowed with"),
        (["predict", "--edge-bits", "5"], "invalid choice"),
        (["predict", "--prompt-tokens", "0"], "no whole number above 0"),
        (["generate"], "--prompt"),
    ],
)
def test_bad_usage_is_code_2(command: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(command)
    assert end.value.code == 2
    assert reason in capsys.readouterr().err


def test_splits_are_one_point_or_two() -> None:
    parse = build_parser().parse_args
    assert parse(["predict", "--split", "3"]).split == 3
    assert parse(["predict", "--split", "2,6"]).split == (2, 6)
    assert parse(["predict"]).split is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UnknownNameError("device", "x", ["y"]), 2),
        (errors.PlanError("no"), 2),
        (errors.ModelNotFoundError("no"), 2),
        (errors.StudyVersionError("no"), 2),
        (errors.AddressInUseError("no"), 2),
        (errors.DoesNotFitError("no"), 3),
        (errors.InfeasibleError("no"), 3),
        (errors.PeerLostError("no"), 4),
        (errors.LinkError("no"), 4),
        (errors.CheckpointError("no"), 1),
        (errors.MissingDependencyError("a", "b", "c"), 1),
        (PermissionError(13, "Permission denied", "/results"), 1),
        (errors.CancelledRunError("no"), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_is_one_line_and_its_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _command_raises(error, monkeypatch)
    assert cli.main(["doctor"]) == code
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    _command_raises(errors.PlanError("no"), monkeypatch)
    with pytest.raises(errors.PlanError):
        cli.main(["doctor", "--debug"])


def test_every_error_has_a_code() -> None:
    for name in errors.__all__:
        assert any(issubclass(getattr(errors, name), kind) for kind, _ in cli.EXIT_CODES)


def test_a_reader_that_has_seen_enough_gets_no_traceback() -> None:
    script = "import sys; from workbench.cli import main; sys.exit(main(['devices', '--json']))"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    _, stderr = process.communicate(timeout=60)
    assert "Traceback" not in stderr


def test_python_m_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("workbench ")


def _command_raises(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(cli, "import_module", lambda name: SimpleNamespace(run=run))
