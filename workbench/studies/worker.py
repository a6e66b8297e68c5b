"""A study's search as a process of its own: ``python -m workbench.studies.worker``, steered by a parent.

First line in: the study's file and name, model, sampler, seed, and how many plans to try. The command
``cancel`` ends it within a batch of the running evaluation. Events out are ``ready``, ``trial``, ``end`` and
``error``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.records import TrialRecord
from workbench.runtime.process import ParentChannel, run_child
from workbench.studies import store
from workbench.studies.study import Study

__all__: list[str] = []


def _serve(channel: ParentChannel, config: Mapping[str, Any]) -> None:
    storage, name = config["storage"], config["name"]
    store.check_usable(storage)
    with store.translated(storage):
        study = Study.open(
            storage, name, model=config["model"], sampler=config["sampler"], seed=config["seed"]
        )
        target, remaining = _aim(storage, name, config)
    channel.send({"event": "ready", "target": target, "remaining": remaining})
    if remaining > 0:
        study.optimize(remaining, on_trial=lambda r: _tell(channel, r), stop=channel.cancelled)
    channel.send({"event": "end"})


def _aim(storage: str, name: str, config: Mapping[str, Any]) -> tuple[int, int]:
    """How many plans are asked for in all, written down for whoever resumes, and how many are left."""
    kept = store.open_study(storage, name)
    tried = store.n_tried(kept)
    target = tried + config["n_trials"] if config["target"] is None else config["target"]
    store.write_target(kept, target)
    return target, max(0, target - tried)


def _tell(channel: ParentChannel, record: TrialRecord) -> None:
    channel.send({"event": "trial", "number": record.number})


if __name__ == "__main__":
    run_child(_serve)
