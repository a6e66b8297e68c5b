"""What is known of a plan: its accuracy, its objectives, and a study's record of having tried it.

Data only: what `evaluation` fills, `studies` stores and `plots` draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from workbench.errors import UnknownNameError
from workbench.plan import CLOUD, EDGE, Plan
from workbench.trace import Label

__all__ = [
    "BASELINES",
    "BREAKS",
    "OBJECTIVES",
    "STATES",
    "Accuracy",
    "Direction",
    "Objective",
    "Share",
    "TrialRecord",
    "objective",
    "role_of",
]

Direction = Literal["minimize", "maximize"]
STATES = ("complete", "infeasible", "failed", "running")
BASELINES = ("edge-only", "cloud-only")
BREAKS = "breaks a limit"
_Z95 = 1.959963984540054  # the normal distribution's 97.5 % point


@dataclass(frozen=True)
class Share:
    """Successes out of ``n``, with the interval that holds the true share with 95 % confidence."""

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, successes: int, n: int) -> Share:
        """Wilson's score interval (E. B. Wilson, JASA 22, 1927), which is right near 0 and 1 too.

        Raises:
            ValueError: not 0 <= successes <= n, or n is 0.
        """
        if not 0 <= successes <= n or n == 0:
            raise ValueError(f"{successes} of {n} is no share: need 0 <= successes <= n and n > 0")
        share, z2 = successes / n, _Z95**2
        centre = (share + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
        return cls(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)), n)

    @classmethod
    def pooled(cls, shares: Iterable[Share]) -> Share:
        """All trials of several shares as one."""
        shares = list(shares)
        return cls.of(sum(round(s.value * s.n) for s in shares), sum(s.n for s in shares))


@dataclass(frozen=True)
class Accuracy:
    """How well a plan's real stages and codec do on one suite. Never depends on a device or a link."""

    bits_per_byte: float  # of held-out text: lower is better
    exact_match: Mapping[str, Share]  # per task: greedy answers that are right to the last character
    agreement: Share  # greedy next tokens that equal the unsplit float32 model's
    suite: str  # "quick" or "full"
    n_bytes: int  # of held-out text scored
    label: Label = "measured"

    @property
    def mean_exact_match(self) -> Share:
        """Exact match over the examples of all tasks."""
        return Share.pooled(self.exact_match.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Accuracy:
        """Read what ``to_dict`` gave."""
        tasks = {task: Share(**share) for task, share in data["exact_match"].items()}
        return cls(**{**data, "exact_match": tasks, "agreement": Share(**data["agreement"])})


@dataclass(frozen=True)
class Objective:
    """One number of a plan that a study can ask for."""

    name: str
    title: str
    unit: str
    direction: Direction
    label: Label
    needs_weights: bool = False  # found by running the stages, not from profiles


OBJECTIVES: Mapping[str, Objective] = {
    o.name: o
    for o in (
        Objective("latency", "Latency of the request", "s", "minimize", "modelled"),
        Objective("ttft", "Time to first token", "s", "minimize", "modelled"),
        Objective("tpot", "Time per output token", "s", "minimize", "modelled"),
        Objective("accuracy", "Exact match over tasks", "share", "maximize", "measured", True),
        Objective("agreement", "Agreement with float32", "share", "maximize", "measured", True),
        Objective("bits_per_byte", "Bits per byte of text", "bits/byte", "minimize", "measured", True),
        Objective("memory", "Memory on the edge", "B", "minimize", "modelled"),
        Objective("cloud_memory", "Memory in the cloud", "B", "minimize", "modelled"),
        Objective("energy", "Energy of the edge and its radio", "J", "minimize", "modelled"),
        Objective("bytes", "Bytes over the link", "B", "minimize", "modelled"),
    )
}


def objective(name: str) -> Objective:
    """An objective by name.

    Raises:
        UnknownNameError: no objective is called so; the message suggests the nearest.
    """
    if name not in OBJECTIVES:
        raise UnknownNameError("objective", name, OBJECTIVES)
    return OBJECTIVES[name]


def role_of(plan: Plan) -> str:
    """``"edge-only"``, ``"cloud-only"``, ``"split"`` or, with more than two stages, ``"U-shaped"``."""
    places = [s.place for s in plan.partition.stages]
    if len(places) == 1:
        return {EDGE: "edge-only", CLOUD: "cloud-only"}.get(places[0], places[0])
    return "split" if len(places) == 2 else "U-shaped"


@dataclass(frozen=True)
class TrialRecord:
    """One plan that a study tried.

    ``values`` holds every number that was found, by objective name, whether the study asked for it or
    not; a plan that does not fit has no accuracy, because it cannot run.
    """

    number: int  # of the trial in its study
    plan: Plan
    state: str  # one of STATES
    values: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # 95 %, where there is one
    reason: str = ""  # why it is infeasible or failed; begins with BREAKS where limits are the reason
    baseline: bool = False  # edge-only or cloud-only, tried for comparison whatever the sampler says

    @property
    def obstacle(self) -> str:
        """Why an infeasible plan is none to choose, in three words; empty for any other."""
        if self.state != "infeasible":
            return ""
        return BREAKS if self.reason.startswith(BREAKS) else "does not fit"

    @property
    def role(self) -> str:
        """``"edge-only"``, ``"cloud-only"``, ``"split"`` or ``"U-shaped"``."""
        return role_of(self.plan)

    @property
    def split(self) -> str:
        """Where the plan cuts, as text: ``"cloud-only"``, ``"3"``, ``"2–6"`` or ``"edge-only"``."""
        points = self.plan.partition.split_points
        return "–".join(map(str, points)) if points else self.role

    def bits_on(self, place: str) -> int | None:
        """Weight bits of a place's stages; None where it runs nothing."""
        stages = self.plan.partition.on(place)
        return stages[0].bits if stages else None

    @property
    def wire(self) -> str | None:
        """The codec of what crosses; None where nothing does."""
        return self.plan.wire if self.plan.partition.split_points else None

    @property
    def title(self) -> str:
        """The plan in a few words, for hovers and tables."""
        bits = [f"{p} {self.bits_on(p)} bit" for p in (EDGE, CLOUD) if self.bits_on(p)]
        where = self.role if self.wire is None else f"{self.role} at {self.split}"
        return ", ".join([where, *bits, *([f"wire {self.wire}"] if self.wire else [])])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrialRecord:
        """Read what ``to_dict`` gave."""
        intervals = {k: (low, high) for k, (low, high) in data["intervals"].items()}
        return cls(**{**data, "plan": Plan.from_dict(data["plan"]), "intervals": intervals})
