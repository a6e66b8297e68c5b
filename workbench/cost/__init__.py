"""What a plan would cost: time, bytes, memory and energy from profiles alone. Imports no torch."""

from workbench.cost.chain import Chain
from workbench.cost.compute import StageCost, stage_decode_s, stage_prefill_s, stage_step_s
from workbench.cost.energy import request_energy_j
from workbench.cost.fit import decode_rate, fit_decode
from workbench.cost.memory import PlaceBytes, fits, place_bytes, stage_bytes, weight_bytes
from workbench.cost.network import MessageSizes, Paths
from workbench.cost.prediction import predict
from workbench.cost.segments import BlockColumns, Floats, decode_contexts

__all__ = [
    "BlockColumns",
    "Chain",
    "Floats",
    "MessageSizes",
    "Paths",
    "PlaceBytes",
    "StageCost",
    "decode_contexts",
    "decode_rate",
    "fit_decode",
    "fits",
    "place_bytes",
    "predict",
    "request_energy_j",
    "stage_bytes",
    "stage_decode_s",
    "stage_prefill_s",
    "stage_step_s",
    "weight_bytes",
]
