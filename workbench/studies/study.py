"""A study: plans tried against a question, kept in a file that survives whatever happens to the process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from workbench import __version__
from workbench.errors import CancelledRunError, InputError, StudyError
from workbench.plan import Plan
from workbench.planner.verdict import Verdict
from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile
from workbench.records import Objective, TrialRecord
from workbench.studies import store
from workbench.studies.fronts import Box, front_of
from workbench.studies.importance import importance_of
from workbench.studies.judgement import judge
from workbench.studies.outcome import Outcome, Trier
from workbench.studies.question import Question
from workbench.studies.sampling import make_sampler, suggest
from workbench.studies.space import Choice, Space, distance
from workbench.trace import RequestTrace

if TYPE_CHECKING:
    import pandas as pd

    from workbench.models import Model

__all__ = ["Study"]

OnTrial = Callable[[TrialRecord], None]


class Study:
    """Search plans for one question: which model, devices, link, request and objectives.

    Edge-only and cloud-only are tried first, whatever the sampler says. A plan is never tried twice: when
    the sampler repeats itself, the nearest plan that has not been tried comes next. A plan that does not
    fit is recorded with its reason. With a file, every finished trial is on disk before the next begins;
    several processes may work on one file. `records` and what is built on it may be called from any
    thread while `optimize` runs in another.

    Args:
        model: with an objective that needs weights a `Model`; else its profile is enough.
        edge, cloud, link: where plans are to run.
        objectives: names from `records.OBJECTIVES`; the first is the one that verdicts are about.
        space: what may be chosen; every split point by default.
        storage: an SQLite file or ``sqlite:///`` URL, resumed where it exists; None for memory alone.
        name: of the study in its file.
        sampler: one of `sampling.SAMPLERS`, or a sampler of Optuna.
        seed: makes the sampler's choices repeatable.
        prompt_tokens, new_tokens, batch: the request whose cost is predicted.
        suite: of the evaluation, ``"quick"`` or ``"full"``.
        limits: by objective, what a plan may have at most, or for what is to be large at least; a plan
            beyond one is kept as infeasible, with its numbers.

    Raises:
        InputError: objectives or request that cannot be, or an objective that needs weights and has none.
        StudyError: the file cannot be used, or holds a study of that name about another question.
        StudyVersionError: another version wrote the file or the study.
    """

    def __init__(
        self,
        model: Model | ModelProfile,
        edge: DeviceProfile,
        cloud: DeviceProfile,
        link: LinkProfile,
        *,
        objectives: Sequence[str] = ("latency", "accuracy"),
        space: Space | None = None,
        storage: str | os.PathLike[str] | None = None,
        name: str | None = None,
        sampler: str | BaseSampler = "tpe",
        seed: int | None = 0,
        prompt_tokens: int = 64,
        new_tokens: int = 32,
        batch: int = 1,
        suite: str = "quick",
        limits: Mapping[str, float] | None = None,
    ) -> None:
        handle = None if isinstance(model, ModelProfile) else model
        question = Question(
            model=model if isinstance(model, ModelProfile) else model.profile,
            edge=edge,
            cloud=cloud,
            link=link,
            objectives=tuple(objectives),
            space=space or Space(),
            prompt_tokens=prompt_tokens,
            new_tokens=new_tokens,
            batch=batch,
            suite=suite,
            limits=dict(limits or {}),
        )
        question = _with_weights(question, handle)
        name = name or f"{question.model.name}, {edge.name} to {cloud.name} over {link.name}"
        opened = store.open_storage(storage, create=True)
        with store.translated(str(storage)), store.quiet():
            study = optuna.create_study(
                storage=opened,
                study_name=name,
                directions=[goal.direction for goal in question.goals],
                load_if_exists=True,
            )
            question = self._agreed(study, question)
        self._begin(study, question, handle, sampler, seed)

    @classmethod
    def open(
        cls,
        storage: str | os.PathLike[str],
        name: str | None = None,
        *,
        model: Model | str | None = None,
        sampler: str | BaseSampler = "tpe",
        seed: int | None = 0,
    ) -> Study:
        """A study as its file tells it.

        Args:
            name: may be left out where the file has one study.
            model: a model, or its name or folder, to be loaded when a trial first needs its weights; by
                default the name that the study began with.

        Raises:
            StudyError: no such file or study, or several and no name.
            StudyVersionError: another version wrote the file or the study.
        """
        study = store.open_study(storage, name)
        self = cls.__new__(cls)
        self._begin(study, store.read_question(study), model, sampler, seed)
        return self

    @staticmethod
    def _agreed(study: optuna.Study, question: Question) -> Question:
        """The question that the file holds, which has to be the one asked; a new file learns it."""
        if not study.user_attrs and not study.get_trials(deepcopy=False):
            store.stamp(study, question, __version__)
            return question
        known = store.read_question(study)
        mine, theirs = question.to_dict(), known.to_dict()
        differing = sorted(key for key in mine if mine[key] != theirs.get(key))
        if differing:
            raise StudyError(
                f"study {study.study_name!r} exists and asks something else ({', '.join(differing)} differ): "
                "give another name or file, or open it as it is with Study.open"
            )
        return known

    def _begin(
        self,
        study: optuna.Study,
        question: Question,
        model: Model | str | None,
        sampler: str | BaseSampler,
        seed: int | None,
    ) -> None:
        n_trials = len(study.get_trials(deepcopy=False))
        shifted = None if seed is None else seed + n_trials  # resumed, the same seed would repeat itself
        study.sampler = make_sampler(sampler, shifted)
        self._optuna, self._in_order = study, sampler == "grid"
        self.question = question
        self._trier = Trier(question, model)
        self._finished: dict[int, TrialRecord | None] = {}  # a finished trial never changes again
        self._choices = {question.plan(c).key: c for c in question.space.choices(question.model.n_blocks)}
        self._baseline_keys = {question.plan(c).key for c in self._baseline_choices}
        store.fail_trials_of_dead_workers(study)
        for trial in study.get_trials(deepcopy=False):
            if found := store.outcome_of(trial):
                self._trier.remember(*found)

    @property
    def name(self) -> str:
        return self._optuna.study_name

    @property
    def goals(self) -> tuple[Objective, ...]:
        """The objectives in order."""
        return self.question.goals

    # --- searching ---------------------------------------------------------------------------------------

    def optimize(self, n_trials: int, *, on_trial: OnTrial | None = None, stop: Event | None = None) -> None:
        """Try up to ``n_trials`` plans more; fewer where every plan of the space has been tried.

        Ctrl-C and ``stop`` leave a file that another process can go on with; the trial they met is marked
        failed.

        Args:
            on_trial: called with each new record, in this thread.
            stop: set from any thread to end within a batch of the running evaluation.

        Raises:
            StudyError: the file cannot be written.
        """
        if n_trials < 1:
            raise InputError(f"a study needs at least one trial: got {n_trials}")
        with store.translated(self.name):
            tried = self._tried()
            self._enqueue([c for c in self._baseline_choices if self._key(c) not in tried])
            try:
                for _ in range(n_trials):
                    record = self._next_new(stop)
                    if record is None:
                        return
                    if on_trial is not None:
                        on_trial(record)
            finally:
                store.settle(self._optuna._storage)

    def _next_new(self, stop: Event | None) -> TrialRecord | None:
        """Run trials until one tries a new plan; None where there is none left, or on ``stop``."""
        while not (stop is not None and stop.is_set()):
            tried = self._tried()
            left = [choice for key, choice in self._choices.items() if key not in tried]
            if not left:
                return None
            if self._in_order and not self._waiting():
                self._enqueue(left[:1])
            try:
                record = self._run_trial(tried, left, stop)
            except CancelledRunError:
                return None
            if record is not None:
                return record
        return None

    def _run_trial(self, tried: set[str], left: Sequence[Choice], stop: Event | None) -> TrialRecord | None:
        """One trial from asking to telling; None where it only repeated a known plan."""
        trial = self._optuna.ask()
        plan: Plan | None = None
        try:
            store.claim(trial)
            choice = suggest(trial, self.question.space, self.question.model.n_blocks)
            plan = self.question.plan(choice)
            outcome = self._trier.outcome(plan, stop)
            self._finish(trial, plan, outcome, tried)
        except BaseException as error:
            self._give_up(trial, plan, error)
            raise
        if plan.key in tried:
            self._enqueue([min(left, key=lambda c: distance(c, choice, self.question.model.n_blocks))])
            return None
        return self.record(trial.number)

    def _finish(self, trial: optuna.Trial, plan: Plan, outcome: Outcome, tried: set[str]) -> None:
        same_as = self._number_of(plan) if plan.key in tried else None
        store.write_outcome(trial, plan, outcome, same_as=same_as)
        for constraint, excess in outcome.excess.items():
            trial.set_constraint(constraint, excess)
        if all(goal.name in outcome.values for goal in self.goals):
            self._optuna.tell(trial, [outcome.values[goal.name] for goal in self.goals])
        else:
            self._optuna.tell(trial, state=TrialState.PRUNED)

    def _give_up(self, trial: optuna.Trial, plan: Plan | None, error: BaseException) -> None:
        """Mark a trial as failed, with the reason where it has got as far as a plan."""
        if plan is not None:
            store.write_outcome(trial, plan, None, reason=f"{type(error).__name__}: {error}")
        self._optuna.tell(trial, state=TrialState.FAIL, skip_if_finished=True)

    def _enqueue(self, choices: Sequence[Choice]) -> None:
        waiting = [trial.system_attrs.get("fixed_params") for trial in self._waiting()]
        for choice in choices:
            if dict(choice) not in waiting:
                self._optuna.enqueue_trial(dict(choice))

    def _waiting(self) -> list[optuna.trial.FrozenTrial]:
        return self._optuna.get_trials(deepcopy=False, states=(TrialState.WAITING,))

    def _tried(self) -> set[str]:
        """Keys of the plans with an outcome, those of other processes too."""
        return {r.plan.key for r in self.records() if r.state in ("complete", "infeasible")}

    def _number_of(self, plan: Plan) -> int:
        return next(r.number for r in self.records() if r.plan.key == plan.key and r.state != "failed")

    def _key(self, choice: Choice) -> str:
        return self.question.plan(choice).key

    @property
    def _baseline_choices(self) -> tuple[Choice, Choice]:
        return self.question.space.baselines(self.question.model.n_blocks)

    # --- reading -----------------------------------------------------------------------------------------

    def records(self) -> list[TrialRecord]:
        """Every plan tried, in order: complete, infeasible, failed or running; repetitions left out."""
        with store.translated(self.name):
            trials = self._optuna.get_trials(deepcopy=False)
        return [record for trial in trials if (record := self._record_of(trial)) is not None]

    def _record_of(self, trial: optuna.trial.FrozenTrial) -> TrialRecord | None:
        if trial.number in self._finished:
            return self._finished[trial.number]
        record = store.record_of(trial, self._baseline_keys)
        if trial.state.is_finished():
            self._finished[trial.number] = record
        return record

    def record(self, number: int) -> TrialRecord:
        """The record of one trial.

        Raises:
            StudyError: there is no such trial, or it repeats another.
        """
        found = next((r for r in self.records() if r.number == number), None)
        if found is None:
            raise StudyError(f"study {self.name!r} has no record of trial {number}")
        return found

    def baselines(self) -> list[TrialRecord]:
        """Edge-only and cloud-only, as far as they have been tried, whether they fit or not."""
        return [r for r in self.records() if r.baseline and r.state in ("complete", "infeasible")]

    def front(self) -> list[TrialRecord]:
        """The plans that no other beats in every objective, by the first objective from best to worst."""
        return front_of(self.records(), self.goals)

    def trace(self, record: TrialRecord | Plan) -> RequestTrace:
        """The question's request under a plan, predicted."""
        return self._trier.trace(record.plan if isinstance(record, TrialRecord) else record)

    def hypervolume_history(self) -> list[float]:
        """How much of the box of all results the front dominated, after each record."""
        records = self.records()
        return Box.around(records, self.goals).history(records)

    def importance(self) -> dict[str, dict[str, float]]:
        """How much each choice matters for the best values: by objective, then by parameter, largest first.

        The shares of an objective add up to 1; there are none while too few plans differ in it.
        """
        complete = {r.number for r in self.records() if r.state == "complete"}
        with store.translated(self.name):
            trials = self._optuna.get_trials(deepcopy=False)
        return importance_of([t for t in trials if t.number in complete], self.goals)

    def verdict(self) -> Verdict:
        """Whether to split, among the plans tried whose accuracy is within 0.02 of the best.

        Raises:
            StudyError: no plan has been found that fits.
        """
        return judge(self.name, self.records(), self.goals, self.trace)

    # --- the oracle --------------------------------------------------------------------------------------

    def exhaustive(self, *, stop: Event | None = None) -> Iterator[TrialRecord]:
        """Every plan of the space, tried in order and not kept in the file: for small spaces.

        Raises:
            CancelledRunError: ``stop`` was set.
        """
        for number, choice in enumerate(self._choices.values()):
            if stop is not None and stop.is_set():
                raise CancelledRunError(f"stopped after {number} of {len(self._choices)} plans")
            plan = self.question.plan(choice)
            found = self._trier.outcome(plan, stop)
            state = "complete" if found.feasible else "infeasible"
            baseline = plan.key in self._baseline_keys
            yield TrialRecord(number, plan, state, found.values, found.intervals, found.reason, baseline)

    def exhaustive_front(self, *, stop: Event | None = None) -> list[TrialRecord]:
        """The front over every plan of the space: what a search can at best find."""
        return front_of(list(self.exhaustive(stop=stop)), self.goals)

    # --- giving away -------------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """One row per record: the plan's choices, every number, whether it is on the front."""
        from workbench.studies.table import table_of  # pandas takes a third of a second to import

        return table_of(self.records(), {r.number for r in self.front()})

    def export(self, folder: str | os.PathLike[str], *, runs: Sequence[Any] = ()) -> dict[str, Path]:
        """Write ``trials.csv``, ``trials.parquet`` and ``report.html``, each whole or not at all.

        Args:
            runs: pairs of predicted and measured requests to show in the report.

        Returns:
            The paths, by ``"csv"``, ``"parquet"`` and ``"html"``.
        """
        from workbench.studies.report import write_report  # plotly and pandas
        from workbench.studies.table import write_tables

        folder = Path(folder)
        paths = write_tables(folder, self.table())
        return {**paths, "html": write_report(folder / "report.html", self, runs)}


def _with_weights(question: Question, model: Model | None) -> Question:
    """The question, with the weights named that its objectives need."""
    if not question.needs_weights:
        return question
    if model is None:
        names = [goal.name for goal in question.goals if goal.needs_weights]
        raise InputError(
            f"objectives {names} run the model, and a profile has no weights: give a model of load_model"
        )
    return replace(question, fingerprint=model.fingerprint)
