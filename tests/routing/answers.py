"""A plan between devices, and answers of its modules, made by arithmetic: no model runs."""

from __future__ import annotations

from collections.abc import Mapping

from tests.cost.models import llama
from workbench.plan import CLOUD, DEFAULT_FEATURE, EDGE, QUEUE, Bound, Partition, Placement, Plan
from workbench.profiles import DeviceProfile, ModelProfile, device
from workbench.routing import AnswerTable, ModuleAnswers

__all__ = ["DEVICES", "PLAN", "PROFILES", "TABLE", "N"]

N = 40  # examples of each task
PROFILES: Mapping[str, ModelProfile] = {
    "m": llama("m", 8, 192, 512, 6, 6, 1024, tied=True),
    "m@4": llama("m@4", 4, 192, 512, 6, 6, 1024, tied=True),
}
DEVICES: Mapping[str, DeviceProfile] = {EDGE: device("raspberry-pi-5"), CLOUD: device("h100-sxm")}
_SMALL = Placement(Partition.unsplit(4, EDGE), model="m@4")
PLAN = Plan(
    "m",
    {
        DEFAULT_FEATURE: Placement(Partition.unsplit(8, CLOUD), fallback=QUEUE),
        "easy": _SMALL,
        "hard": _SMALL,
        "continue": _SMALL,
    },
    (Bound("name", EDGE),),
)
_RIGHT = {"m @16b": {"easy": 1.0, "hard": 1.0}, "m@4 @16b": {"easy": 1.0, "hard": 0.5}}


def _answers(module: str, bits_per_byte: float, tasks: tuple[str, ...]) -> ModuleAnswers:
    """The first share of a task's answers is right; scores tell right from wrong."""
    right = tuple(i % N < N * _RIGHT[module][task] for i, task in enumerate(tasks))
    scores = tuple((-0.01 if hit else -2.0) - 0.001 * (i % 5) for i, hit in enumerate(right))
    return ModuleAnswers(right, scores, (5,) * len(tasks), bits_per_byte)


_TASKS = ("easy",) * N + ("hard",) * N
TABLE = AnswerTable(
    _TASKS,
    tuple(f"{task} {i}" for i, task in enumerate(_TASKS)),
    (12,) * len(_TASKS),
    {"m @16b": _answers("m @16b", 1.2, _TASKS), "m@4 @16b": _answers("m@4 @16b", 1.5, _TASKS)},
)
