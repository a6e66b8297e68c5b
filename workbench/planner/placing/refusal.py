"""Why no placing keeps every limit: which limits bind, and what would do without each."""

from __future__ import annotations

from workbench.cost import Floats
from workbench.errors import InfeasibleError
from workbench.planner.placing.exact import exact_front
from workbench.planner.placing.table import Table

__all__ = ["refusal"]


def refusal(table: Table) -> InfeasibleError:
    """What to say: what nothing keeps, what would do without a limit, and what cannot be kept together.

    Where no single limit is at fault, those that bind are an irreducible set: any one less, and some choice
    keeps the rest (deletion filter; Chinneck and Dravnieks, ORSA Journal on Computing 3(2), 1991).
    """
    names = _limits(table)
    never = [said for name in names if (said := _alone(table, name, names)) is not None]
    relieved = {name: said for name in names if (said := _without(table, name)) is not None}
    binding = tuple(relieved) or _irreducible(table, names)
    parts = [
        f"no choice of {len(table.problem.modules)} modules for {len(table.problem.features)} features keeps "
        "every limit",
        *([f"Never kept: {'; '.join(never)}"] if never else []),
        *(relieved.values() or [f"{', '.join(binding)} cannot be kept together"]),
        "Loosen a limit, or offer smaller or better modules",
    ]
    return InfeasibleError(". ".join(parts), binding=binding)


def _limits(table: Table) -> tuple[str, ...]:
    return (
        *(ceiling.name for ceiling in table.ceilings),
        *table.masks,
        *(shelf.name for shelf in table.shelves),
    )


def _without(table: Table, name: str) -> str | None:
    """What the nearest placing breaks where one limit is left out; None where that does not help."""
    front = exact_front(table, _own(table, name), without=[name])
    if not len(front):
        return None
    return f"Without {name} one would do: {'; '.join(table.broken(front.choices[0].tolist()))}"


def _alone(table: Table, name: str, names: tuple[str, ...]) -> str | None:
    """How far the nearest placing is from a limit that nothing keeps, even without all the others."""
    if len(exact_front(table, without=set(names) - {name})):
        return None
    front = exact_front(table, _own(table, name), without=names)
    broken = table.broken(front.choices[0].tolist())
    return next(said for said in broken if said.startswith(name))


def _own(table: Table, name: str) -> list[Floats] | None:
    """The limit as an aim, where it is one on a mean."""
    return [ceiling.column for ceiling in table.ceilings if ceiling.name == name] or None


def _irreducible(table: Table, names: tuple[str, ...]) -> tuple[str, ...]:
    kept = list(names)
    for name in names:
        others = [other for other in kept if other != name]
        if not len(exact_front(table, without=set(names) - set(others))):
            kept = others
    return tuple(kept)
