"""Which widths of a stage go together, so that its cost is a sum over its blocks.

What a pass takes besides its blocks depends on a stage's widest width where that was measured, and a stage
counts as measured only where its every width was. A **family** is a set of stages that agree on both: within
it, the cost of a stage is its ends' and its blocks'. Each stage that a place may have is in one of its
families.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from workbench.planner.problem import Problem
from workbench.profiles import DeviceProfile

__all__ = ["Family", "families_of"]


@dataclass(frozen=True)
class Family:
    """Stages of one place that differ in their blocks' widths alone."""

    place: str
    device: DeviceProfile
    widths: tuple[int, ...]  # that a block may have
    needed: frozenset[int]  # one block at least has one of these: else the stage is of another family
    ends: int  # the width that overhead, embedding and head go by


def families_of(problem: Problem, place: str) -> tuple[Family, ...]:
    """All stages that the choices of a place allow. 32 bits are never mixed with others."""
    device, bits = problem.devices[place], sorted(set(problem.choices.bits_of(place)), reverse=True)
    packed = tuple(b for b in bits if b < 32)
    timed = tuple(b for b in packed if problem.model.times_on(device.name, b) is not None)
    untimed = tuple(b for b in packed if b not in timed)
    found = [Family(place, device, (32,), frozenset([32]), 32)] if 32 in bits else []
    found += [Family(place, device, timed[i:], frozenset([b]), b) for i, b in enumerate(timed)]
    if untimed:
        bare = replace(device, name=f"{device.name}, not measured") if timed else device
        needed = frozenset(untimed if timed else packed)
        found.append(Family(place, bare, packed, needed, untimed[0]))
    return tuple(found)
