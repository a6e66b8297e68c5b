"""One sentence that says what to do, and why: whether to split, what it gains, and what takes the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from workbench.planner.aims import AIMS, TIE, Aim
from workbench.planner.answer import Answer, Proposal
from workbench.planner.problem import Problem
from workbench.planner.quantity import quantity
from workbench.trace import RequestTrace

__all__ = ["LINK", "reasoned", "seconds_of"]

LINK = "the link"

_PHASES = {"ttft": "prefill", "tpot": "decode"}
_STEPS = {"ttft": "way to its first token", "tpot": "decode step"}


def reasoned(answer: Answer, aim: str) -> Answer:
    """The answer with its verdict."""
    return replace(answer, verdict=_sentence(answer, AIMS[aim]))


def _sentence(answer: Answer, aim: Aim) -> str:
    split, unsplit = answer.best_split, _best_unsplit(answer, aim)
    impossible = _impossible(answer.baselines)
    if split is None:
        return f"Don't split: no split keeps the limits. {_title(answer.best)}.{impossible}"
    if unsplit is None:
        return f"Split: nothing unsplit keeps the limits, {split.title} does.{impossible}"
    name, other = unsplit
    ours, theirs = split.values[aim.name], other.values[aim.name]
    if answer.best.is_split and not _better(theirs * (1 / TIE if not aim.maximised else TIE), ours, aim):
        why = _why(answer.problem, aim, loser=other, name=name, winner=split)
        return f"Split: {split.title} {_gain(ours, theirs, aim)} than {name}: {why}.{impossible}"
    if _better(theirs, ours * (1 / TIE if not aim.maximised else TIE), aim):
        why = _why(answer.problem, aim, loser=split, name="the split", winner=other)
        return f"Don't split: {name} {_gain(theirs, ours, aim)} than the best split: {why}.{impossible}"
    return (
        f"Don't split for this: {name} is as good as the best split, {quantity(theirs, aim.unit)} against "
        f"{quantity(ours, aim.unit)} {aim.phrase}.{impossible}"
    )


def _best_unsplit(answer: Answer, aim: Aim) -> tuple[str, Proposal] | None:
    kept = [(name, found) for name, found in answer.baselines.items() if not found.broken]
    return min(kept, key=lambda row: aim.sign * row[1].values[aim.name], default=None)


def _better(a: float, b: float, aim: Aim) -> bool:
    return aim.sign * a < aim.sign * b


def _gain(better: float, worse: float, aim: Aim) -> str:
    """By how much: ``is faster by 38 ms a token (1.4 x)``."""
    ratio = (better / worse if aim.maximised else worse / better) if better and worse else float("inf")
    word = "is faster" if aim.unit == "s" else "gives more" if aim.maximised else "takes less"
    times = f" ({ratio:.3g} ×)" if 1.05 <= ratio < 1e4 else ""
    return f"{word} by {quantity(abs(worse - better), aim.unit)} {aim.phrase}{times}"


def _why(problem: Problem, aim: Aim, *, loser: Proposal, name: str, winner: Proposal) -> str:
    """What the loser spends most more on, and how much of its own time that is."""
    phase = _PHASES.get(aim.name)
    ours, theirs = (seconds_of(p.trace, phase) for p in (loser, winner))
    if not ours:
        return "nothing else differs"
    part = max(ours, key=lambda key: ours[key] - theirs.get(key, 0.0))
    total_s = sum(ours.values())
    of = f"{ours[part] / total_s:.0%} of {name}'s {_STEPS.get(aim.name, 'time')}"
    if part != LINK:
        return f"{part} is {of}"
    waited_s = _round_trips_s(problem, loser.trace, phase)
    if waited_s > 0.5 * ours[part]:
        return f"the link's round trip is {waited_s / total_s:.0%} of {name}'s {_STEPS.get(aim.name, 'time')}"
    return f"sending over the link is {of}"


def seconds_of(trace: RequestTrace, phase: str | None = None) -> dict[str, float]:
    """Seconds of each part: computing by place, all links together."""
    sums: dict[str, float] = {}
    for (place, kind), seconds in trace.seconds_by(phase=phase).items():
        part = LINK if kind in ("uplink", "downlink") else f"computing on {place}"
        sums[part] = sums.get(part, 0.0) + seconds
    return sums


def _round_trips_s(problem: Problem, trace: RequestTrace, phase: str | None) -> float:
    """What of a phase is the links' delay alone."""
    delays: Mapping[str, float] = {
        problem.chain.link_name(i): link.rtt_s / 2 for i, link in enumerate(problem.links)
    }
    spans = [span for span in trace.spans if phase in (None, span.phase)]
    return sum(min(delays.get(span.place, 0.0), span.duration_s) for span in spans)


def _impossible(baselines: Mapping[str, Proposal]) -> str:
    """Which ways of not splitting keep no limit, and what the first of them lacks."""
    broken = {name: proposal.broken[0] for name, proposal in baselines.items() if proposal.broken}
    if not broken:
        return ""
    first, *others = broken
    said = f" {first} cannot be: {broken[first]}"
    return said + (f"; nor can {', '.join(others)}." if others else ".")


def _title(proposal: Proposal) -> str:
    return proposal.title[0].upper() + proposal.title[1:]
