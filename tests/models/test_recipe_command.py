"""The command line of the recipe."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from workbench.models.recipe import __main__ as command
from workbench.models.recipe.evaluate import read_tasks
from workbench.models.recipe.tasks import TASKS


def test_ctrl_c_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(options: argparse.Namespace) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(command._COMMANDS, "train", interrupted)
    assert command.main(["train"]) == 130
    assert "goes on from the last checkpoint" in capsys.readouterr().err


def test_evaluation_data_is_made_whole(tmp_path: Path) -> None:
    assert command.main(["evaluation", "--out", str(tmp_path)]) == 0
    assert {example.task for example in read_tasks(tmp_path / "evaluation" / "tasks.jsonl")} == set(TASKS)
    shipped = Path(__file__).parents[2] / "data" / "evaluation" / "tasks.jsonl"
    assert (tmp_path / "evaluation" / "tasks.jsonl").read_bytes() == shipped.read_bytes()


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(["train", "--model", "huge"])
    assert stopped.value.code == 2
