"""What a plan is expected to give over measured answers: quality against latency, as the threshold moves.

Answers are measured (``AnswerTable``), what a request costs is modelled, one request at a time: nothing waits
for another here (see ``cost.play`` for that).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from workbench import cost
from workbench.errors import PlanError
from workbench.plan import EDGE, Plan
from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile
from workbench.routing.answer_table import OPEN_TOKENS, AnswerTable, module_of
from workbench.routing.calibration import Calibration
from workbench.routing.modules import cloud_module, edge_module, own_module
from workbench.routing.request import CONTINUE
from workbench.trace import Label

__all__ = ["THRESHOLDS", "Expected", "Outlook", "area_under"]

THRESHOLDS = tuple(round(0.02 * i, 2) for i in range(51))
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Expected:
    """Means over a mix of features, but for the 95th percentile."""

    quality: float  # share of right answers; of open text, bits per byte relative to the best module's
    latency_s: float
    latency_p95_s: float
    energy_j: float  # of the edge and its radio
    n_bytes: float  # over the link, both ways
    edge_share: float  # requests that the edge answers alone
    escalated: float  # requests that the edge was not sure of
    threshold: float | None = None  # None for a baseline
    name: str = ""
    label: Label = "modelled"


@dataclass(frozen=True)
class _Column:
    """Per example of one feature."""

    quality: Floats
    latency_s: Floats
    energy_j: Floats
    n_bytes: Floats
    sure: Floats  # calibrated probability of being right
    local: bool


class Outlook:
    """One plan on devices over a link.

    Args:
        profiles: of every model of the plan, by its name there.
        shares: of requests per feature; None takes all features of the table alike.
        calibration: from scores to probabilities of being right; None takes raw confidences.

    Raises:
        PlanError: nothing of the plan runs in the cloud, or nothing on the edge alone.
        UnknownNameError: a module of the plan was not measured.
    """

    def __init__(
        self,
        plan: Plan,
        table: AnswerTable,
        profiles: Mapping[str, ModelProfile],
        devices: Mapping[str, DeviceProfile],
        link: LinkProfile,
        *,
        shares: Mapping[str, float] | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.plan, self.table, self.link = plan, table, link
        self._profiles, self._devices, self._calibration = profiles, devices, calibration
        given = dict(shares) if shares is not None else dict.fromkeys(table.features, 1.0)
        whole = sum(given.values())
        self.shares = {feature: share / whole for feature, share in given.items() if share > 0}
        self._costs: dict[tuple[str, int, int], tuple[float, float, float]] = {}
        self._columns: dict[tuple[str, str], _Column] = {}
        self._cloud = cloud_module(plan)
        if self._cloud is None:
            raise PlanError("nothing of the plan runs in the cloud: give its default a place there")

    def at(
        self,
        threshold: float,
        thresholds: Mapping[str, float] | None = None,
        modules: Mapping[str, str] | None = None,
    ) -> Expected:
        """Each feature on its own module; where that is local, below the threshold the cloud is asked too.

        Args:
            thresholds: of single features; the others have the first.
            modules: keys of the plan for features that another one's module answers.
        """
        own = {f: own_module(self.plan, f) for f in self.shares} | dict(modules or {})
        until = {f: (thresholds or {}).get(f, threshold) for f in self.shares}
        return self._expected(own, until, threshold=threshold, name="hybrid")

    def tuned(
        self, per_second: float, thresholds: Iterable[float] = THRESHOLDS
    ) -> tuple[dict[str, str], dict[str, float]]:
        """The best module of each feature (its own, the edge's or the cloud's) and the best threshold there.

        Args:
            per_second: quality that a second of mean latency must bring.
            thresholds: that are tried.
        """
        modules, until = {}, {}
        for feature in self.shares:
            keys = (self._edge_modules[feature], own_module(self.plan, feature), str(self._cloud))
            worth = {
                (key, threshold): self._worth(feature, key, threshold, per_second)
                for key in dict.fromkeys(keys)
                for threshold in (thresholds if self.plan.features[key].is_local else (0.0,))
            }
            modules[feature], until[feature] = max(worth, key=lambda choice: (worth[choice], -choice[1]))
        return modules, until

    def _worth(self, feature: str, module: str, threshold: float, per_second: float) -> float:
        column = self._column(feature, module)
        if threshold > 0 and feature != CONTINUE:
            column = _passed_on(column, self._cloud_column(feature), column.sure < threshold)
        return float(column.quality.mean() - per_second * column.latency_s.mean())

    def curve(self, thresholds: Iterable[float] = THRESHOLDS) -> tuple[Expected, ...]:
        """The same for many thresholds."""
        return tuple(self.at(threshold) for threshold in thresholds)

    def cascade(self, threshold: float) -> Expected:
        """Every feature on the edge first."""
        return self._expected(
            self._edge_modules, dict.fromkeys(self.shares, threshold), threshold=threshold, name="cascade"
        )

    def edge_only(self) -> Expected:
        """Everything on the edge, whatever comes of it."""
        return self._expected(self._edge_modules, {}, name="edge-only")

    def cloud_only(self) -> Expected:
        """Everything in the cloud."""
        return self._expected(dict.fromkeys(self.shares, str(self._cloud)), {}, name="cloud-only")

    def random(self, edge_share: float) -> Expected:
        """Each request on the edge with one probability: a mixture of both of the above.

        The 95th percentile is that of the mixture.
        """
        edge = {f: self._column(f, m) for f, m in self._edge_modules.items()}
        cloud = {f: self._column(f, str(self._cloud)) for f in self.shares}
        parts = [(edge[f], s * edge_share) for f, s in self.shares.items()]
        parts += [(cloud[f], s * (1 - edge_share)) for f, s in self.shares.items()]
        return _mean(parts, name="random")

    def oracle(self, cloud_share: float) -> Expected:
        """Knows which answers are right, and asks the cloud where only it is, as often as it may.

        What it gains most per second by is asked first.
        """
        gains = []
        for feature, share in self.shares.items():
            edge, cloud = self._column(feature, self._edge_modules[feature]), self._cloud_column(feature)
            gains.append((edge, cloud, np.full(len(edge.quality), share / len(edge.quality))))
        gain = np.concatenate([cloud.quality - edge.quality for edge, cloud, _ in gains])
        weight = np.concatenate([w for _, _, w in gains])
        extra_s = np.concatenate([cloud.latency_s - edge.latency_s for edge, cloud, _ in gains])
        order = np.lexsort((extra_s, -gain))
        room = np.cumsum(weight[order]) <= cloud_share + 1e-12
        asked = np.zeros(len(gain), dtype=bool)
        asked[order[room & (gain[order] > 0)]] = True
        parts, start = [], 0
        for edge, cloud, w in gains:
            here = asked[start : start + len(w)]
            start += len(w)
            parts.append((_chosen(edge, cloud, here), float(w.sum())))
        return _mean(parts, name="oracle")

    # ---- columns

    @cached_property
    def _edge_modules(self) -> dict[str, str]:
        found = {feature: edge_module(self.plan, feature) for feature in self.shares}
        if missing := [feature for feature, module in found.items() if module is None]:
            raise PlanError(
                f"nothing of the plan answers {missing} on the edge alone: add a module that does"
            )
        return {feature: str(module) for feature, module in found.items()}

    def _cloud_column(self, feature: str) -> _Column:
        return self._column(feature, str(self._cloud))

    def _column(self, feature: str, module: str) -> _Column:
        key = (feature, module)
        if key not in self._columns:
            self._columns[key] = self._made(feature, module)
        return self._columns[key]

    def _made(self, feature: str, module: str) -> _Column:
        table, name = self.table, module_of(self.plan, module)
        local = self.plan.features[module].is_local
        if feature == CONTINUE:
            latency_s, energy_j, n_bytes = np.array([self._cost(module, *OPEN_TOKENS)]).T
            quality = np.array([table.quality(name, feature)])
            return _Column(quality, latency_s, energy_j, n_bytes, np.ones(1), local)
        rows, answers = table.rows(feature), table.of(name)
        if not len(rows):
            table.quality(name, feature)  # says which features were measured
        prompts, new = np.asarray(table.prompt_tokens)[rows], np.asarray(answers.new_tokens)[rows]
        costs = [self._cost(module, int(p), int(n)) for p, n in zip(prompts, new, strict=True)]
        latency_s, energy_j, n_bytes = np.array(costs).T
        right, sure = np.asarray(answers.right, dtype=float)[rows], np.asarray(answers.score)[rows]
        return _Column(right, latency_s, energy_j, n_bytes, self._sure(feature, sure), local)

    def _sure(self, feature: str, scores: Floats) -> Floats:
        if self._calibration is None:
            return np.exp(scores)
        return np.array([self._calibration.probability(feature, float(score)) for score in scores])

    def _cost(self, module: str, prompt_tokens: int, new_tokens: int) -> tuple[float, float, float]:
        """Latency, energy and bytes of one request on a module."""
        key = (module, prompt_tokens, new_tokens)
        if key not in self._costs:
            trace = cost.predict(
                self.plan,
                self._profiles[self.plan.model_of(module)],
                self._devices,
                self.link,
                prompt_tokens=prompt_tokens,
                new_tokens=new_tokens,
                feature=module,
                must_fit=False,
            )
            joules = sum(trace.energy_j.get(place, 0.0) for place in (EDGE, "radio"))
            self._costs[key] = (trace.total_s, joules, float(trace.bytes_up + trace.bytes_down))
        return self._costs[key]

    def _expected(
        self,
        modules: Mapping[str, str],
        until: Mapping[str, float],
        *,
        name: str,
        threshold: float | None = None,
    ) -> Expected:
        parts, escalated = [], 0.0
        for feature, share in self.shares.items():
            column = self._column(feature, modules[feature])
            if column.local and until.get(feature, 0.0) > 0 and feature != CONTINUE:
                asked = column.sure < until[feature]
                escalated += share * float(asked.mean())
                column = _passed_on(column, self._cloud_column(feature), asked)
            parts.append((column, share))
        return _mean(parts, name=name, threshold=threshold, escalated=escalated)


def _chosen(edge: _Column, cloud: _Column, asked: NDArray[np.bool_]) -> _Column:
    """The cloud's row where it is asked, else the edge's."""
    return _Column(
        np.where(asked, cloud.quality, edge.quality),
        np.where(asked, cloud.latency_s, edge.latency_s),
        np.where(asked, cloud.energy_j, edge.energy_j),
        np.where(asked, cloud.n_bytes, edge.n_bytes),
        edge.sure,
        local=False,
    )


def _passed_on(edge: _Column, cloud: _Column, asked: NDArray[np.bool_]) -> _Column:
    """The edge's row, and the cloud's after it where it is asked."""
    return _Column(
        np.where(asked, cloud.quality, edge.quality),
        edge.latency_s + asked * cloud.latency_s,
        edge.energy_j + asked * cloud.energy_j,
        edge.n_bytes + asked * cloud.n_bytes,
        edge.sure,
        local=False,
    )


def _mean(
    parts: list[tuple[_Column, float]],
    *,
    name: str,
    threshold: float | None = None,
    escalated: float = 0.0,
) -> Expected:
    weight = np.concatenate([np.full(len(c.quality), share / len(c.quality)) for c, share in parts])

    def mean(field: str) -> float:
        return float(np.concatenate([getattr(c, field) for c, _ in parts]) @ weight)

    latency = np.concatenate([c.latency_s for c, _ in parts])
    crossed = np.concatenate([c.n_bytes for c, _ in parts]) > 0
    return Expected(
        quality=mean("quality"),
        latency_s=mean("latency_s"),
        latency_p95_s=_quantile(latency, weight, 0.95),
        energy_j=mean("energy_j"),
        n_bytes=mean("n_bytes"),
        edge_share=float(weight[~crossed].sum()),
        escalated=escalated,
        threshold=threshold,
        name=name,
    )


def _quantile(values: Floats, weight: Floats, share: float) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weight[order])
    return float(values[order][min(len(values) - 1, int(np.searchsorted(reached, share - 1e-12)))])


def area_under(points: Iterable[tuple[float, float]], cost_range: tuple[float, float]) -> float:
    """Area under the best quality that each cost allows, over a range of costs scaled to 1.

    Args:
        points: (cost, quality).
        cost_range: from the cheapest to the dearest baseline.
    """
    low, high = cost_range
    if not high > low:
        raise PlanError(f"a range of costs goes from less to more: got {low} to {high}")
    best, area, at = 0.0, 0.0, low
    for where, quality in sorted(points):
        if where >= high:
            break
        if quality > best:
            area += best * (max(where, low) - at)
            best, at = quality, max(where, low)
    return (area + best * (high - at)) / (high - low)
