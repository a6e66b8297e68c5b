"""What modules answered to examples whose answer is known: what thresholds and curves are found on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import InputError, UnknownNameError
from workbench.files import write_text
from workbench.plan import DEFAULT_FEATURE, Plan
from workbench.profiles import DATA
from workbench.routing.calibration import Calibration
from workbench.routing.modules import edge_module
from workbench.routing.request import CONTINUE
from workbench.trace import Label

__all__ = ["OPEN_TOKENS", "AnswerTable", "ModuleAnswers", "calibrated", "module_of", "shipped_answers"]

OPEN_TOKENS = (40, 16)
"""Prompt and new tokens of a request for open text."""
_LOSSY = ("int8", "int4")  # codecs that change an answer more than 16 bits of weights do


def module_of(plan: Plan, feature: str = DEFAULT_FEATURE) -> str:
    """What answers a feature, wherever it runs: model, weight bits, adapter, and a codec that is lossy.

    ``tiny@4 @16b``, ``tiny @16b, int4 at 3``.
    """
    placement = plan.placement(feature)
    widths = sorted({bits for stage in placement.partition.stages for bits in stage.widths or (stage.bits,)})
    bits = "/".join(map(str, reversed(widths)))
    tuned = "" if placement.adapter is None else f" + {placement.adapter}"
    cuts = placement.partition.split_points if placement.wire in _LOSSY else ()
    wire = f", {placement.wire} at {'/'.join(map(str, cuts))}" if cuts else ""
    return f"{plan.model_of(feature)} @{bits}b{tuned}{wire}"


@dataclass(frozen=True)
class ModuleAnswers:
    """Of one module, in the order of the table's prompts."""

    right: tuple[bool, ...]
    score: tuple[float, ...]  # routing.answer_score of each answer, in nats
    new_tokens: tuple[int, ...]
    bits_per_byte: float  # of held-out prose
    label: Label = "measured"

    def __post_init__(self) -> None:
        sizes = {len(self.right), len(self.score), len(self.new_tokens)}
        if len(sizes) != 1:
            raise InputError(f"right, score and new_tokens are of one length: got {sorted(sizes)}")
        if not self.bits_per_byte > 0:
            raise InputError(f"bits per byte are above 0: got {self.bits_per_byte}")


@dataclass(frozen=True)
class AnswerTable:
    """Examples, and what each module answered."""

    tasks: tuple[str, ...]
    prompts: tuple[str, ...]
    prompt_tokens: tuple[int, ...]
    modules: Mapping[str, ModuleAnswers]

    def __post_init__(self) -> None:
        n = len(self.prompts)
        sizes = {len(self.tasks), len(self.prompt_tokens), *(len(m.right) for m in self.modules.values())}
        if sizes - {n}:
            raise InputError(
                f"an answer table has one row per prompt: {n} prompts, columns of {sorted(sizes)}"
            )

    def of(self, module: str) -> ModuleAnswers:
        """What one module answered.

        Raises:
            UnknownNameError: it was not measured.
        """
        if module not in self.modules:
            raise UnknownNameError("measured module", module, self.modules)
        return self.modules[module]

    @property
    def features(self) -> tuple[str, ...]:
        """The tasks, in order of first use, and open text."""
        return (*dict.fromkeys(self.tasks), CONTINUE)

    def rows(self, task: str) -> NDArray[np.intp]:
        """Which rows are of a task."""
        return np.flatnonzero(self._task_column == task)

    def lengths(self, feature: str) -> tuple[int, int]:
        """Prompt and new tokens of a feature's requests, means over modules; of open text what is usual."""
        rows = self.rows(feature)
        if feature == CONTINUE or not len(rows):
            self.quality(next(iter(self.modules)), feature)  # says which features there are
            return OPEN_TOKENS
        new = np.mean([np.asarray(m.new_tokens)[rows].mean() for m in self.modules.values()])
        return round(float(np.asarray(self.prompt_tokens)[rows].mean())), max(1, round(float(new)))

    def quality(self, module: str, feature: str) -> float:
        """Share of right answers; of open text, the best module's bits per byte over this one's."""
        if feature == CONTINUE:
            return min(m.bits_per_byte for m in self.modules.values()) / self.of(module).bits_per_byte
        rows = self.rows(feature)
        if not len(rows):
            raise UnknownNameError("measured feature", feature, self.features)
        return float(np.asarray(self.of(module).right)[rows].mean())

    def qualities(self, plan: Plan) -> dict[tuple[str, str], float]:
        """Of each feature on each module of a plan, by (feature, key of ``plan.features``)."""
        return {
            (feature, key): self.quality(module_of(plan, key), feature)
            for feature in self.features
            for key in plan.features
        }

    @cached_property
    def _task_column(self) -> NDArray[np.str_]:
        return np.asarray(self.tasks)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        modules = {
            name: {**asdict(m), "right": [int(r) for r in m.right], "score": [round(s, 4) for s in m.score]}
            for name, m in self.modules.items()
        }
        return {**asdict(self), "modules": modules}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AnswerTable:
        """Read what ``to_dict`` gave.

        Raises:
            InputError: a column is missing or of another length.
        """
        try:
            modules = {name: _module(m) for name, m in data["modules"].items()}
            return cls(tuple(data["tasks"]), tuple(data["prompts"]), tuple(data["prompt_tokens"]), modules)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"this is no answer table ({type(error).__name__}: {error})") from error

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_text(path, json.dumps(self.to_dict(), separators=(",", ":")) + "\n")

    @classmethod
    def load(cls, path: Path) -> AnswerTable:
        """Read what ``save`` wrote.

        Raises:
            InputError: it cannot be read, or is no such table.
        """
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read as an answer table: {error}") from error


def calibrated(plan: Plan, table: AnswerTable) -> Calibration:
    """From scores to probabilities of being right, per feature, of the module that answers it on the edge.

    Args:
        table: of other examples than those that the calibration is to be judged by.

    Raises:
        UnknownNameError: a module of the plan was not measured.
    """
    features: list[str] = []
    scores: list[float] = []
    right: list[bool] = []
    for feature in table.features[:-1]:
        module = edge_module(plan, feature)
        if module is None:
            continue
        rows, answers = table.rows(feature), table.of(module_of(plan, module))
        features += [feature] * len(rows)
        scores += [answers.score[row] for row in rows]
        right += [answers.right[row] for row in rows]
    return Calibration.fit(features, scores, right)


@cache
def shipped_answers(which: str = "test") -> AnswerTable:
    """What the shipped modules answered to examples that none of them was trained on: measured.

    Args:
        which: ``"test"``, the held-out examples of ``data/evaluation``; or ``"calibration"``, others.
    """
    return AnswerTable.load(DATA / "routing" / f"answers-{which}.json")


def _module(data: Mapping[str, Any]) -> ModuleAnswers:
    return ModuleAnswers(
        right=tuple(map(bool, data["right"])),
        score=tuple(data["score"]),
        new_tokens=tuple(data["new_tokens"]),
        bits_per_byte=data["bits_per_byte"],
        label=data.get("label", "measured"),
    )
