"""What a plan would cost: time, bytes, memory and energy from profiles alone. Imports no torch."""

from workbench.cost.compute import StageCost, stage_decode_s, stage_prefill_s, stage_step_s
from workbench.cost.energy import request_energy_j
from workbench.cost.fit import decode_rate, fit_decode
from workbench.cost.memory import PlaceBytes, fits, place_bytes, stage_bytes, weight_bytes
from workbench.cost.prediction import predict

__all__ = [
    "PlaceBytes",
    "StageCost",
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
