"""One figure for a live panel: who wins where, how plans move with one parameter, and the plans now."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.planner.answer import Answer
from workbench.planner.problem import Problem
from workbench.planner.survey import BreakEvenMap, Sweep
from workbench.plots.axes import Panel
from workbench.plots.planning.candidates import candidates_parts
from workbench.plots.planning.look import AIM_TITLES, Parts
from workbench.plots.planning.region import region_parts
from workbench.plots.planning.sensitivity import sensitivity_parts
from workbench.plots.style import INK, TEMPLATE

__all__ = ["survey_parts"]

_HEIGHT = 1120
_MAP = Panel("", (0.0, 1.0), (0.6, 1.0), "Who wins where")
_LINES = Panel("2", (0.0, 0.58), (0.33, 0.49), "")
_CUTS = Panel("3", (0.68, 1.0), (0.33, 0.49), "Best split at block")
_PLANS = (
    Panel("4", (0.0, 0.26), (0.0, 0.18), "First token"),
    Panel("5", (0.31, 0.57), (0.0, 0.18), "Per token"),
    Panel("6", (0.62, 1.0), (0.0, 0.18), "Memory"),
)


def survey_parts(
    problem: Problem,
    answer: Answer | None,
    region: BreakEvenMap | None,
    sweep: Sweep | None,
    *,
    aim: str,
    at: Mapping[str, float] | None = None,
) -> Parts:
    """As plain dicts: for the same places always the same traces, whatever is known yet.

    Args:
        problem: what is asked now, which the map and the lines mark.
        answer: None where nothing keeps the limits.
        region, sweep: None where they are still to come.
        aim: the aim that is compared.
        at: where the problem is along some parameters, by name, where the problem itself cannot say it.
    """
    parts = [
        _without_entries(region_parts(region, problem, _MAP, at=at)),
        sensitivity_parts(sweep, problem, _LINES, _CUTS, at=_value(sweep, at or {})),
        candidates_parts(answer, problem, _PLANS),
    ]
    layout: Parts = {}
    for part in parts:
        layout |= part["layout"]
    layout["xaxis2"] |= {"showticklabels": True, "title": layout["xaxis3"].get("title", {})}
    layout["yaxis2"]["title"] = {"text": ""}  # its heading says it
    layout["annotations"] = [note for part in parts for note in part["layout"].get("annotations", [])]
    layout["shapes"] = [shape for part in parts for shape in part["layout"].get("shapes", [])]
    layout["annotations"] += [*_headings(sweep, aim), *_gaps(answer, region)]
    return {
        "data": [trace for part in parts for trace in part["data"]],
        "layout": layout | _frame(problem, aim),
    }


def _value(sweep: Sweep | None, at: Mapping[str, float]) -> float | None:
    return None if sweep is None else at.get(sweep.parameter.name)


def _without_entries(parts: Parts) -> Parts:
    """The map's regions have their names in place, and lines of the same colours name them too."""
    for trace in parts["data"]:
        if trace["name"].endswith(" wins"):
            trace["showlegend"] = False
    return parts


def _headings(sweep: Sweep | None, aim: str) -> list[dict[str, object]]:
    over = "" if sweep is None else f" over {sweep.parameter.title.partition(',')[0].lower()}"
    lines = Panel(_LINES.axis, _LINES.x, _LINES.y, f"{AIM_TITLES[aim].capitalize()}{over}")
    return [_MAP.heading("click to go there"), lines.heading(), _CUTS.heading()]


def _gaps(answer: Answer | None, region: BreakEvenMap | None) -> list[dict[str, object]]:
    """What is said in place of what is not there."""
    said = [
        (_MAP, "" if region else "being computed …"),
        (_PLANS[0], "" if answer else "no plan keeps the limits"),
    ]
    found = []
    for panel, text in said:
        place = {"x": panel.x[0] + 0.02, "y": panel.y[1] - 0.03, "xref": "paper", "yref": "paper"}
        found.append({**place, "text": text, "showarrow": False, "xanchor": "left", "font": {"color": INK}})
    return found


def _frame(problem: Problem, aim: str) -> Parts:
    request = problem.request
    tokens = f"{request.prompt_tokens} + {request.new_tokens} tokens"
    text = f"{AIM_TITLES[aim].capitalize()} of {problem.model.name}, {tokens}; modelled"
    return {
        "template": TEMPLATE,
        "height": _HEIGHT,
        "title": {"text": text, "y": 0.99, "yref": "container", "font": {"size": 13}},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 0.275,
            "yanchor": "top",
            "font": {"size": 11},
            "itemwidth": 30,
            "tracegroupgap": 0,
        },
        "margin": {"l": 112, "r": 12, "t": 62, "b": 28},
        "uirevision": "survey",
    }
