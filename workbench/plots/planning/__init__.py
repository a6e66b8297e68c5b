"""What a planner found, as figures: who wins where, how plans move, what stands beside them."""

from workbench.plots.planning.accuracy import predicted_over_measured
from workbench.plots.planning.candidates import candidates
from workbench.plots.planning.chain import chain
from workbench.plots.planning.front import plan_front
from workbench.plots.planning.region import break_even
from workbench.plots.planning.sensitivity import sensitivity

__all__ = ["break_even", "candidates", "chain", "plan_front", "predicted_over_measured", "sensitivity"]
