"""The best that could have been: dynamic programming over epochs and plans, with the costs of moving.

Every course that a policy could take in the simulation is a path here, at the same cost, so that none takes
less (Bellman 1957; offline optimum of a metrical task system, Borodin, Linial and Saks, J. ACM 39(4),
1992).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.cost import Floats
from workbench.planner.online.scene import Scene

__all__ = ["Course", "best_cost", "best_course"]

Course = list[NDArray[np.int64]]
"""At each epoch, the plan to go on with, by the plan that runs, and last where none runs yet: [N][P + 1]."""


def best_course(scene: Scene) -> Course:
    """The course that takes least."""
    return _solve(scene)[1]


def best_cost(scene: Scene) -> float:
    """What that course costs, as ``Scene.after`` counts it."""
    return _solve(scene)[0]


def _solve(scene: Scene) -> tuple[float, Course]:
    n, p = scene.n_epochs, len(scene.candidates)
    to_come: Floats = np.zeros((n + 1, p))  # the least from an epoch on, by the plan that runs then
    course: Course = []
    new = np.tile(np.arange(p), p)
    least = 0.0
    for epoch in reversed(range(n)):
        move_s = scene.move_s(epoch)
        cost, following = scene.after(epoch, new, move_s.ravel())
        total = (cost + to_come[following, new]).reshape(p, p)
        fresh = total.diagonal()  # begun with, and so without a move
        course.append(np.append(total.argmin(axis=1), fresh.argmin()))
        to_come[epoch] = total.min(axis=1)
        least = float(fresh.min())
    return least, course[::-1]
