"""What a survey knows without any widget: a setting, the best plan for it, and what lies around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf

import numpy as np

from workbench.errors import InfeasibleError, InputError, UnknownNameError
from workbench.plan import CLOUD, EDGE
from workbench.planner import (
    Answer,
    BreakEvenMap,
    Choices,
    Limits,
    Pin,
    Problem,
    Request,
    Sweep,
    break_even,
    n_plans,
    plan,
    sweep,
)
from workbench.planner.parameters import PARAMETERS, faster
from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile

__all__ = ["AIMS_SHOWN", "GRIDS", "SurveyResult", "SurveySetting", "Surveyor", "parameter_range"]

AIMS_SHOWN = ("total", "ttft", "tpot", "throughput", "edge_energy", "bytes")
"""Aims that a survey offers: those that need neither prices nor measured losses."""
GRIDS = ((8, 6), (24, 18))
"""Columns and rows of a map: soon, and in the end."""
_SMALLER = (16, 12)  # in the end, where each cell has many plans
_MANY_PLANS = 10_000
_SWEEP_POINTS = 24
_KEPT = 12  # maps, and sweeps
_LONGEST_PROMPT = 8192
_RANGES = {
    "rtt": (0.3e-3, 1.0),
    "bandwidth": (0.3e6, 1e9),
    "edge_speed": (0.1, 30.0),
    "cloud_speed": (0.1, 10.0),
    "prompt_tokens": (16.0, float(_LONGEST_PROMPT)),
    "new_tokens": (4.0, 1024.0),
}
Stop = Callable[[], bool]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SurveySetting:
    """All that the controls of a survey say."""

    model: ModelProfile
    edge: DeviceProfile
    cloud: DeviceProfile
    link: LinkProfile
    edge_speed: float = 1.0  # times that of its profile
    prompt_tokens: int = 256
    new_tokens: int = 64
    aim: str = "total"  # one of AIMS_SHOWN
    embedding_here: bool = True  # what users type stays on the edge …
    first_blocks: int = 4  # … with so many blocks behind it, because an embedding is easily turned back
    head_here: bool = False  # what they are answered does
    cloud_memory_bytes: float = inf  # that a plan may use there, where that is less than there is
    edge_bits: tuple[int, ...] = (16, 8, 4)
    cloud_bits: tuple[int, ...] = (16, 8, 4)
    wires: tuple[str, ...] = ("fp16", "int8", "int4")
    across: str = "bandwidth"  # the map's other axis beside the round trip
    parameter: str = "rtt"  # what the lines go along

    def __post_init__(self) -> None:
        if self.aim not in AIMS_SHOWN:
            raise UnknownNameError("aim of a survey", self.aim, AIMS_SHOWN)
        for name in (self.across, self.parameter):
            if name not in PARAMETERS:
                raise UnknownNameError("parameter", name, PARAMETERS)
        if self.across == "rtt":
            raise InputError("a map has the round trip on one axis already: put another parameter across")
        if not 0 <= self.first_blocks <= self.model.n_blocks:
            raise InputError(f"{self.model.name!r} has {self.model.n_blocks} blocks, not {self.first_blocks}")

    @cached_property
    def problem(self) -> Problem:
        """What a planner takes.

        Raises:
            PromptError: a request that is longer than the model's positions.
        """
        return self._problem(faster(self.edge, self.edge_speed) if self.edge_speed != 1 else self.edge)

    @property
    def base(self) -> Problem:
        """The same with the edge's own speed: what a survey along speeds begins from."""
        return self._problem(self.edge)

    def _problem(self, edge: DeviceProfile) -> Problem:
        memory = {} if self.cloud_memory_bytes == inf else {CLOUD: self.cloud_memory_bytes}
        return Problem(
            model=self.model,
            devices={EDGE: edge, CLOUD: self.cloud},
            links=(self.link,),
            request=Request(self.prompt_tokens, self.new_tokens),
            aims={self.aim: 1.0},
            limits=Limits(memory_bytes=memory),
            pins=self.pins,
            choices=Choices(
                bits={EDGE: self.edge_bits, CLOUD: self.cloud_bits}, wires=self.wires, u_shaped=self.head_here
            ),
        )

    @property
    def pins(self) -> tuple[Pin, ...]:
        """What has its place."""
        found = [Pin("embedding", EDGE)] * self.embedding_here + [Pin("head", EDGE)] * self.head_here
        first = self.first_blocks if self.embedding_here else 0
        blocks = [Pin("blocks", EDGE, 0, first)] if first else []
        return (*found, *blocks)

    @property
    def at(self) -> dict[str, float]:
        """Values of parameters that the problem itself cannot say."""
        return {"edge_speed": self.edge_speed}

    def moved(self, **values: float) -> SurveySetting:
        """With some parameters at other values: of ``rtt``, ``bandwidth`` and ``edge_speed``."""
        found = self
        for name, value in values.items():
            if name == "edge_speed":
                found = replace(found, edge_speed=value)
            else:
                link = PARAMETERS[name].set(found.problem, value).links[0]
                found = replace(found, link=replace(link, name="custom", title="your own numbers"))
        return found

    def without(self, *names: str) -> SurveySetting:
        """The same for all values of some parameters: what a survey along them depends on."""
        found = self
        if "edge_speed" in names:
            found = replace(found, edge_speed=1.0)
        if "prompt_tokens" in names:
            found = replace(found, prompt_tokens=1)
        if "new_tokens" in names:
            found = replace(found, new_tokens=1)
        link = found.link
        if "bandwidth" in names:
            share = float(f"{link.downlink_bps / link.uplink_bps:.3g}")
            link = replace(link, uplink_bps=1e6, downlink_bps=1e6 * share)
        if "rtt" in names:
            link = replace(link, rtt_s=0.1)
        return replace(found, link=replace(link, name="", title="", sources={}))


