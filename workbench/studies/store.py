"""A study's file: Optuna's SQLite database with a stamp of ours, and trials as records.

The database is the truth of a study: whatever a process held in memory may be lost at any moment.
"""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from workbench.errors import StudyError, StudyVersionError
from workbench.plan import Plan
from workbench.records import TrialRecord
from workbench.studies.outcome import Outcome
from workbench.studies.question import Question

__all__ = [
    "FORMAT",
    "check_usable",
    "claim",
    "delete_study",
    "fail_trials_of_dead_workers",
    "file_of",
    "live_workers",
    "n_tried",
    "open_storage",
    "open_study",
    "outcome_of",
    "quiet",
    "read_question",
    "read_target",
    "record_of",
    "settle",
    "stamp",
    "study_names",
    "translated",
    "write_outcome",
    "write_target",
]

FORMAT = 2
"""Of the stamp and of the trials' attributes; grows when a file can no longer be read by older code."""
_READABLE = (1, FORMAT)  # 1 knew no limits
_STAMP, _TARGET = "workbench", "workbench:target"
_WORKER, _OUTCOME = "workbench:worker", "workbench:outcome"
_LOCK_WAIT_S = 30
_UNCLAIMED_AFTER = timedelta(seconds=30)  # asking for a trial and claiming it takes milliseconds
_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "infeasible",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


def open_storage(storage: str | os.PathLike[str] | None, *, create: bool) -> BaseStorage:
    """Where a study's trials are: a file, an ``sqlite:///`` URL, or None for memory alone.

    Raises:
        StudyError: there is no such file and ``create`` is false, or the file is no database.
        StudyVersionError: another version of Optuna wrote the file.
    """
    if storage is None:
        return InMemoryStorage()
    url, path = _url(storage)
    if not create and not path.is_file():
        raise StudyError(f"there is no study file {path}: check the path, or begin a study there")
    path.parent.mkdir(parents=True, exist_ok=True)
    with translated(url), quiet():
        return RDBStorage(
            url, engine_kwargs={"connect_args": {"timeout": _LOCK_WAIT_S, "factory": _Connection}}
        )


def check_usable(storage: str | os.PathLike[str], wait_s: float = 2.0) -> None:
    """Find out soon whether a study's file can be written, where opening it would wait for long.

    A file that does not exist yet is usable.

    Args:
        wait_s: how long another process may hold the file.

    Raises:
        StudyError: another process holds it for longer, or it is no database.
        StudyVersionError: another version of Optuna wrote it.
    """
    path = file_of(storage)
    if not path.is_file():
        return
    with (
        translated(str(path)),
        closing(sqlite3.connect(path, timeout=wait_s, isolation_level=None)) as connection,
    ):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    open_storage(path, create=False)


class _Connection(sqlite3.Connection):
    """Writes ahead: a killed process loses nothing, and a commit waits for no disk (30 ms each otherwise)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")


def settle(storage: BaseStorage) -> None:
    """Bring what was written ahead into the file itself, so that copying the file copies the study."""
    backend = getattr(storage, "_backend", storage)
    if isinstance(backend, RDBStorage):
        with backend.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def file_of(storage: str | os.PathLike[str]) -> Path:
    """The file of a path or an ``sqlite:///`` URL, wherever the process may go.

    Raises:
        StudyError: it is the URL of another kind of database.
    """
    return _url(storage)[1].absolute()


def _url(storage: str | os.PathLike[str]) -> tuple[str, Path]:
    text = os.fspath(storage)
    if text.startswith("sqlite:///"):
        return text, Path(text.removeprefix("sqlite:///"))
    if "://" in text:
        raise StudyError(f"a study is kept in one SQLite file: give a path or sqlite:///PATH, not {text!r}")
    return f"sqlite:///{Path(text).absolute()}", Path(text).absolute()


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Errors of Optuna and SQLite as ours, each with the way out."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, optuna.exceptions.StorageInternalError) as error:
        cause = str(error.__cause__ or error).splitlines()[0]
        hint = "another process holds it: close that, or wait" if "locked" in cause else "it may be damaged"
        raise StudyError(
            f"the study file {what} cannot be used ({cause}): {hint}, or take another file"
        ) from error
    except RuntimeError as error:
        if "version" not in str(error):
            raise
        raise StudyVersionError(
            f"the study file {what} was written by another version of Optuna ({error}): "
            "install that version, run `optuna storage upgrade`, or take another file"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """No log line for what is no news."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def study_names(storage: str | os.PathLike[str]) -> list[str]:
    """The names of the studies in a file.

    Raises:
        StudyError: there is no such file, or it is no database.
        StudyVersionError: another version of Optuna wrote the file.
    """
    opened = open_storage(storage, create=False)
    with translated(str(storage)):
        return [study.study_name for study in opened.get_all_studies()]


def open_study(storage: str | os.PathLike[str], name: str | None = None) -> optuna.Study:
    """A study in a file, as Optuna sees it.

    Args:
        name: may be left out where the file has one study.

    Raises:
        StudyError: no such file or study, or several and no name.
        StudyVersionError: another version of Optuna wrote the file.
    """
    names = study_names(storage)
    if name is None and len(names) != 1:
        raise StudyError(f"{storage} holds {len(names)} studies, say which: {names}")
    if name is not None and name not in names:
        raise StudyError(f"{storage} has no study {name!r}: it has {names}")
    opened = open_storage(storage, create=False)
    with translated(str(storage)), quiet():
        return optuna.load_study(study_name=name or names[0], storage=opened)


