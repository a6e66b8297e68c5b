"""A study's file: resumed, shared, refused where it is not ours, whole after Ctrl-C and after a kill."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from workbench.errors import StudyError, StudyVersionError
from workbench.profiles import LinkProfile
from workbench.studies import Study, delete_study, study_names


def test_a_study_goes_on_where_it_stopped(make_study: Any, file: Path) -> None:
    first = make_study(storage=file)
    first.optimize(5)
    again = make_study(storage=file)
    assert again.records() == first.records()
    again.optimize(5)
    assert len({r.plan.key for r in again.records()}) == 10


def test_a_study_is_opened_from_its_file_alone(make_study: Any, file: Path) -> None:
    study = make_study(storage=f"sqlite:///{file}", name="mine")
    study.optimize(5)
    opened = Study.open(file)
    assert (opened.name, opened.question) == ("mine", study.question)
    assert opened.records() == study.records()
    opened.optimize(1)
    assert len(study.records()) == 6


def test_known_plans_are_not_predicted_again(make_study: Any, file: Path, monkeypatch: Any) -> None:
    make_study(storage=file, sampler="grid").optimize(6)
    again = make_study(storage=file)
    monkeypatch.setattr("workbench.studies.outcome.predict", lambda *args, **kwargs: 1 / 0)
    known = [again._trier.outcome(r.plan).values for r in again.records()]
    assert known == [r.values for r in again.records()]


def test_two_processes_may_share_a_file(make_study: Any, file: Path) -> None:
    one, two = make_study(storage=file, seed=1), make_study(storage=file, seed=2)
    for _ in range(4):
        one.optimize(1)
        two.optimize(1)
    assert one.records() == two.records()
    assert len({r.plan.key for r in one.records()}) == 8


def test_one_file_holds_several_studies(make_study: Any, file: Path) -> None:
    for name in ("a", "b"):
        make_study(storage=file, name=name).optimize(2)
    assert sorted(study_names(file)) == ["a", "b"]
    with pytest.raises(StudyError, match="holds 2 studies"):
        Study.open(file)
    assert Study.open(file, "b").name == "b"
    delete_study(file, "a")
    assert study_names(file) == ["b"]
    with pytest.raises(StudyError, match="no study 'a'"):
        delete_study(file, "a")


def test_the_file_alone_is_the_study(make_study: Any, file: Path, tmp_path: Path) -> None:
    """Nothing of it stays in a journal beside it once `optimize` has returned."""
    study = make_study(storage=file)
    study.optimize(3)
    copied = tmp_path / "copied.db"
    copied.write_bytes(file.read_bytes())
    assert Study.open(copied).records() == study.records()


def test_another_question_is_refused(make_study: Any, file: Path) -> None:
    make_study(storage=file, name="s").optimize(1)
    with pytest.raises(StudyError, match="link, prompt_tokens differ"):
        make_study(storage=file, name="s", link=LinkProfile(0.1, 1e6, 1e6), prompt_tokens=5)


def test_another_format_is_refused(make_study: Any, file: Path) -> None:
    study = make_study(storage=file, name="s")
    found = study._optuna.user_attrs["workbench"]
    study._optuna.set_user_attr("workbench", {**found, "format": 99, "version": "9.9"})
    for again in (lambda: make_study(storage=file, name="s"), lambda: Study.open(file)):
        with pytest.raises(StudyVersionError, match=r"format 99, written by workbench 9\.9"):
            again()


def test_a_study_of_somebody_else_is_refused(make_study: Any, file: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    foreign = optuna.create_study(storage=f"sqlite:///{file}", study_name="s")
    foreign.add_trial(optuna.trial.create_trial(value=1.0))
    for again in (lambda: make_study(storage=file, name="s"), lambda: Study.open(file)):
        with pytest.raises(StudyVersionError, match="not written by this workbench"):
            again()


def test_another_version_of_optuna_is_refused(make_study: Any, file: Path) -> None:
    make_study(storage=file).optimize(1)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE version_info SET schema_version = 99")
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0'")
    connection.close()
    with pytest.raises(StudyVersionError, match="another version of Optuna"):
        Study.open(file)


def test_no_database_is_refused(make_study: Any, file: Path) -> None:
    file.write_text("This is a text, not a study." * 100)
    with pytest.raises(StudyError, match=r"study\.db cannot be used"):
        make_study(storage=file)
    assert file.read_text().startswith("This is a text")


def test_a_missing_file_is_not_made_by_reading(file: Path) -> None:
    with pytest.raises(StudyError, match="no study file"):
        Study.open(file)
    assert not file.exists()


def test_other_databases_are_refused(make_study: Any) -> None:
    with pytest.raises(StudyError, match="one SQLite file"):
        make_study(storage="mysql://somewhere/db")


# --- signals -----------------------------------------------------------------------------------------------

_SLOW_FOURTH = """
import sys, time
sys.path.insert(0, {tests!r})
import conftest
from workbench.studies import Study, outcome

real, calls = outcome.predict, []

def slow(*args, **kwargs):
    calls.append(1)
    if len(calls) == 4:
        print("in the fourth trial", flush=True)
        time.sleep(600)
    return real(*args, **kwargs)

outcome.predict = slow
study = Study(conftest.model_profile(), conftest.EDGE, conftest.CLOUD, conftest.LINK,
              objectives=("latency", "memory"), space=conftest.SPACE, storage={file!r})
study.optimize(20)
"""


@pytest.fixture
def in_the_fourth_trial(file: Path) -> Any:
    """A process that is in the middle of its fourth trial, and is ended if the test does not."""
    code = _SLOW_FOURTH.format(tests=str(Path(__file__).parent), file=str(file))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"in the fourth trial\n"
            yield process
        finally:
            process.kill()


def states(study: Study) -> list[str]:
    return [t.state.name for t in study._optuna.get_trials(deepcopy=False)]


def test_ctrl_c_leaves_a_file_to_go_on_with(in_the_fourth_trial: Any, make_study: Any, file: Path) -> None:
    in_the_fourth_trial.send_signal(signal.SIGINT)
    _, error = in_the_fourth_trial.communicate(timeout=60)
    assert in_the_fourth_trial.returncode != 0
    assert b"KeyboardInterrupt" in error
    with sqlite3.connect(file) as connection:  # before anything of ours has looked at it
        found = [row[0] for row in connection.execute("SELECT state FROM trials ORDER BY number")]
    connection.close()
    assert found == ["COMPLETE", "COMPLETE", "COMPLETE", "FAIL"]
    again = make_study(storage=file)
    again.optimize(3)
    assert states(again).count("COMPLETE") >= 6
    assert len([r for r in again.records() if r.state == "complete"]) == 6


def test_a_killed_worker_leaves_a_file_to_go_on_with(
    in_the_fourth_trial: Any, make_study: Any, file: Path
) -> None:
    os.kill(in_the_fourth_trial.pid, signal.SIGKILL)
    in_the_fourth_trial.wait(60)
    again = make_study(storage=file)
    assert states(again) == ["COMPLETE", "COMPLETE", "COMPLETE", "FAIL"]
    again.optimize(3)
    assert len([r for r in again.records() if r.state == "complete"]) == 6


def test_a_trial_of_a_living_worker_is_left_alone(
    in_the_fourth_trial: Any, make_study: Any, file: Path
) -> None:
    again = make_study(storage=file)
    assert states(again)[3] == "RUNNING"
    again.optimize(1)
    assert states(again)[3] == "RUNNING"
