"""The board of a study is one figure whose traces stay the same from the first trial to the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import plots
from workbench.planner.pareto import non_dominated
from workbench.plots.style import TEMPLATE
from workbench.records import Objective, TrialRecord, objective

GOALS = (objective("latency"), objective("accuracy"), objective("memory"))
SHARES = {"latency": {"split": 0.8, "wire": 0.2}, "accuracy": {}}


def best_of(records: Sequence[TrialRecord], goals: Sequence[Objective]) -> list[TrialRecord]:
    signs = [1 if goal.direction == "minimize" else -1 for goal in goals]
    done = [r for r in records if r.state == "complete"]
    points = [[s * r.values[g.name] for g, s in zip(goals, signs, strict=True)] for r in done]
    return [done[i] for i in non_dominated(points)]


def draw(records: Sequence[TrialRecord], n_goals: int = 2, **settings: Any) -> Any:
    goals = GOALS[:n_goals]
    history = settings.pop("history", {"mine": [0.1 * i for i in range(len(records))]})
    return plots.board(records, best_of(records, goals), goals, history=history, **settings)


def named(fig: Any, name: str) -> Any:
    (trace,) = [t for t in fig.data if t.name == name and t.xaxis in (None, "x")]
    return trace


def shape_of(fig: Any) -> list[tuple[str, str | None, str | None]]:
    """What a live figure relies on: kind, name and axis of each trace, in order."""
    return [(t.type, t.name, getattr(t, "xaxis", None)) for t in fig.data]


def numbers(fig: Any) -> list[int]:
    return [row[0] for t in fig.data if getattr(t, "customdata", None) for row in t.customdata]


@settings(max_examples=25)
@given(kept=st.sets(st.integers(0, 29)), n_goals=st.sampled_from([1, 2, 3]))
def test_traces_are_the_same_whatever_was_tried(
    records: list[TrialRecord], kept: set[int], n_goals: int
) -> None:
    tried = [record for record in records if record.number in kept]
    fig = draw(tried, n_goals)
    assert shape_of(fig) == shape_of(draw([], n_goals))
    assert sorted(numbers(fig)) == [r.number for r in tried if r.state == "complete"]


def test_every_marker_says_what_it_is(records: list[TrialRecord]) -> None:
    fig = draw(records, 3)
    told = [text for t in fig.data if getattr(t, "hovertext", None) for text in t.hovertext]
    assert len(told) == len(numbers(fig))
    assert all("trial " in t and "(modelled)" in t and "(measured)" in t for t in told)
    assert all("Memory on the edge" in t for t in told)


def test_the_axes_are_the_goals_unless_others_are_asked_for(records: list[TrialRecord]) -> None:
    fig = draw(records, 3)
    assert fig.layout.xaxis.title.text.startswith("Latency")
    assert fig.layout.yaxis.title.text.startswith("Exact match")
    assert fig.layout.coloraxis.colorbar.title.text == "Memory on the edge (GB, modelled)"
    other = draw(records, 3, x="memory", y="latency", colour="edge_blocks")
    assert other.layout.xaxis.title.text.startswith("Memory")
    assert other.layout.coloraxis.colorbar.title.text == "blocks on the edge"
    with pytest.raises(KeyError):
        draw(records, x="beauty")


@pytest.mark.parametrize(("goal", "up"), [("latency", "Memory"), ("memory", "Latency")])
def test_one_objective_is_drawn_against_a_second_number(
    records: list[TrialRecord], goal: str, up: str
) -> None:
    fig = plots.board(records, records[:1], [objective(goal)], history={"mine": []})
    assert fig.layout.yaxis.title.text.startswith(up)


def test_the_chosen_trial_has_a_ring(records: list[TrialRecord]) -> None:
    assert named(draw(records), "chosen").x == ()
    ringed = named(draw(records, chosen=records[7].number), "chosen")
    assert ringed.x == (records[7].values["latency"],)


def test_other_fronts_are_dashed_steps_in_the_look_of_their_history(records: list[TrialRecord]) -> None:
    best = best_of(records, GOALS[:2])
    fig = draw(records, history={"mine": [0.1], "theirs": [0.2]}, others={"theirs": best, "third": best[:1]})
    lines = {name: named(fig, name) for name in ("theirs", "third")}
    assert len({line.marker.symbol for line in lines.values()}) == 2
    assert all(line.line.dash != "solid" and line.line.shape == "hv" for line in lines.values())
    (volume,) = [t for t in fig.data if t.name == "theirs" and t.xaxis == "x2"]
    assert volume.line.color == lines["theirs"].line.color
    assert len(lines["theirs"].x) == len(best)


def test_baselines_are_named_where_they_stand_or_said_not_to_fit(records: list[TrialRecord]) -> None:
    fig = draw(records[:2])
    assert named(fig, "edge-only (baseline)").text == ("edge-only",)
    assert named(fig, "cloud-only (baseline)").text == ("cloud-only",)
    bare = TrialRecord(0, records[0].plan, "infeasible", {"latency": 1.0}, reason="too big", baseline=True)
    assert "edge-only does not fit" in draw([bare, *records[1:]]).layout.title.text


def test_what_is_not_known_yet_is_said(records: list[TrialRecord]) -> None:
    texts = [[a.text for a in draw(shown).layout.annotations] for shown in ([], records)]
    assert "no plan tried yet" in texts[0]
    assert "no plan tried yet" not in texts[1]
    assert "too few plans yet" in texts[1]
    fig = draw(records, importance=SHARES)
    assert "too few plans yet" not in [a.text for a in fig.layout.annotations]
    assert shape_of(fig) == shape_of(draw(records))


def test_the_board_has_the_one_look(records: list[TrialRecord]) -> None:
    assert draw(records).layout.template == TEMPLATE