def parameter_range(setting: SurveySetting, name: str, n: int) -> list[float]:
    """Values of a parameter from end to end, evenly by their logarithms, whole where they count tokens."""
    low, high = _RANGES[name]
    other = {"prompt_tokens": setting.new_tokens, "new_tokens": setting.prompt_tokens}
    if name not in other:
        return [float(value) for value in np.geomspace(low, high, n)]
    high = min(high, setting.model.max_positions - other[name])
    return sorted({float(round(value)) for value in np.geomspace(min(low, high), high, n)})


class _StoppedError(Exception):
    """What was being computed is not wanted any more."""


@dataclass(frozen=True)
class SurveyResult:
    """A setting with what is known of it so far."""

    setting: SurveySetting
    answer: Answer | None  # None where nothing keeps the limits …
    obstacle: str = ""  # … and why
    region: BreakEvenMap | None = None
    sweep: Sweep | None = None
    is_final: bool = False

    @property
    def sentence(self) -> str:
        """Whether to split, and why."""
        return f"No plan: {self.obstacle}" if self.answer is None else self.answer.verdict


@dataclass
class Surveyor:
    """Plans settings, and what lies around them; remembers the last ones. Used by one thread."""

    _regions: list[tuple[SurveySetting, tuple[int, int], BreakEvenMap]] = field(default_factory=list)
    _sweeps: list[tuple[SurveySetting, Sweep]] = field(default_factory=list)

    def look(self, setting: SurveySetting) -> SurveyResult:
        """The best plan, with map and sweep where they are known already. Takes some ten milliseconds."""
        region, is_final = self._known_region(setting)
        found = SurveyResult(
            setting, None, region=region, sweep=self._known_sweep(setting), is_final=is_final
        )
        try:
            return replace(found, answer=plan(setting.problem, "exhaustive"))
        except InfeasibleError as error:
            return replace(found, obstacle=str(error))

    def sweep(self, setting: SurveySetting, stop: Stop) -> Sweep | None:
        """How plans move with the setting's parameter; None where ``stop`` said so meanwhile."""
        if (known := self._known_sweep(setting)) is not None:
            return known
        values = parameter_range(setting, setting.parameter, _SWEEP_POINTS)
        problem = setting.base if setting.parameter == "edge_speed" else setting.problem
        try:
            found = sweep(problem, setting.parameter, values, on_cell=_watched(stop))
        except _StoppedError:
            return None
        self._sweeps = [*self._sweeps[1 - _KEPT :], (_along(setting), found)]
        return found

    def region(
        self, setting: SurveySetting, size: tuple[int, int], stop: Stop, progress: Progress | None = None
    ) -> BreakEvenMap | None:
        """Who wins where, over the setting's map; None where ``stop`` said so meanwhile.

        Args:
            size: columns and rows.
            progress: is told how many cells are done, of how many.
        """
        name = setting.across
        problem = setting.base if name == "edge_speed" else setting.problem
        x, y = (parameter_range(setting, axis, n) for axis, n in zip((name, "rtt"), size, strict=True))
        try:
            found = break_even(problem, name, x, "rtt", y, on_cell=_watched(stop, progress))
        except _StoppedError:
            return None
        self._regions = [*self._regions[1 - _KEPT :], (_around(setting), size, found)]
        return found

    def sizes(self, setting: SurveySetting) -> tuple[tuple[int, int], ...]:
        """How large its map is to be: soon, and in the end."""
        return (GRIDS[0], _SMALLER if n_plans(setting.problem) > _MANY_PLANS else GRIDS[1])

    def _known_region(self, setting: SurveySetting) -> tuple[BreakEvenMap | None, bool]:
        """The finest map of the same surroundings, and whether it is as fine as it gets."""
        wanted = _around(setting)
        known = [(size, found) for around, size, found in self._regions if around == wanted]
        if not known:
            return None, False
        size, found = max(known, key=lambda row: row[0])
        return found, size == self.sizes(setting)[-1]

    def _known_sweep(self, setting: SurveySetting) -> Sweep | None:
        wanted = _along(setting)
        return next((found for along, found in self._sweeps if along == wanted), None)


def _around(setting: SurveySetting) -> SurveySetting:
    """All that a map depends on."""
    return replace(setting.without(setting.across, "rtt"), parameter="rtt")


def _along(setting: SurveySetting) -> SurveySetting:
    """All that a sweep depends on."""
    return replace(setting.without(setting.parameter), across="bandwidth")


def _watched(stop: Stop, progress: Progress | None = None) -> Progress:
    def told(done: int, n: int) -> None:
        if stop():
            raise _StoppedError
        if progress is not None:
            progress(done, n)

    return told
