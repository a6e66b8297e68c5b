"""Routing policies: each says which module of a plan answers a request."""

from __future__ import annotations

import inspect
from typing import Any

from workbench.errors import InputError, UnknownNameError
from workbench.routing.policies.base import Policy, Route, Situation
from workbench.routing.policies.baselines import CloudOnly, EdgeOnly, Oracle, RandomChoice, Tagged
from workbench.routing.policies.cost import CostAware
from workbench.routing.policies.learned import Cascade, Classified, Hybrid
from workbench.routing.policies.rules import Rule, Rules

__all__ = [
    "POLICIES",
    "Cascade",
    "Classified",
    "CloudOnly",
    "CostAware",
    "EdgeOnly",
    "Hybrid",
    "Oracle",
    "Policy",
    "RandomChoice",
    "Route",
    "Rule",
    "Rules",
    "Situation",
    "Tagged",
    "make_policy",
]

POLICIES: dict[str, type[Policy]] = {
    policy.name: policy
    for policy in (
        Tagged,
        Rules,
        Classified,
        Cascade,
        CostAware,
        Hybrid,
        EdgeOnly,
        CloudOnly,
        RandomChoice,
        Oracle,
    )
}
"""Every policy by name."""


def make_policy(name: str, **parameters: Any) -> Policy:
    """A policy by name, with its own parameters.

    Raises:
        UnknownNameError: no policy is called so.
        InputError: a parameter is missing, unknown or out of range.
    """
    if name not in POLICIES:
        raise UnknownNameError("routing policy", name, POLICIES)
    signature = inspect.signature(POLICIES[name])
    try:
        signature.bind(**parameters)
    except TypeError as error:
        raise InputError(f"the policy {name!r} takes {signature}: {error}") from error
    return POLICIES[name](**parameters)
