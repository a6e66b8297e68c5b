"""When to move: an observed link, policies that decide, and what each loses to the clairvoyant."""

from workbench.planner.online.candidates import Candidates, Conditions
from workbench.planner.online.observing import Estimator, LoadTrace, Observation, Sensor
from workbench.planner.online.policies import (
    POLICIES,
    Clairvoyant,
    Decision,
    Hysteresis,
    Policy,
    Reactive,
    Static,
)
from workbench.planner.online.scene import Scene
from workbench.planner.online.simulation import Regret, Run, Turn, regret_table, simulate

__all__ = [
    "POLICIES",
    "Candidates",
    "Clairvoyant",
    "Conditions",
    "Decision",
    "Estimator",
    "Hysteresis",
    "LoadTrace",
    "Observation",
    "Policy",
    "Reactive",
    "Regret",
    "Run",
    "Scene",
    "Sensor",
    "Static",
    "Turn",
    "regret_table",
    "simulate",
]
