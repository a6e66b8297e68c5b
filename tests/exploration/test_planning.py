"""A survey plans what its setting says, and asks for nothing twice."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from tests.cost.models import llama
from workbench import profiles
from workbench.errors import InputError, UnknownNameError
from workbench.exploration import AIMS_SHOWN, Surveyor, SurveySetting
from workbench.exploration.planning import GRIDS, parameter_range
from workbench.planner import Pin, plan
from workbench.planner.parameters import PARAMETERS

MODEL = llama("m", 6, 1024, 2816, 8, 4, 32000, tied=True)
SETTING = SurveySetting(
    MODEL,
    profiles.device("jetson-orin-nano"),
    profiles.device("h100-sxm"),
    profiles.link("fibre"),
    first_blocks=2,
)


def never() -> bool:
    return False


def test_a_setting_is_the_problem_that_it_says() -> None:
    assert SETTING.problem.pins == (Pin("embedding", "edge"), Pin("blocks", "edge", 0, 2))
    assert SETTING.problem.choices.u_shaped is False
    open_ = replace(SETTING, embedding_here=False, head_here=True, cloud_memory_bytes=2e9, aim="ttft")
    assert open_.problem.pins == (Pin("head", "edge"),)
    assert open_.problem.choices.u_shaped
    assert dict(open_.problem.limits.memory_bytes) == {"cloud": 2e9}
    assert dict(open_.problem.aims) == {"ttft": 1.0}
    assert SETTING.cloud_memory_bytes == inf


@pytest.mark.parametrize("aim", AIMS_SHOWN)
def test_every_aim_that_is_offered_can_be_planned(aim: str) -> None:
    setting = replace(SETTING, aim=aim)
    assert plan(setting.problem).verdict
    assert Surveyor().look(setting).sentence == plan(setting.problem).verdict


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"aim": "price"}, "aim of a survey"),
        ({"across": "speed"}, "parameter"),
        ({"across": "rtt"}, "put another parameter across"),
        ({"first_blocks": 7}, "has 6 blocks"),
    ],
)
def test_what_cannot_be_is_refused_in_words(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, UnknownNameError), match=message):
        replace(SETTING, **changes)


def test_a_map_and_lines_are_planned_once_for_all_points_on_them() -> None:
    surveyor, (coarse, fine) = Surveyor(), GRIDS
    assert surveyor.look(SETTING).region is None
    told: list[tuple[int, int]] = []
    first = surveyor.region(SETTING, coarse, never, lambda done, n: told.append((done, n)))
    assert told[-1] == (48, 48)
    lines = surveyor.sweep(SETTING, never)
    elsewhere = SETTING.moved(rtt=0.05, bandwidth=33e6)
    assert elsewhere.link.downlink_bps == pytest.approx(99e6)
    found = surveyor.look(elsewhere)
    assert found.region is first
    assert not found.is_final
    assert found.sweep is None  # bandwidth is another one along the lines
    assert surveyor.look(SETTING.moved(rtt=0.05)).sweep is lines
    assert surveyor.look(replace(SETTING, parameter="bandwidth")).region is first
    assert surveyor.look(replace(SETTING, prompt_tokens=100)).region is None
    best = surveyor.region(SETTING, fine, never)
    assert (surveyor.look(elsewhere).region, surveyor.look(elsewhere).is_final) == (best, True)


def test_what_is_not_wanted_any_more_is_dropped() -> None:
    surveyor = Surveyor()
    assert surveyor.region(SETTING, GRIDS[0], lambda: True) is None
    assert surveyor.sweep(SETTING, lambda: True) is None
    assert surveyor.look(SETTING).region is None


def test_the_edges_speed_is_along_the_map_and_in_the_problem() -> None:
    setting = replace(SETTING, across="edge_speed", parameter="edge_speed", edge_speed=4.0)
    surveyor = Surveyor()
    lines = surveyor.sweep(setting, never)
    assert lines is not None
    at = min(range(len(lines.values)), key=lambda i: abs(lines.values[i] - 4.0))
    near = plan(replace(setting, edge_speed=lines.values[at]).problem).baselines["edge-only"].values["total"]
    assert lines.cells[at].values["edge-only"] == pytest.approx(near)
    assert setting.at == {"edge_speed": 4.0}
    assert setting.moved(edge_speed=2.0).edge_speed == 2.0
    region = surveyor.region(setting, GRIDS[0], never)
    assert surveyor.look(replace(setting, edge_speed=9.0)).region is region


def test_nothing_that_keeps_the_limits_has_a_reason() -> None:
    small = replace(SETTING, cloud_memory_bytes=1e6, edge=replace(SETTING.edge, memory_bytes=10**6))
    found = Surveyor().look(small)
    assert found.answer is None
    assert found.sentence.startswith("No plan: none of")


def test_many_plans_a_cell_make_a_coarser_map() -> None:
    large = replace(SETTING, model=llama("l", 40, 1024, 2816, 8, 4, 32000), head_here=True)
    surveyor = Surveyor()
    assert surveyor.sizes(large)[-1][0] < surveyor.sizes(SETTING)[-1][0] == GRIDS[1][0]


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_has_a_range_that_can_be_planned(name: str) -> None:
    values = parameter_range(SETTING, name, 5)
    assert values == sorted(set(values))
    for value in (values[0], values[-1]):
        assert plan(PARAMETERS[name].set(SETTING.problem, value))


def test_a_short_model_has_short_prompts() -> None:
    short = replace(SETTING, model=replace(MODEL, max_positions=100), prompt_tokens=10, new_tokens=64)
    assert parameter_range(short, "prompt_tokens", 6)[-1] == 36
