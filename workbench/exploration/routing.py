"""What a routing panel knows without any widget: a plan over measured answers, and whether it pays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from workbench.errors import InputError, UnknownNameError, WorkbenchError
from workbench.plan import CLOUD, EDGE, QUEUE, Partition, Placement, Plan
from workbench.plots.routing.curve import COSTS, Cost
from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile
from workbench.routing import (
    AnswerTable,
    Calibration,
    Expected,
    Outlook,
    calibrated,
    shipped_answers,
)

__all__ = [
    "Known",
    "Router",
    "RoutingResult",
    "RoutingSetting",
    "curves_of",
    "number_rows",
    "placements_of",
    "routing_verdict",
    "title_of",
]

_MODULE = re.compile(r"(?P<model>.+?) @(?P<bits>\d+)b(?: \+ (?P<adapter>.+))?")
_SHARES = tuple(round(0.1 * i, 1) for i in range(11))  # of baselines that mix edge and cloud
_WIRE, _WIDE = "fp16", 16  # codec and weight bits of the splits that are offered, and bits in the cloud
_KEPT = 24  # outlooks
_AS_GOOD = 0.005  # of quality: four of the 840 shipped examples


@dataclass(frozen=True)
class RoutingSetting:
    """All that the controls of a routing panel say."""

    plan: Plan
    edge: DeviceProfile
    cloud: DeviceProfile
    link: LinkProfile
    threshold: float = 0.9  # calibrated probability of being right, below which the default is asked too
    cost: str = "latency"  # what quality is held against, of ``plots.routing.COSTS``

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise InputError(f"a threshold is a probability from 0 to 1: got {self.threshold}")
        if self.cost not in COSTS:
            raise UnknownNameError("cost", self.cost, COSTS)

    def placed(self, **placements: Placement) -> RoutingSetting:
        """With some features elsewhere. What needs a link falls back as before, like the default, or waits.

        Raises:
            UnknownNameError: the plan has no such feature.
            PlanError: the plan cannot be so, e.g. because of a bound.
        """
        for feature in placements:
            self.plan.placement(feature)
        features = {**self.plan.features, **placements}
        local = [name for name, placement in features.items() if placement.is_local]
        settled = {name: replace(p, fallback=self._fallback(name, p, local)) for name, p in features.items()}
        return replace(self, plan=replace(self.plan, features=settled))

    def _fallback(self, feature: str, placement: Placement, local: Sequence[str]) -> str | None:
        if placement.is_local:
            return None
        own = self.plan.features[feature]
        if not own.is_local and (own.fallback in (None, QUEUE) or own.fallback in local):
            return own.fallback
        return self.plan.default.fallback if self.plan.default.fallback in local else QUEUE


@dataclass(frozen=True)
class Known:
    """What was measured of modules, and what is needed to model their costs."""

    answers: AnswerTable
    profiles: Mapping[str, ModelProfile]  # by the models' names
    to_calibrate: AnswerTable | None = None  # answers to other examples; None takes raw confidences

    @classmethod
    def shipped(cls, plan: Plan) -> Known:
        """Of the shipped modules, and the models of a plan."""
        answers = shipped_answers()
        names = dict.fromkeys([*plan.models, *(_parsed(name)[0] for name in answers.modules)])
        return cls(answers, {name: _profile(name) for name in names}, shipped_answers("calibration"))


@cache
def _profile(model: str) -> ModelProfile:
    from workbench.models import load_model  # brings torch

    return load_model(model).profile


def _parsed(module: str) -> tuple[str, int, str | None]:
    """Model, weight bits and adapter of a module's name in an answer table; no bits where they are mixed."""
    found = _MODULE.fullmatch(module)
    if found is None:
        return module.partition(" @")[0], 0, None
    return found["model"], int(found["bits"]), found["adapter"]


