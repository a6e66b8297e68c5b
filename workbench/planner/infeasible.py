"""Why nothing keeps every limit: which limit binds, and how far away the nearest plan is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from workbench.cost import Floats
from workbench.errors import InfeasibleError
from workbench.planner.landscape import Plans
from workbench.planner.limits import WITHIN, Bound
from workbench.planner.problem import Problem

__all__ = ["Refusals"]


@dataclass
class Refusals:
    """What was looked at in vain."""

    nearest: float = np.inf  # the smallest sum of excesses so far …
    said: tuple[str, ...] = ()  # … what that plan breaks …
    plan: str = ""  # … and which it is
    least: dict[str, tuple[float, str]] = field(
        default_factory=dict
    )  # by limit, the least that any plan breaks it
    relieved: dict[str, int] = field(default_factory=dict)  # plans that break this limit and no other

    def note(self, bounds: Sequence[Bound], plans: Plans) -> None:
        """Look at a batch of which nothing keeps every limit."""
        excess = np.stack([np.clip(bound.excess, 0.0, None) for bound in bounds])  # [limits, P]
        broken = excess > WITHIN
        self._nearest(bounds, excess, plans)
        for i, bound in enumerate(bounds):
            index = int(np.argmin(excess[i]))
            least = (float(excess[i, index]), bound.said(index))
            self.least[bound.name] = min(self.least.get(bound.name, least), least)
            alone = int((broken[i] & (broken.sum(axis=0) == 1)).sum())
            self.relieved[bound.name] = self.relieved.get(bound.name, 0) + alone

    def _nearest(self, bounds: Sequence[Bound], excess: Floats, plans: Plans) -> None:
        sums = excess.sum(axis=0)
        index = int(np.argmin(sums))
        if sums[index] < self.nearest:
            self.nearest, self.plan = float(sums[index]), str(plans.plan("", index)).removeprefix(": ")
            self.said = tuple(
                b.said(index) for b, over in zip(bounds, excess[:, index], strict=True) if over > WITHIN
            )

    def error(self, problem: Problem, n_plans: int) -> InfeasibleError:
        """What to say of it."""
        never = [said for over, said in self.least.values() if over > WITHIN]
        binding = f"No plan keeps: {'; '.join(never)}. " if never else ""
        helped = sorted(((n, name) for name, n in self.relieved.items() if n), reverse=True)
        relief = "; ".join(f"without {name}, {n} would do" for n, name in helped[:3])
        helps = f"{relief.capitalize()}." if relief else "No single limit alone is at fault."
        text = (
            f"none of {n_plans:,} plans of {problem.model.name!r} keeps every limit. {binding}The nearest is "
            f"{self.plan}: {'; '.join(self.said)}. {helps}"
        )
        return InfeasibleError(text, binding=tuple(name for _, name in helped) or tuple(self.least))