def delete_study(storage: str | os.PathLike[str], name: str) -> None:
    """Remove one study with all its trials from a file.

    Raises:
        StudyError: the file, or a study of that name in it, does not exist.
    """
    opened = open_storage(storage, create=False)
    with translated(str(storage)):
        known = {study.study_name: study._study_id for study in opened.get_all_studies()}
        if name not in known:
            raise StudyError(f"{storage} has no study {name!r}: it has {sorted(known)}")
        opened.delete_study(known[name])


# --- the stamp: what was asked, in which format --------------------------------------------------------


def stamp(study: optuna.Study, question: Question, version: str) -> None:
    """Say in the file what this study asks."""
    study.set_user_attr(_STAMP, {"format": FORMAT, "version": version, "question": question.to_dict()})


def read_question(study: optuna.Study) -> Question:
    """What a study in a file asks.

    Raises:
        StudyVersionError: the study is not ours, or of another format.
    """
    found = study.user_attrs.get(_STAMP)
    if not isinstance(found, Mapping):
        raise StudyVersionError(
            f"study {study.study_name!r} was not written by this workbench: give another name or file"
        )
    if found.get("format") not in _READABLE:
        raise StudyVersionError(
            f"study {study.study_name!r} has format {found.get('format')!r}, written by workbench "
            f"{found.get('version')}; this version reads {FORMAT}: use that version, or another name or file"
        )
    return Question.from_dict(found["question"])


def write_target(study: optuna.Study, n_plans: int | None) -> None:
    """Say in the file how many plans the user asked for in all; None where nothing is left to do."""
    study.set_user_attr(_TARGET, n_plans)


def read_target(study: optuna.Study) -> int | None:
    """How many plans the user asked for in all; None where nobody did."""
    return study.user_attrs.get(_TARGET)


# --- trials ----------------------------------------------------------------------------------------------


def claim(trial: optuna.Trial) -> None:
    """Say who runs a trial, so that the next process knows whether it still may."""
    me = psutil.Process()
    worker = {"host": platform.node(), "pid": me.pid, "started": me.create_time()}
    trial.set_user_attr(_WORKER, worker)


def fail_trials_of_dead_workers(study: optuna.Study, *, alone: bool = False) -> int:
    """Mark running trials as failed whose process is gone; returns how many.

    Args:
        alone: nobody else works on the study, so that a trial which nobody has claimed yet is dead too.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    dead = [t for t in running if not _may_still_run(t) or (alone and _WORKER not in t.user_attrs)]
    for trial in dead:
        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
    return len(dead)


def _may_still_run(trial: FrozenTrial) -> bool:
    worker = trial.user_attrs.get(_WORKER)
    if worker is None:
        begun = trial.datetime_start
        return begun is not None and datetime.now() - begun < _UNCLAIMED_AFTER
    if worker["host"] != platform.node():
        return True  # only that host can know
    try:
        return abs(psutil.Process(worker["pid"]).create_time() - worker["started"]) < 1
    except psutil.Error:
        return False


def live_workers(study: optuna.Study) -> set[int]:
    """Process ids on this host of those who run a trial now."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    claims = [t.user_attrs[_WORKER] for t in running if _WORKER in t.user_attrs and _may_still_run(t)]
    return {claim["pid"] for claim in claims if claim["host"] == platform.node()}


def n_tried(study: optuna.Study) -> int:
    """How many plans have an outcome, those that do not fit too; repetitions count once."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    outcomes = [t.user_attrs.get(_OUTCOME) for t in finished]
    return sum(outcome is not None and outcome["same_as"] is None for outcome in outcomes)


def write_outcome(
    trial: optuna.Trial, plan: Plan, outcome: Outcome | None, *, reason: str = "", same_as: int | None = None
) -> None:
    """Keep what a trial found, before its state is told."""
    data: dict[str, Any] = {"plan": plan.to_dict(), "reason": reason, "same_as": same_as}
    if outcome is not None:
        data |= {
            "reason": reason or outcome.reason,
            "values": dict(outcome.values),
            "intervals": dict(outcome.intervals),
            "excess": dict(outcome.excess),
        }
    trial.set_user_attr(_OUTCOME, data)
    trial.set_user_attr("plan", str(plan))  # for people who look with another tool


def record_of(trial: FrozenTrial, baselines: set[str]) -> TrialRecord | None:
    """A trial as a record; None for one that repeats another or never got a plan."""
    data = trial.user_attrs.get(_OUTCOME)
    if data is None or data["same_as"] is not None or trial.state not in _STATES:
        return None
    plan = Plan.from_dict(data["plan"])
    return TrialRecord(
        number=trial.number,
        plan=plan,
        state=_state_of(trial.state, data["reason"]),
        values=data.get("values", {}),
        intervals={k: (low, high) for k, (low, high) in data.get("intervals", {}).items()},
        reason=data["reason"],
        baseline=plan.key in baselines,
    )


def _state_of(state: TrialState, reason: str) -> str:
    """A plan with all its numbers that breaks a limit is told to the sampler as complete."""
    return "infeasible" if state == TrialState.COMPLETE and reason else _STATES[state]


def outcome_of(trial: FrozenTrial) -> tuple[Plan, Outcome] | None:
    """What a finished trial found; None where it found nothing that can be used again."""
    data = trial.user_attrs.get(_OUTCOME)
    if data is None or "values" not in data or trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
        return None
    intervals = {k: (low, high) for k, (low, high) in data["intervals"].items()}
    return Plan.from_dict(data["plan"]), Outcome(data["values"], intervals, data["excess"], data["reason"])
