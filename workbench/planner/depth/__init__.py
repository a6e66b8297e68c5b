"""Weight bits of every block (mixed precision along depth): exact where enumeration ends."""

from workbench.planner.depth.depth import Depth
from workbench.planner.depth.families import Family, families_of
from workbench.planner.depth.mixed import MixedPlans, mixed_plans

__all__ = ["Depth", "Family", "MixedPlans", "families_of", "mixed_plans"]
