"""Predictions of a setting at every place to cut, each computed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from workbench import cost
from workbench.cache import content_key
from workbench.deployment import profile_for
from workbench.exploration.setting import CLOUD_ONLY, EDGE_ONLY, Setting
from workbench.profiles import ModelProfile
from workbench.trace import RequestTrace

__all__ = ["Forecaster"]

_KEPT = 4096


class Forecaster:
    """Remembers what it predicted: moving the split point asks for nothing new. Used by one thread."""

    def __init__(self, model: ModelProfile) -> None:
        self.model = model
        self._known: dict[tuple[str, str], RequestTrace] = {}

    def trace(self, setting: Setting, position: str) -> RequestTrace:
        """The request at one of the setting's positions, also where a device cannot hold it.

        Raises:
            PlanError: a split point that the model does not have.
            PromptError: a request that is longer than the model's positions.
        """
        return self._trace(setting, position, _conditions(setting))

    def chosen(self, setting: Setting) -> dict[str, RequestTrace]:
        """The chosen plan and both baselines, by position: what is needed first."""
        conditions = _conditions(setting)
        first = dict.fromkeys((CLOUD_ONLY, setting.position, EDGE_ONLY))
        return {position: self._trace(setting, position, conditions) for position in first}

    def rest(self, setting: Setting) -> Iterator[tuple[str, RequestTrace]]:
        """Every other position, one after the other: stop asking where it has become useless."""
        conditions = _conditions(setting)
        for position in setting.positions:
            yield position, self._trace(setting, position, conditions)

    def unfit(self, setting: Setting, traces: Mapping[str, RequestTrace]) -> frozenset[str]:
        """The positions whose plan some device cannot hold."""
        return frozenset(position for position, t in traces.items() if _exceeds(setting, t))

    def _trace(self, setting: Setting, position: str, conditions: str) -> RequestTrace:
        plan = setting.plan_at(position)
        key = (plan.key, conditions)
        if key not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[key] = cost.predict(
                plan,
                profile_for(self.model, setting.devices.values()),
                setting.devices,
                setting.link,
                link_kind=setting.link_kind,
                must_fit=False,
                **setting.request,
            )
        return self._known[key]


def _conditions(setting: Setting) -> str:
    """The hash of all that a prediction depends on besides the plan."""
    parts = [setting.edge.to_dict(), setting.cloud.to_dict(), setting.link.to_dict()]
    return content_key([*parts, setting.request, setting.link_kind])


def _exceeds(setting: Setting, trace: RequestTrace) -> bool:
    return any(n > setting.devices[place].memory_bytes for place, n in trace.memory_bytes.items())
