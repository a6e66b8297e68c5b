"""Evaluations as a process of their own: ``python -m workbench.evaluation.worker``, steered by a parent.

First line in: the model. Then commands ``evaluate`` and ``cancel``; events out are ``ready``, ``accuracy``
and ``error``. It gives way to whatever else wants the processors.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from workbench.evaluation.evaluate import evaluate
from workbench.models import Model, load_model
from workbench.plan import Plan
from workbench.runtime.process import ParentChannel, run_child

__all__: list[str] = []

_NICE = 10


def _serve(channel: ParentChannel, config: Mapping[str, Any]) -> None:
    os.nice(_NICE)
    model = load_model(config["model"])
    channel.send({"event": "ready"})
    while (command := channel.receive()) is not None:
        channel.cancelled.clear()
        try:
            channel.send(_evaluated(channel, model, command))
        except Exception as error:  # noqa: BLE001  (whatever it is, the parent has to hear of it)
            channel.fail(error)


def _evaluated(channel: ParentChannel, model: Model, command: Mapping[str, Any]) -> dict[str, Any]:
    plan = Plan.from_dict(command["plan"])
    found = evaluate(model, plan, suite=command["suite"], stop=channel.cancelled)
    return {"event": "accuracy", "accuracy": found.to_dict()}


if __name__ == "__main__":
    run_child(_serve)