def placements_of(feature: str, plan: Plan, known: Known) -> dict[str, Placement]:
    """Where a feature may run, by a title, a bound kept.

    Every measured module on the edge, an adapter's to the feature that it is called after; the whole model in
    the cloud, and split.
    """
    found: dict[str, Placement] = {}
    for name in known.answers.modules:
        model, bits, adapter = _parsed(name)
        if model not in known.profiles or not bits or adapter not in (None, feature):
            continue
        n = known.profiles[model].n_blocks
        other = None if model == plan.model else model
        tail = ("" if bits == _WIDE else f", {bits} bit") + (f" + {adapter}" if adapter else "")
        local = Placement(Partition.unsplit(n, EDGE, bits), model=other, adapter=adapter)
        found[f"edge: {model}{tail}"] = local
        if other is None and adapter is None and bits == _WIDE:
            for at in range(2, n, 2):
                cut = Partition.split(n, at, bits, bits)
                found[f"split at {at}: {model}{tail}"] = Placement(cut, _WIRE)
            found[f"cloud: {model}{tail}"] = Placement(Partition.unsplit(n, CLOUD, bits))
    own, bound = plan.placement(feature), plan.bound_of(feature)
    found = {title: p for title, p in found.items() if bound is None or bound.allows(p)}
    if not any(_same(own, placement) for placement in found.values()):
        found = {f"as given: {own}": own, **found}
    return dict(sorted(found.items(), key=lambda item: _order(item[1])))


def _order(placement: Placement) -> tuple[int, int, bool]:
    """The edge first, small ones before; then splits, then the cloud."""
    turn = {EDGE: 0, None: 1, CLOUD: 2}[placement.place if placement.place in (EDGE, CLOUD) else None]
    first = placement.partition.stages[0]
    return turn, first.stop, placement.adapter is not None


def _same(one: Placement, other: Placement) -> bool:
    """But for what happens with no link, and for a codec that nothing crosses by."""
    wire = one.wire if one.partition.split_points else other.wire
    return replace(one, fallback=None, wire=wire) == replace(other, fallback=None)


def title_of(placement: Placement, choices: Mapping[str, Placement]) -> str:
    """The title of a placement among choices."""
    return next(title for title, choice in choices.items() if _same(placement, choice))


@dataclass(frozen=True)
class RoutingResult:
    """A setting with what is expected of it: answers measured, costs modelled."""

    setting: RoutingSetting
    here: Expected | None = None  # None where nothing can be said …
    curves: Mapping[str, tuple[Expected, ...]] = field(default_factory=dict)
    obstacle: str = ""  # … and why

    @property
    def sentence(self) -> str:
        """Whether the hybrid pays."""
        if self.here is None:
            return f"Nothing to compare: {self.obstacle}"
        return routing_verdict(self.here, *self.ends, cost=self.setting.cost)

    @property
    def ends(self) -> tuple[Expected, Expected]:
        """Edge-only and cloud-only."""
        return self.curves["edge-only"][0], self.curves["cloud-only"][0]


@dataclass
class Router:
    """Looks at settings; remembers the last outlooks. Used by one thread."""

    known: Known
    _outlooks: dict[tuple[str, ...], tuple[RoutingSetting, Outlook]] = field(default_factory=dict)
    _curves: dict[tuple[str, ...], dict[str, tuple[Expected, ...]]] = field(default_factory=dict)

    def look(self, setting: RoutingSetting) -> RoutingResult:
        """What is expected at the setting's threshold, and around it."""
        try:
            key, outlook = self._outlook(setting)
            if key not in self._curves:
                self._curves[key] = curves_of(outlook)
            return RoutingResult(setting, outlook.at(setting.threshold), self._curves[key])
        except WorkbenchError as error:
            return RoutingResult(setting, obstacle=str(error))

    def calibration(self, plan: Plan) -> Calibration | None:
        """What scores of a plan's edge modules mean."""
        table = self.known.to_calibrate
        return None if table is None else calibrated(plan, table)

    def _outlook(self, setting: RoutingSetting) -> tuple[tuple[str, ...], Outlook]:
        same = replace(setting, threshold=0.0, cost="latency")
        key = (setting.plan.key, setting.edge.name, setting.cloud.name, setting.link.name)
        held = self._outlooks.get(key)
        if held is None or held[0] != same:
            self._curves.pop(key, None)
            self._outlooks[key] = same, self._made(setting)
        while len(self._outlooks) > _KEPT:
            oldest = next(iter(self._outlooks))
            del self._outlooks[oldest]
            self._curves.pop(oldest, None)
        return key, self._outlooks[key][1]

    def _made(self, setting: RoutingSetting) -> Outlook:
        plan, known = setting.plan, self.known
        return Outlook(
            plan,
            known.answers,
            known.profiles,
            {EDGE: setting.edge, CLOUD: setting.cloud},
            setting.link,
            calibration=self.calibration(plan),
        )


