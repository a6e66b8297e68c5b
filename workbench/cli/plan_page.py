"""An answer as one self-contained page: verdict, plans beside not splitting, where the time goes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import numpy as np

from workbench import __version__, plots
from workbench.cli.plan_table import Table, considered, front_table, obstacles, plans_table
from workbench.cli.text import quantity
from workbench.planner import Answer, BreakEvenMap, Problem, break_even
from workbench.planner.scenario import Scenario
from workbench.plots.page import document, fragment
from workbench.profiles import LinkProfile

__all__ = ["figures", "page"]

_MAPPED = 50_000  # plans that each cell of a map looks at
_AROUND, _CELLS = 30.0, 13  # a map reaches so many times up and down, in so many steps
_LEAST_RTT_S = 1e-4


def page(scenario: Scenario, answer: Answer, seconds: float) -> str:
    """The whole page, which asks nothing of the network.

    Args:
        seconds: that planning took.
    """
    name = answer.problem.model.name
    title = scenario.title or f"A plan for {name}"
    sections = [
        f"<h1>{escape(title)}</h1><p class=note>{escape(name)}, every number modelled</p>",
        f"<p class=verdict>{escape(answer.verdict)}</p>",
        *(f"<p>{escape(text)}</p>" for text in [*obstacles(answer), *answer.notes]),
        "<h2>The plans</h2>" + _table(plans_table(answer)) + _named_plans(answer),
        *(["<h2>The front</h2>" + _table(front_table(answer))] if answer.front else []),
        "<h2>Where the time goes</h2>" + _table(_spent(answer)),
        *(f"<h2>{escape(heading)}</h2>{fragment(figure)}" for heading, figure in figures(answer).items()),
        "<h2>The scenario</h2>" + _pairs(_question(scenario, answer)),
        f"<details><summary>All of it, as JSON</summary><pre>{escape(_json(scenario))}</pre></details>",
        f"<p class=note>{escape(considered(answer, seconds))}; workbench {escape(__version__)}</p>",
    ]
    return document(title, sections)


def figures(answer: Answer) -> dict[str, Any]:
    """What is drawn, by heading."""
    problem, found = answer.problem, {"Plans side by side": plots.candidates(answer)}
    found[f"Where the blocks are, best: {answer.best.title}"] = plots.chain(answer)
    if answer.best_split is not None and not answer.splits:
        found[f"Where the blocks are, best {answer.best_split.title}"] = plots.chain(answer, split=True)
    if len(problem.links) == 1 and answer.n_plans <= _MAPPED:
        found["Who wins where"] = plots.break_even(_map(problem))
    return found


def _map(problem: Problem) -> BreakEvenMap:
    """Who wins over the bandwidth and round trip around the scenario's own."""
    uplink_bps, rtt_s = problem.links[0].uplink_bps, max(problem.links[0].rtt_s, _LEAST_RTT_S)
    x, y = (np.geomspace(value / _AROUND, value * _AROUND, _CELLS) for value in (uplink_bps, rtt_s))
    return break_even(problem, "bandwidth", x.tolist(), "rtt", y.tolist())


def _spent(answer: Answer) -> Table:
    """Seconds of each place and link, one column per plan."""
    sums = {title: p.trace.seconds_by() for title, p in answer.plans.items()}
    parts = list(dict.fromkeys(part for found in sums.values() for part in found))
    rows = [
        [_part(*part), *(quantity(found.get(part, 0.0), "s") for found in sums.values())] for part in parts
    ]
    return Table(["", *sums], rows)


def _part(place: str, kind: str) -> str:
    return f"{place}: {kind.replace('_', ' ')}"


def _named_plans(answer: Answer) -> str:
    return _pairs({title: str(p.plan) for title, p in answer.plans.items()})


def _question(scenario: Scenario, answer: Answer) -> dict[str, str]:
    model, r = answer.problem.model, scenario.request
    limits = scenario.to_dict()["constraints"]
    aims = scenario.front or [f"{name} × {weight:g}" for name, weight in scenario.aims.items()]
    return {
        "Model": f"{model.name}: {model.architecture}, {model.n_blocks} blocks, {model.params:,} parameters",
        **{f"Device: {place}": device.title for place, device in scenario.devices.items()},
        **{f"Link {i}": _link(link) for i, link in enumerate(scenario.links, start=1)},
        "Request": f"{r.prompt_tokens} prompt tokens, {r.new_tokens} new tokens, batch {r.batch}",
        "Objectives": _listed(aims),
        "Limits": _listed(f"{k}: {v}" for k, v in limits.items()) or "none but the devices' memories",
        "Placement": _listed(scenario.pins) or "free",
    }


def _link(link: LinkProfile) -> str:
    rates = f"{quantity(link.uplink_bps, 'bit/s')} up, {quantity(link.downlink_bps, 'bit/s')} down"
    return f"{link.title}: round trip {quantity(link.rtt_s, 's')}, {rates}"


def _json(scenario: Scenario) -> str:
    return json.dumps(scenario.to_dict(), indent=2, ensure_ascii=False)


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def _pairs(pairs: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in pairs.items())
    return f"<table>{rows}</table>"


def _table(found: Table) -> str:
    head = "".join(f"<th{_number(i)}>{escape(cell)}</th>" for i, cell in enumerate(found.header))
    rows = "".join(
        "<tr>" + "".join(f"<td{_number(i)}>{escape(cell)}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in found.rows
    )
    return f"<div class=wide><table><tr>{head}</tr>{rows}</table></div>"


def _number(column: int) -> str:
    return " class=number" if column else ""
