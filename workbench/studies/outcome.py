"""What trying one plan gives: predicted cost, and accuracy where an objective asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING

from workbench.cost import fits, predict
from workbench.errors import DoesNotFitError, StudyError
from workbench.plan import CLOUD, EDGE, Plan
from workbench.records import BREAKS, Accuracy, objective
from workbench.studies.question import Question
from workbench.trace import RequestTrace

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["Outcome", "Trier"]


@dataclass(frozen=True)
class Outcome:
    """All numbers of one plan, by objective name."""

    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # 95 %, where there is one
    excess: Mapping[str, float] = field(default_factory=dict)  # by constraint, as a share; above 0 breaks it
    reason: str = ""  # why the plan is not allowed

    @property
    def feasible(self) -> bool:
        return not self.reason


class Trier:
    """Tries plans for one question and remembers what it found. Used by one thread at a time.

    A model given by name or folder, or by nothing but the question, is loaded when a trial first needs its
    weights.
    """

    def __init__(self, question: Question, model: Model | str | None) -> None:
        self._question, self._model = question, model or question.model.name
        self._known: dict[str, Outcome] = {}

    def trace(self, plan: Plan) -> RequestTrace:
        """The question's request under a plan, predicted."""
        q = self._question
        return predict(
            plan,
            q.model,
            q.devices,
            q.link,
            prompt_tokens=q.prompt_tokens,
            new_tokens=q.new_tokens,
            batch=q.batch,
            must_fit=False,
        )

    def remember(self, plan: Plan, outcome: Outcome) -> None:
        """What an earlier process found."""
        self._known[plan.key] = outcome

    def outcome(self, plan: Plan, stop: Event | None = None) -> Outcome:
        """Try a plan, once.

        Raises:
            CancelledRunError: ``stop`` was set during an evaluation.
            ModelError: the model cannot be loaded.
            StudyError: the model of that name has other weights than the study began with.
        """
        if plan.key not in self._known:
            self._known[plan.key] = self._try(plan, stop)
        return self._known[plan.key]

    def _try(self, plan: Plan, stop: Event | None) -> Outcome:
        trace = self.trace(plan)
        devices = self._question.devices
        excess = {
            f"memory of the {p}": n / devices[p].memory_bytes - 1 for p, n in trace.memory_bytes.items()
        }
        if reason := self._misfit(plan):
            return Outcome(_costs(trace), excess=excess, reason=reason)
        values, intervals = _costs(trace), {}
        if self._question.needs_weights:
            found = self._evaluate(plan, stop)
            values, intervals = {**values, **_qualities(found)}, _intervals(found)
        beyond = self._question.excess(values)
        excess |= {f"limit of {name}": share for name, share in beyond.items()}
        return Outcome(values, intervals, excess, _broken(values, self._question.limits, beyond))

    def _misfit(self, plan: Plan) -> str:
        q = self._question
        try:
            fits(
                plan,
                q.model,
                q.devices,
                prompt_tokens=q.prompt_tokens,
                new_tokens=q.new_tokens,
                batch=q.batch,
            )
        except DoesNotFitError as error:
            return str(error)
        return ""

    def _evaluate(self, plan: Plan, stop: Event | None) -> Accuracy:
        from workbench.evaluation import evaluate  # brings torch, which a study of costs alone never needs

        if isinstance(self._model, str):
            self._model = _load(self._model, self._question.fingerprint)
        return evaluate(self._model, plan, suite=self._question.suite, stop=stop)


def _broken(values: Mapping[str, float], limits: Mapping[str, float], beyond: Mapping[str, float]) -> str:
    """The limits that a plan breaks, in words; empty where it keeps to all."""
    said = [
        f"{name} {values[name]:.4g} against {limits[name]:.4g} {objective(name).unit}"
        for name, share in beyond.items()
        if share > 0
    ]
    return f"{BREAKS}: {', '.join(said)}" if said else ""


def _load(source: str, fingerprint: str) -> Model:
    """The model of a question that was read from a file.

    Raises:
        ModelError: it cannot be loaded.
        StudyError: it has other weights now.
    """
    from workbench.models import load_model  # brings torch

    model = load_model(source)
    if model.fingerprint != fingerprint:
        raise StudyError(
            f"model {source!r} is not the one this study began with (its weights differ): "
            "give the right one, or begin a study under another name"
        )
    return model


def _costs(trace: RequestTrace) -> dict[str, float]:
    return {
        "latency": trace.total_s,
        "ttft": trace.ttft_s,
        "tpot": trace.tpot_s,
        "memory": trace.memory_bytes.get(EDGE, 0),
        "cloud_memory": trace.memory_bytes.get(CLOUD, 0),
        "energy": trace.energy_j.get(EDGE, 0.0) + trace.energy_j.get("radio", 0.0),
        "bytes": trace.bytes_up + trace.bytes_down,
    }


def _qualities(found: Accuracy) -> dict[str, float]:
    return {
        "accuracy": found.mean_exact_match.value,
        "agreement": found.agreement.value,
        "bits_per_byte": found.bits_per_byte,
    }


def _intervals(found: Accuracy) -> dict[str, tuple[float, float]]:
    shares = {"accuracy": found.mean_exact_match, "agreement": found.agreement}
    return {name: (share.low, share.high) for name, share in shares.items()}
