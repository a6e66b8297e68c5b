"""One sentence that says whether to place by feature, and what it gains over one place for everything."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.plan import CLOUD
from workbench.planner.aims import TIE, Aim
from workbench.planner.placing.answer import Placed
from workbench.planner.placing.problem import PLACING_AIMS, PlacingProblem
from workbench.planner.quantity import quantity

__all__ = ["sentence"]


def sentence(problem: PlacingProblem, best: Placed, baselines: Mapping[str, Placed | None]) -> str:
    """What to do, with the aim's number of both ways of not choosing."""
    aim = PLACING_AIMS[problem.aim]
    kept = {name: p for name, p in baselines.items() if p is not None and not p.broken}
    name = min(kept, key=lambda n: aim.sign * kept[n].values[aim.name], default=None)
    others = " ".join(_beside(aim, title, found) for title, found in baselines.items())
    ours = f"{_value(aim, best)} (modelled) at a quality of {best.values['quality']:.3f}"
    if name is None:
        return f"Place by feature: no place alone keeps the limits. {_split(problem, best)}: {ours}. {others}"
    if _as_good(aim, kept[name], best):
        return f"Don't place by feature: {name} is as good. Best is {ours}. {others}"
    return f"Place by feature: {_split(problem, best)}: {ours}. {others}"


def _as_good(aim: Aim, other: Placed, best: Placed) -> bool:
    """Within what no model here can tell apart."""
    theirs, ours = other.values[aim.name], best.values[aim.name]
    return theirs * TIE >= ours if aim.maximised else theirs <= ours * TIE


def _split(problem: PlacingProblem, best: Placed) -> str:
    n_local = sum(problem.candidates[m].is_local for m in best.modules.values())
    n_cloud = sum(problem.candidates[m].place == CLOUD for m in best.modules.values())
    n = len(best.modules)
    split = f", {n - n_local - n_cloud} split" if n_local + n_cloud < n else ""
    return (
        f"{n_local} of {n} features ({best.values['edge_share']:.0%} of the requests) on the edge, {n_cloud} "
        f"in the cloud{split}"
    )


def _beside(aim: Aim, name: str, found: Placed | None) -> str:
    title = name.capitalize()
    if found is None:
        return f"{title} cannot be."
    broken = f", but {found.broken[0]}" if found.broken else ""
    return f"{title}: {_value(aim, found)} at {found.values['quality']:.3f}{broken}."


def _value(aim: Aim, found: Placed) -> str:
    return f"{quantity(found.values[aim.name], aim.unit)} {aim.phrase}"
