"""The figures of studies: every plan once, baselines always, labels from the objectives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from workbench import plots
from workbench.planner.pareto import non_dominated
from workbench.records import Accuracy, TrialRecord


def best_of(records: list[TrialRecord]) -> list[TrialRecord]:
    done = [r for r in records if r.state == "complete"]
    return [done[i] for i in non_dominated([(r.values["latency"], -r.values["accuracy"]) for r in done])]


def points(fig: Any) -> list[int]:
    return [row[0] for t in fig.data if t.customdata is not None for row in t.customdata]


def test_front_draws_every_complete_plan_once(records: list[TrialRecord]) -> None:
    fig = plots.front(records, best_of(records))
    assert sorted(points(fig)) == [r.number for r in records if r.state == "complete"]
    assert "1 × does not fit" in fig.layout.title.text


def test_front_names_both_baselines(records: list[TrialRecord]) -> None:
    names = {t.name for t in plots.front(records, best_of(records)).data}
    assert {"edge-only (baseline)", "cloud-only (baseline)"} <= names


def test_front_says_where_each_axis_comes_from(records: list[TrialRecord]) -> None:
    fig = plots.front(records, best_of(records))
    assert "is modelled" in fig.layout.title.text
    assert "is measured" in fig.layout.title.text
    assert fig.layout.xaxis.title.text == "Latency of the request (s, ↓ is better)"
    assert fig.layout.yaxis.title.text == "Exact match over tasks (share, ↑ is better)"


def test_front_line_goes_through_the_best_in_order(records: list[TrialRecord]) -> None:
    best = best_of(records)
    (line,) = [t for t in plots.front(records, best).data if t.name == "front"]
    assert list(line.x) == sorted(r.values["latency"] for r in best)


def test_front_line_of_three_objectives_keeps_to_the_two_drawn(records: list[TrialRecord]) -> None:
    best = best_of(records)
    third = next(r for r in records if r not in best and r.state == "complete")
    (line,) = [t for t in plots.front(records, [*best, third]).data if t.name == "front"]
    assert len(line.x) == len(best)


def test_far_apart_values_get_a_logarithmic_axis(records: list[TrialRecord]) -> None:
    far = [replace(r, values={**r.values, "latency": 50.0}) for r in records[:1]]
    assert plots.front(records, []).layout.xaxis.type == "linear"
    assert plots.front([*records, *far], []).layout.xaxis.type == "log"


def test_a_third_objective_is_the_colour(records: list[TrialRecord]) -> None:
    fig = plots.front(records, best_of(records), colour="memory")
    assert "Memory on the edge" in fig.layout.coloraxis.colorbar.title.text


def test_hovering_shows_the_plan_and_the_interval(records: list[TrialRecord]) -> None:
    fig = plots.front(records, best_of(records))
    texts = [text for t in fig.data if t.hovertext is not None for text in t.hovertext]
    assert any("split at 4, edge 8 bit, cloud 16 bit, wire int8" in t for t in texts)
    assert any("[0." in t and "(measured)" in t for t in texts)


def test_front_of_nothing_is_an_empty_figure() -> None:
    assert points(plots.front([], [])) == []


def test_unknown_objective_is_refused(records: list[TrialRecord]) -> None:
    with pytest.raises(KeyError):
        plots.front(records, [], x="beauty")


def test_hypervolume_draws_each_study_and_the_oracle() -> None:
    fig = plots.hypervolume({"a": [0.1, 0.5], "b": [0.2, 0.3]}, oracle=0.9)
    assert [t.line.dash for t in fig.data] == ["solid", "dash"]
    assert fig.layout.shapes[0].y0 == 0.9


def test_trials_are_whole() -> None:
    assert plots.hypervolume({"a": [0.1, 0.2]}).layout.xaxis.dtick == 1
    assert plots.hypervolume({"a": [0.1] * 60}).layout.xaxis.dtick is None


def test_importance_draws_each_objective_in_colour_and_pattern() -> None:
    shares = {"latency": {"split": 0.7, "edge_bits": 0.3}, "accuracy": {"edge_bits": 1.0}, "energy": {}}
    fig = plots.importance(shares)
    assert [t.name for t in fig.data] == list(shares)
    assert len({t.marker.color for t in fig.data}) == len({t.marker.pattern.shape for t in fig.data}) == 3
    assert fig.data[0].y == fig.data[1].y == ("edge bits", "split")
    assert fig.data[1].x == (100.0, 0.0)
    assert "too few plans yet for energy" in fig.layout.title.text


def test_a_baseline_that_does_not_fit_is_drawn_open(records: list[TrialRecord]) -> None:
    unfit = replace(records[0], state="infeasible", values={**records[0].values})
    fig = plots.front([unfit, *records[1:]], best_of(records[1:]), y="memory")
    (edge,) = [t for t in fig.data if t.name == "edge-only (baseline)"]
    assert edge.text == ("edge-only, does not fit",)
    assert edge.marker.symbol == ("triangle-up-open",)


def test_parallel_has_an_axis_per_choice_and_objective(records: list[TrialRecord]) -> None:
    (lines,) = plots.parallel(records, ["latency", "accuracy"]).data
    labels = [d.label for d in lines.dimensions]
    assert labels[:4] == ["edge blocks", "edge bits", "cloud bits", "wire"]
    assert len(lines.dimensions[0]["values"]) == sum(r.state == "complete" for r in records)


def test_accuracy_shows_intervals(accuracies: dict[str, Accuracy]) -> None:
    fig = plots.accuracy(accuracies)
    assert [t.name for t in fig.data] == list(accuracies)
    assert fig.data[0].x[-1] == "agreement"
    assert min(fig.data[1].error_y.array) > 0
