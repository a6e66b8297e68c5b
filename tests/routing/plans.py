"""Plans and policies that the tests of routing share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hypothesis import strategies as st

from tests.strategies import partitions
from workbench.plan import DATA_CLASSES, DEFAULT_FEATURE, EDGE, QUEUE, Bound, Partition, Placement, Plan
from workbench.routing import (
    Calibration,
    Cascade,
    Classified,
    Classifier,
    CloudOnly,
    CostAware,
    EdgeOnly,
    Hybrid,
    Oracle,
    Policy,
    RandomChoice,
    Request,
    Rule,
    Rules,
    Situation,
    Tagged,
)
from workbench.routing.classifier import fit
from workbench.routing.training import task_prompts

__all__ = [
    "CLOUD_8",
    "EDGE_8",
    "SITUATION",
    "SPLIT_8",
    "Fixed",
    "bound_plans",
    "mixed_plan",
    "policies",
    "small",
]

EDGE_8 = Placement(Partition.unsplit(8, "edge"))
CLOUD_8 = Placement(Partition.unsplit(8, "cloud"), fallback="copy")
SPLIT_8 = Placement(Partition.split(8, 4), fallback=QUEUE)
SITUATION = Situation(latency_s=lambda module, request: {"copy": 0.1, "default": 0.3}.get(module, 0.2))


def mixed_plan(*bounds: Bound) -> Plan:
    """One feature on the edge, one split, one bound to nothing in the cloud, and the default there too."""
    features = {"default": CLOUD_8, "copy": EDGE_8, "translate": SPLIT_8, "arithmetic": CLOUD_8}
    return Plan("tiny", features, bounds)


@cache
def small() -> Classifier:
    """A classifier of the tasks, trained in a second."""
    return fit(*task_prompts(30), steps=60)


@dataclass(frozen=True)
class Fixed:
    """One policy as the contract runs it."""

    policy: Policy
    plan: Plan


def policies(plan: Plan, prompt: str) -> list[Policy]:
    """One of each, made for a plan and a prompt."""
    modules = sorted(plan.features)
    return [
        Tagged(),
        Rules([Rule(modules[-1], keywords=["a", "the"]), Rule(modules[0], min_length=30)]),
        Classified(small()),
        Cascade(0.7, Calibration({}, (1.0, 2.0)), small()),
        CostAware({(f, m): 0.5 for f in modules for m in modules}, 0.4, small()),
        Hybrid(Calibration({}, (1.0, 2.0)), {modules[0]: 0.3}, 0.6, small()),
        EdgeOnly(),
        CloudOnly(),
        RandomChoice(0.5, 3),
        Oracle({(prompt, m): m == modules[-1] for m in modules}, modules),
    ]


@st.composite
def bound_plans(draw: st.DrawFn) -> Plan:
    """Plans of up to four features with fallbacks, where features and classes of data are bound."""
    n = draw(st.integers(1, 6))
    names = [DEFAULT_FEATURE, *draw(st.lists(st.sampled_from(["copy", "sort", "extract"]), unique=True))]
    made = {name: Placement(draw(st.one_of(_whole(n), partitions(n)))) for name in names}
    local = [name for name, placement in made.items() if placement.is_local]
    features = {
        name: Placement(placement.partition, fallback=draw(st.sampled_from([None, QUEUE, *local])))
        for name, placement in made.items()
    }
    bounds = [
        Bound(name, placement.place)
        for name, placement in features.items()
        if placement.place and draw(st.booleans())
    ]
    classes = draw(st.lists(st.sampled_from(DATA_CLASSES), unique=True))
    bounds += [Bound(name, draw(st.sampled_from([EDGE, EDGE, "cloud"]))) for name in classes]
    return Plan("m", features, tuple(bounds))


def _whole(n: int) -> st.SearchStrategy[Partition]:
    return st.sampled_from([Partition.unsplit(n, EDGE), Partition.unsplit(n, "cloud")])


def drawn_request(draw: st.DrawFn, plan: Plan) -> Request:
    """A request of the plan, tagged or not, that may hold any class of data."""
    held = draw(
        st.lists(
            st.sampled_from(["john@example.com", "4111 1111 1111 1111", "insulin", "Mrs. Miller", "x y"])
        )
    )
    tag = draw(st.sampled_from([None, *plan.features]))
    return Request(f"copy: {' '.join(held)} =", tag)
