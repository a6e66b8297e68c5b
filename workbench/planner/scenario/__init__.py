"""Scenario files: what is to be planned, in YAML or JSON, with units that people write."""

from workbench.planner.scenario.scenario import Scenario, read_scenario

__all__ = ["Scenario", "read_scenario"]
