"""Scenario files: what is to be planned, in YAML or JSON, with units that people write."""

from workbench.planner.scenario.scenario import Scenario, read_scenario
from workbench.planner.scenario.tree import Item, item_of, read_tree, yaml_text

__all__ = ["Item", "Scenario", "item_of", "read_scenario", "read_tree", "yaml_text"]
