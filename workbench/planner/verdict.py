"""What the numbers say in one sentence. Not to split is always a possible answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from workbench.errors import UnknownNameError
from workbench.plan import CLOUD
from workbench.planner.aims import TIE
from workbench.trace import RequestTrace

__all__ = ["METRICS", "Verdict", "dominant", "verdict"]

METRICS: Mapping[str, tuple[str, Callable[[RequestTrace], float]]] = {
    "total": ("in total", lambda trace: trace.total_s),
    "ttft": ("to the first token", lambda trace: trace.ttft_s),
    "tpot": ("per token", lambda trace: trace.tpot_s),
}
"""What can be compared: how a sentence says it, and the seconds of a trace."""


@dataclass(frozen=True)
class Verdict:
    """Which of a split and its two baselines is fastest."""

    text: str
    best: str  # "split", "edge-only", "cloud-only", or "tie"
    seconds: Mapping[str, float]  # by candidate
    metric: str  # one of METRICS

    def __str__(self) -> str:
        return self.text


def verdict(
    trace: RequestTrace,
    edge_only: RequestTrace | None,
    cloud_only: RequestTrace | None,
    *,
    metric: str = "total",
) -> Verdict:
    """Compare a plan with both ways of not splitting.

    Args:
        trace: the plan's request, predicted or run.
        edge_only, cloud_only: the same request unsplit; None where it cannot run.
        metric: one of ``METRICS``.

    Raises:
        UnknownNameError: no metric is called so.
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    phrase, value = METRICS[metric]
    baselines = {"edge-only": edge_only, "cloud-only": cloud_only}
    traces = {"split": trace, **{name: found for name, found in baselines.items() if found is not None}}
    seconds = {name: value(found) for name, found in traces.items()}
    best = _best(seconds)
    missing = "".join(f" {name} cannot run here." for name, found in baselines.items() if found is None)
    text = f"{_comparison(best, seconds, traces, phrase)} {_where(trace)}{_capitalised(missing)}"
    return Verdict(text.strip(), best, seconds, metric)


def dominant(trace: RequestTrace) -> tuple[str, float]:
    """What takes most of a request's time, and its share of all spans."""
    sums: dict[str, float] = {}
    for (place, kind), spent in trace.seconds_by().items():
        sums[_part(place, kind)] = sums.get(_part(place, kind), 0.0) + spent
    if not sums or sum(sums.values()) == 0:
        return "nothing", 0.0
    name = max(sums, key=lambda key: sums[key])
    return name, sums[name] / sum(sums.values())


def _part(place: str, kind: str) -> str:
    if kind in ("uplink", "downlink"):
        return "the link"
    return f"{kind.replace('_', ' ')} {'in' if place == CLOUD else 'on'} the {place}"


def _best(seconds: Mapping[str, float]) -> str:
    best = min(seconds, key=lambda name: seconds[name])
    others = [value for name, value in seconds.items() if name not in ("split", best)]
    if best == "split" and others and min(others) <= seconds["split"] * TIE:
        return "tie"
    if best != "split" and seconds["split"] <= seconds[best] * TIE:
        return "tie"
    return best


def _comparison(
    best: str, seconds: Mapping[str, float], traces: Mapping[str, RequestTrace], phrase: str
) -> str:
    others = {name: value for name, value in seconds.items() if name != "split"}
    if not others:
        return f"Split: nothing to compare with, {_duration(seconds['split'])} {phrase} ({_label(traces)})."
    if best == "tie":
        near = min(others, key=lambda name: others[name])
        return (
            f"Don't split for speed: {near} takes as long ({_label(traces)}), "
            f"{_duration(others[near])} against {_duration(seconds['split'])} {phrase}."
        )
    if best == "split":
        faster = " and ".join(
            f"{_ratio(v, seconds['split'])} faster than {name}" for name, v in others.items()
        )
        return f"Split: {faster} ({_label(traces)}), {_duration(seconds['split'])} {phrase}."
    return (
        f"Don't split: {best} is {_ratio(seconds['split'], seconds[best])} faster ({_label(traces)}), "
        f"{_duration(seconds[best])} against {_duration(seconds['split'])} {phrase}."
    )


def _where(trace: RequestTrace) -> str:
    name, share = dominant(trace)
    return f"Of the plan's own time {share:.0%} is {name}." if share else ""


def _label(traces: Mapping[str, RequestTrace]) -> str:
    own, others = traces["split"].label, sorted({t.label for name, t in traces.items() if name != "split"})
    return own if others in ([], [own]) else f"{own} against {' and '.join(others)}"


def _ratio(slow: float, fast: float) -> str:
    ratio = slow / fast if fast > 0 else float("inf")
    return f"{ratio:.0f} ×" if ratio >= 10 else f"{ratio:.2g} ×" if ratio >= 1.15 else f"{ratio:.2f} ×"


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def _capitalised(text: str) -> str:
    return text.replace(" edge", " Edge").replace(" cloud", " Cloud")
