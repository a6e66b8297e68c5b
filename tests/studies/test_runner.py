"""A search in a process of its own: stopped at once, gone on with exactly, and never left behind."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from workbench.errors import InputError, ModelNotFoundError, StudyError, StudyVersionError, UnknownNameError
from workbench.models import load_model
from workbench.profiles import DATA, ModelProfile
from workbench.studies import Space, Study, StudyRunner, check_usable

LIMIT_S = 120  # a busy machine may take long to start a process
ONE_PLAN = Space(splits=(4,), edge_bits=(16,), cloud_bits=(16,), wires=("int8",))

MakeRunner = Callable[..., StudyRunner]


@pytest.fixture
def study(make_study: Any, deep_model: ModelProfile, file: Path) -> Study:
    """Of some 250 plans, each tried in a few hundredths of a second."""
    return make_study(model=deep_model, storage=file)


@pytest.fixture
def make_runner(file: Path) -> Iterator[MakeRunner]:
    """Runners of the study in the file, closed when the test ends."""
    made: list[StudyRunner] = []

    def make(**settings: Any) -> StudyRunner:
        made.append(StudyRunner(file, **settings))
        return made[-1]

    yield make
    for runner in made:
        runner.close()


def until(reached: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT_S
    while not reached():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def ended(runner: StudyRunner) -> str:
    assert runner.wait(LIMIT_S)
    return runner.state


def searches() -> list[int]:
    """The processes that search for this one."""
    children = psutil.Process().children(recursive=True)
    return [c.pid for c in children if "workbench.studies.worker" in c.cmdline()]


def in_the_middle(runner: StudyRunner, n_trials: int = 200) -> int:
    """Start, and wait for a few plans; the process id of the search."""
    runner.start(n_trials)
    until(lambda: runner.remaining < n_trials - 3 or runner.state == "failed")
    (pid,) = searches()
    return pid


def running(study: Study) -> list[int]:
    return [t.number for t in study._optuna.get_trials(deepcopy=False) if t.state.name == "RUNNING"]


# --- from start to end ---------------------------------------------------------------------------------


def test_a_search_tries_what_was_asked_for_and_ends(study: Study, make_runner: MakeRunner) -> None:
    runner = make_runner()
    assert (runner.state, runner.remaining) == ("idle", 0)
    runner.start(8)
    assert runner.remaining == 8
    assert ended(runner) == "done"
    assert (runner.remaining, runner.error, searches()) == (0, None, [])
    assert len(study.records()) == 8
    assert make_runner().state == "done"


def test_every_change_is_told_from_another_thread(study: Study, make_runner: MakeRunner) -> None:
    seen: list[tuple[str, int]] = []
    threads: set[threading.Thread] = set()

    def note(runner: StudyRunner) -> None:
        seen.append((runner.state, runner.remaining))
        threads.add(threading.current_thread())

    runner = make_runner(on_change=note)
    runner.start(3)
    assert ended(runner) == "done"
    assert seen == [("starting", 3), *(("running", n) for n in (3, 2, 1, 0)), ("done", 0)]
    assert threading.main_thread() not in threads


def test_an_exhausted_space_is_done(make_study: Any, file: Path, make_runner: MakeRunner) -> None:
    study = make_study(space=ONE_PLAN, storage=file)
    runner = make_runner()
    runner.start(50)
    assert (ended(runner), runner.remaining) == ("done", 0)
    assert len(study.records()) == 3
    assert (make_runner().state, make_runner().remaining) == ("done", 0)


def test_a_search_of_costs_alone_loads_no_torch(study: Study, make_runner: MakeRunner) -> None:
    pid = in_the_middle(make_runner())
    assert not [m.path for m in psutil.Process(pid).memory_maps() if "libtorch" in m.path]


# --- pause, resume, cancel -----------------------------------------------------------------------------


def test_a_pause_keeps_what_remains_and_resume_finishes_it(study: Study, make_runner: MakeRunner) -> None:
    runner = make_runner()
    in_the_middle(runner, 20)
    runner.pause()
    assert ended(runner) == "paused"
    assert searches() == []
    assert len(study.records()) + runner.remaining == 20
    runner.resume()
    assert ended(runner) == "done"
    assert len(study.records()) == 20


def test_resume_may_follow_pause_at_once(study: Study, make_runner: MakeRunner) -> None:
    runner = make_runner()
    runner.start(5)
    runner.pause()
    runner.resume()
    assert ended(runner) == "done"
    assert len(study.records()) == 5


def test_a_cancel_drops_what_remains(study: Study, make_runner: MakeRunner) -> None:
    runner = make_runner()
    in_the_middle(runner)
    runner.cancel()
    runner.pause()  # comes too late
    assert (ended(runner), runner.remaining, searches()) == ("cancelled", 0, [])
    assert make_runner().state == "idle"
    with pytest.raises(StudyError, match="is left to resume"):
        runner.resume()


def test_a_paused_search_can_be_cancelled(study: Study, make_runner: MakeRunner) -> None:
    runner = make_runner()
    in_the_middle(runner)
    runner.pause()
    runner.wait(LIMIT_S)
    runner.cancel()
    assert (ended(runner), runner.remaining) == ("cancelled", 0)
    assert make_runner().state == "idle"


@pytest.mark.parametrize(("command", "state"), [("pause", "paused"), ("cancel", "cancelled")])
def test_a_search_that_does_not_stop_is_killed(
    study: Study, make_runner: MakeRunner, command: str, state: str
) -> None:
    runner = make_runner()
    os.kill(in_the_middle(runner), signal.SIGSTOP)
    getattr(runner, command)()
    assert (ended(runner), runner.error, searches()) == (state, None, [])
    assert running(study) == []
    runner.start(3)
    assert ended(runner) == "done"


def test_what_cannot_be_is_refused(study: Study, make_runner: MakeRunner) -> None:
    runner = make_runner()
    runner.pause()
    runner.cancel()
    assert runner.state == "idle"
    with pytest.raises(InputError, match="at least one trial"):
        runner.start(0)
    in_the_middle(runner)
    for begin in (runner.resume, lambda: runner.start(5)):
        with pytest.raises(StudyError, match="is being searched"):
            begin()
    runner.close()
    with pytest.raises(StudyError, match="is closed"):
        runner.start(5)
    with pytest.raises(UnknownNameError, match="sampler"):
        make_runner(sampler="luck")


# --- ends of processes ---------------------------------------------------------------------------------


def test_another_runner_goes_on_to_exactly_the_target(study: Study, make_runner: MakeRunner) -> None:
    with make_runner() as first:
        in_the_middle(first, 15)
    assert searches() == []
    second = make_runner()
    assert (second.state, second.remaining) == ("paused", 15 - len(study.records()))
    second.resume()
    assert ended(second) == "done"
    assert len(study.records()) == 15


def test_a_killed_search_fails_and_can_be_resumed(study: Study, make_runner: MakeRunner) -> None:
    runner = make_runner()
    os.kill(in_the_middle(runner, 20), signal.SIGKILL)
    assert ended(runner) == "failed"
    assert isinstance(runner.error, StudyError)
    assert "ended from outside" in str(runner.error)
    assert running(study) == []
    runner.resume()
    assert (ended(runner), runner.error) == ("done", None)
    assert len([r for r in study.records() if r.state != "failed"]) == 20


def test_a_search_ends_with_a_parent_that_is_killed(
    study: Study, file: Path, make_runner: MakeRunner, gone: Callable[[int], bool]
) -> None:
    script = textwrap.dedent("""
        import sys, time
        from workbench.studies import StudyRunner
        runner = StudyRunner(sys.argv[1])
        runner.start(200)
        while runner.remaining > 195:
            time.sleep(0.01)
        print(runner._child.pid, flush=True)
        time.sleep(600)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(file)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert gone(pid)
    runner = make_runner()
    assert (runner.state, runner.remaining) == ("paused", 200 - len(study.records()))


