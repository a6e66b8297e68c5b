"""What runs where: stages, partitions, placements and plans. Data only, validated when made.

A **block** is one transformer layer; ranges of blocks are half-open. A **stage** is a contiguous run of
blocks on one place, with the embedding and/or the head where it owns them. A **partition** is the ordered
stages of one model; a **placement** is a partition with everything else that one feature's run needs; a
**plan** maps features to placements.
"""

from workbench.plan.partition import BITS, CLOUD, EDGE, Partition, Stage
from workbench.plan.placement import DATA_CLASSES, DECODINGS, QUEUE, WIRE_CODECS, Bound, Placement
from workbench.plan.plan import DEFAULT_FEATURE, Plan

__all__ = [
    "BITS",
    "CLOUD",
    "DATA_CLASSES",
    "DECODINGS",
    "DEFAULT_FEATURE",
    "EDGE",
    "QUEUE",
    "WIRE_CODECS",
    "Bound",
    "Partition",
    "Placement",
    "Plan",
    "Stage",
]
