"""What a plan would cost: time, bytes, memory and energy from profiles alone. Imports no torch."""

from workbench.cost.chain import Chain
from workbench.cost.compute import StageCost, stage_decode_s, stage_prefill_s, stage_step_s
from workbench.cost.energy import request_energy_j
from workbench.cost.fit import decode_rate, fit_decode
from workbench.cost.memory import PlaceBytes, fits, place_bytes, stage_bytes, weight_bytes
from workbench.cost.network import MessageSizes, Paths
from workbench.cost.prediction import predict
from workbench.cost.queueing import SLOT, Finish, Job, Played, play
from workbench.cost.segments import BlockColumns, Floats, decode_contexts
from workbench.cost.together import (
    Piece,
    base_of,
    fits_together,
    total_bytes,
    weight_pieces,
    working_bytes,
)

__all__ = [
    "SLOT",
    "BlockColumns",
    "Chain",
    "Finish",
    "Floats",
    "Job",
    "MessageSizes",
    "Paths",
    "Piece",
    "PlaceBytes",
    "Played",
    "StageCost",
    "base_of",
    "decode_contexts",
    "decode_rate",
    "fit_decode",
    "fits",
    "fits_together",
    "place_bytes",
    "play",
    "predict",
    "request_energy_j",
    "stage_bytes",
    "stage_decode_s",
    "stage_prefill_s",
    "stage_step_s",
    "total_bytes",
    "weight_bytes",
    "weight_pieces",
    "working_bytes",
]