def test_others_who_search_the_same_study_are_named(study: Study, make_runner: MakeRunner) -> None:
    one, two = make_runner(), make_runner()
    pid = in_the_middle(one)
    until(lambda: two.other_workers() == (pid,))
    assert one.other_workers() == ()
    one.cancel()
    one.wait(LIMIT_S)
    assert two.other_workers() == ()


# --- what goes wrong -----------------------------------------------------------------------------------


def test_a_model_that_is_gone_is_named_and_may_come_back_elsewhere(
    make_study: Any, file: Path, make_runner: MakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(DATA / "models" / "tiny", here)
    make_study(model=load_model(str(here)), space=ONE_PLAN, objectives=("agreement",), storage=file)
    here.rename(there)
    runner = make_runner()
    runner.start(1)
    assert ended(runner) == "failed"
    assert isinstance(runner.error, ModelNotFoundError)
    assert "no such folder" in str(runner.error)
    assert runner.remaining == 1
    runner.close()
    again = make_runner(model=str(there))
    again.resume()
    assert (ended(again), again.error) == ("done", None)


def locked(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def test_a_locked_file_fails_the_search_until_it_is_free(study: Study, make_runner: MakeRunner) -> None:
    runner = make_runner()
    holder = locked(runner._file)
    runner.start(4)
    assert ended(runner) == "failed"
    assert "another process holds it" in str(runner.error)
    holder.close()
    runner.resume()
    assert ended(runner) == "done"
    assert len(study.records()) == 4


def test_a_locked_file_is_told_soon(study: Study, file: Path) -> None:
    holder = locked(file)
    begun = time.monotonic()
    with pytest.raises(StudyError, match="another process holds it"):
        check_usable(file, wait_s=0.1)
    assert time.monotonic() - begun < 15  # where SQLite waits for 30 s
    holder.close()
    check_usable(file)


def test_a_file_that_cannot_be_used_is_told(study: Study, file: Path, tmp_path: Path) -> None:
    check_usable(tmp_path / "not there yet.db")
    assert not (tmp_path / "not there yet.db").exists()
    (tmp_path / "text.db").write_text("This is a text, not a study." * 100)
    with pytest.raises(StudyError, match="not a database"):
        check_usable(tmp_path / "text.db")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE version_info SET schema_version = 99")
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0'")
    connection.close()
    for open_it in (lambda: check_usable(file), lambda: StudyRunner(file)):
        with pytest.raises(StudyVersionError, match="another version of Optuna"):
            open_it()