def curves_of(outlook: Outlook) -> dict[str, tuple[Expected, ...]]:
    """All that a hybrid is held against, as ``plots.quality_cost`` takes it."""
    curve = outlook.curve()
    thresholds = [e.threshold for e in curve if e.threshold is not None]
    return {
        "random": tuple(outlook.random(share) for share in _SHARES),
        "oracle": tuple(outlook.oracle(share) for share in _SHARES),
        "cascade": tuple(outlook.cascade(threshold) for threshold in thresholds),
        "hybrid": curve,
        "edge-only": (outlook.edge_only(),),
        "cloud-only": (outlook.cloud_only(),),
    }


def routing_verdict(here: Expected, edge: Expected, cloud: Expected, *, cost: str = "latency") -> str:
    """Whether a hybrid pays, against everything on the edge and everything in the cloud, in one sentence."""
    count = COSTS[cost]
    ends = f"the edge alone {_told(edge, count)}, the cloud alone {_told(cloud, count)}"
    own = _told(here, count)
    if _beats(edge, here, cost):
        return f"The hybrid does not pay: the edge alone is as good and costs no more ({own}; {ends})"
    if _beats(cloud, here, cost):
        return f"The hybrid does not pay: the cloud alone is as good and costs no more ({own}; {ends})"
    if count.of(here) > count.of(cloud):
        return f"The hybrid does not pay: it costs more than the cloud alone ({own}; {ends})"
    mixed = _mixture_cost(here, edge, cloud, cost)
    if mixed is not None and mixed <= count.of(here):
        told = f"a coin between both would be as good at {count.text(mixed)}"
        return f"The hybrid does not pay: {told} ({own}; {ends})"
    coin = "" if mixed is None else f"; a coin between both of that quality would take {count.text(mixed)}"
    return f"The hybrid pays: {own}; {ends}{coin}"


def _told(e: Expected, cost: Cost) -> str:
    return f"{e.quality:.1%} right at {cost.text(cost.of(e))}"


def _beats(baseline: Expected, here: Expected, cost: str) -> bool:
    of = COSTS[cost].of
    return baseline.quality >= here.quality - _AS_GOOD and of(baseline) <= of(here)


def _mixture_cost(here: Expected, edge: Expected, cloud: Expected, cost: str) -> float | None:
    """What a random mixture of both ends that is as good as the hybrid costs; None where none is."""
    low, high = sorted((edge, cloud), key=lambda e: e.quality)
    if not low.quality <= here.quality <= high.quality or high.quality - low.quality < _AS_GOOD:
        return None
    share = (here.quality - low.quality) / (high.quality - low.quality)
    of = COSTS[cost].of
    return of(low) + share * (of(high) - of(low))


def number_rows(result: RoutingResult) -> tuple[list[str], list[list[str]]]:
    """Headline numbers of the hybrid beside both baselines: a head, and rows of text."""
    head = ["", "hybrid", "edge-only", "cloud-only", "source"]
    if result.here is None:
        return head, []
    columns = (result.here, *result.ends)
    return head, list(_rows(columns, result.ends[1]))


def _rows(columns: Sequence[Expected], cloud: Expected) -> Iterator[list[str]]:
    yield ["quality", *(f"{e.quality:.1%}" for e in columns), "measured"]
    yield ["quality ÷ cloud-only", *(f"{e.quality / cloud.quality:.3f}" for e in columns), "measured"]
    yield ["requests on the edge alone", *(f"{e.edge_share:.0%}" for e in columns), "measured"]
    yield ["asked again in the cloud", *(f"{e.escalated:.0%}" for e in columns), "measured"]
    for name in ("latency", "p95", "energy", "bytes"):
        count = COSTS[name]
        yield [count.title, *(count.text(count.of(e)) for e in columns), cloud.label]
    p95 = [e.latency_p95_s / cloud.latency_p95_s for e in columns]
    yield ["slowest 5 % ÷ cloud-only", *(f"{ratio:.2f}" for ratio in p95), cloud.label]
