"""What a notebook holds: makes plans, predicts them, and joins a plan, a link and two processes to a run."""

from workbench.deployment.decisions import decide, placing, problem
from workbench.deployment.deployment import Deployment, deploy
from workbench.deployment.plan_files import plan_names, read_plan, write_plan
from workbench.deployment.plans import HOST, cloud_only, device, edge_only, predict, profile_for, split

__all__ = [
    "HOST",
    "Deployment",
    "cloud_only",
    "decide",
    "deploy",
    "device",
    "edge_only",
    "placing",
    "plan_names",
    "predict",
    "problem",
    "profile_for",
    "read_plan",
    "split",
    "write_plan",
]
