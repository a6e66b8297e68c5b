"""A study as one self-contained page: question, verdict, front, every plan, predicted against measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from workbench import __version__, plots
from workbench.errors import StudyError
from workbench.files import write_text
from workbench.plots.front import usual_axes
from workbench.plots.page import document, fragment
from workbench.plots.style import Scale
from workbench.records import OBJECTIVES, Objective, TrialRecord
from workbench.trace import RequestTrace

if TYPE_CHECKING:
    from workbench.studies.study import Study

__all__ = ["write_report"]

Run = tuple[RequestTrace, RequestTrace]
_VERSIONS = ("torch", "transformers", "optuna", "plotly", "pandas", "pyzmq")


def write_report(path: str | os.PathLike[str], study: Study, runs: Sequence[Run] = ()) -> Path:
    """Write a study's report: one HTML file of about 5 MB that asks nothing of the network.

    Args:
        path: the file; it appears whole or not at all.
        study: with at least one trial for figures to show anything.
        runs: pairs of predicted and measured requests.

    Returns:
        The path.
    """
    path = Path(path)
    write_text(path, _page(study, runs))
    return path


def _page(study: Study, runs: Sequence[Run]) -> str:
    records = study.records()
    sections = [
        f"<h1>{escape(study.name)}</h1><p class=note>{escape(study.question.title)}</p>",
        f"<p class=verdict>{escape(_verdict(study))}</p>",
        "<h2>The question</h2>" + _pairs(_question(study)),
        "<h2>The front</h2>" + _front_figures(study),
        _records_table([*study.front(), *_off_front(study)], study.goals),
        "<h2>Every split point</h2>" + _split_figure(study),
        *(_run_section(predicted, measured) for predicted, measured in runs),
        "<h2>How the search went</h2>"
        + fragment(plots.hypervolume({study.name: study.hypervolume_history()}))
        + fragment(plots.importance(study.importance())),
        fragment(plots.parallel(records, [goal.name for goal in study.goals])),
        f"<h2>Every plan tried ({len(records)})</h2>" + _records_table(records, study.goals),
        "<h2>Made with</h2>" + _pairs(_environment()),
    ]
    return document(study.name, sections)


def _verdict(study: Study) -> str:
    try:
        return study.verdict().text
    except StudyError as error:
        return str(error)


def _question(study: Study) -> dict[str, str]:
    q = study.question
    rates = f"{q.link.uplink_bps / 1e6:g} Mbit/s up, {q.link.downlink_bps / 1e6:g} Mbit/s down"
    link = f"{q.link.title}: round trip {q.link.rtt_s * 1e3:g} ms, {rates}, loss {q.link.loss:.2%}"
    goals = [f"{g.title} ({g.direction}, {g.unit}, {g.label})" for g in study.goals]
    splits = q.space.split_values(q.model.n_blocks)
    widths = f"edge bits {_listed(q.space.edge_bits)}; cloud bits {_listed(q.space.cloud_bits)}"
    size = f"{q.model.n_blocks} blocks, {q.model.params:,} parameters"
    return {
        "Model": f"{q.model.name}: {q.model.architecture}, {size}",
        "Edge": f"{q.edge.title}, {Scale.bytes(q.edge.memory_bytes).text(q.edge.memory_bytes)}",
        "Cloud": f"{q.cloud.title}, {Scale.bytes(q.cloud.memory_bytes).text(q.cloud.memory_bytes)}",
        "Link": link,
        "Request": f"{q.prompt_tokens} prompt tokens, {q.new_tokens} new tokens, batch {q.batch}",
        "Objectives": "; ".join(goals),
        "Limits": _listed(f"{name}: {bound:g}" for name, bound in q.limits.items()) or "none",
        "Space": f"splits {splits[1]} to {splits[-2]}; {widths}; wire {_listed(q.space.wires)}",
    }


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def _front_figures(study: Study) -> str:
    """The first objective against each other one; one objective alone is drawn against memory."""
    x, y, colour = usual_axes(study.goals)
    figures = [plots.front(study.records(), study.front(), x=x, y=y, colour=colour)]
    rest = [goal.name for goal in study.goals[2:]]
    figures += [plots.front(study.records(), study.front(), x=x, y=name) for name in rest]
    return "".join(map(fragment, figures))


def _split_figure(study: Study) -> str:
    """Where the time goes at each split, with the most bits and the first codec of the space."""
    traces = _traces_per_split(study)
    q = study.question
    unfit = [
        name
        for name, trace in traces.items()
        if any(n > q.devices[place].memory_bytes for place, n in trace.memory_bytes.items())
    ]
    setting = (
        f"edge {max(q.space.edge_bits)} bit, cloud {max(q.space.cloud_bits)} bit, wire {q.space.wires[0]}"
    )
    return f"<p class=note>{setting}</p>" + fragment(plots.per_split(traces, unfit=unfit))


def _traces_per_split(study: Study) -> dict[str, RequestTrace]:
    q = study.question
    bits = {"edge_bits": max(q.space.edge_bits), "cloud_bits": max(q.space.cloud_bits)}
    traces = {}
    for k in q.space.split_values(q.model.n_blocks):
        name = "cloud-only" if k < 0 else "edge-only" if k > q.model.n_blocks else str(k)
        traces[name] = study.trace(q.plan({"split": k, **bits, "wire": q.space.wires[0]}))
    return traces


def _off_front(study: Study) -> list[TrialRecord]:
    """The baselines that are not on the front, which a reader wants beside it all the same."""
    front = {record.number for record in study.front()}
    return [record for record in study.baselines() if record.number not in front]


def _run_section(predicted: RequestTrace, measured: RequestTrace) -> str:
    facts = dict(measured.facts) | {f"note {i}": note for i, note in enumerate(measured.notes, start=1)}
    return (
        f"<h2>Run for real</h2><p>{escape(measured.plan)}</p><p class=note>{escape(str(measured))}</p>"
        + fragment(plots.compare(predicted, measured))
        + fragment(plots.timeline(measured))
        + _pairs(facts)
    )


def _pairs(pairs: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in pairs.items())
    return f"<table>{rows}</table>" if rows else ""


def _records_table(records: Sequence[TrialRecord], goals: Sequence[Objective]) -> str:
    shown = [*goals, *(o for o in OBJECTIVES.values() if o not in goals and _known(o, records))]
    names = "".join(f"<th class=number>{escape(o.name)}<br><small>{o.label}</small></th>" for o in shown)
    head = f"<tr><th>trial</th><th>plan</th>{names}<th></th></tr>"
    return f"<div class=wide><table>{head}{''.join(_record_row(r, shown) for r in records)}</table></div>"


def _known(objective: Objective, records: Sequence[TrialRecord]) -> bool:
    return any(objective.name in record.values for record in records)


def _record_row(record: TrialRecord, shown: Sequence[Objective]) -> str:
    cells = "".join(f"<td class=number>{_cell(record, o)}</td>" for o in shown)
    remark = escape(record.reason) if record.state != "complete" else "baseline" if record.baseline else ""
    kind = " class=baseline" if record.baseline else ""
    return f"<tr{kind}><td>{record.number}</td><td>{escape(record.title)}</td>{cells}<td>{remark}</td></tr>"


def _cell(record: TrialRecord, objective: Objective) -> str:
    if objective.name not in record.values:
        return "–"
    value = record.values[objective.name]
    if objective.unit == "share":
        low, high = record.intervals.get(objective.name, (value, value))
        return f"{value:.1%} <small>[{low:.1%}, {high:.1%}]</small>"
    return escape(Scale.of(objective.unit, abs(value)).text(value))


def _environment() -> dict[str, str]:
    found = {"workbench": __version__, "Python": platform.python_version(), "System": platform.system()}
    for package in _VERSIONS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
