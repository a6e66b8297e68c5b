"""How far off a request may be: the spread of devices, the jitter of links and the model's own error.

A device that is slow is slow for the whole request: its spread acts on all of its time at once. Jitter is
drawn for each message anew, and partly cancels over many. Independent sources add up as squares.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from workbench.cost.chain import Chain
from workbench.trace import Span

__all__ = ["MODEL_ERROR", "Z80", "request_ranges"]

MODEL_ERROR = 0.05
"""What 80 % of the requests stay within whose devices keep to their modelled times exactly: those over netem
with both sides dilated, ``data/prediction.json``."""

Z80 = 1.2815515655446004
"""The normal distribution's 90 % point: 80 % lie within so many standard deviations."""


def request_ranges(
    spans: Sequence[Span],
    token_times_s: Sequence[float],
    spreads: Mapping[str, float],
    chain: Chain,
    *,
    streams: bool,
) -> dict[str, tuple[float, float]]:
    """10th and 90th percentile of "ttft", "tpot" and "total" in seconds; empty where no spread is known.

    Args:
        spreads: by place, the relative half-width between the 10th and 90th percentile of its time.
        streams: tokens come unasked, so that only the first and the last one's jitter counts.
    """
    jitter_s = {}
    for i, link in enumerate(chain.links):
        jitter_s[chain.link_name(i), "uplink"] = link.way("up").jitter_s
        jitter_s[chain.link_name(i), "downlink"] = link.way("down").jitter_s
    if not any(spreads.values()) and not any(jitter_s.values()):
        return {}
    last, ends = len(token_times_s) - 1, (token_times_s[0], token_times_s[-1])
    first = [s for s in spans if s.token == 0]
    later = [s for s in spans if s.token > 0]
    if streams:
        later = [s for s in later if s.place in spreads or s.token == last]
    halves = {
        "ttft": _half_s(first, spreads, jitter_s),
        "total": _half_s([*first, *later], spreads, jitter_s),
    }
    middle = {"ttft": ends[0], "total": ends[1]}
    if last:
        halves["tpot"] = _half_s(later, spreads, jitter_s) / last
        middle["tpot"] = (ends[1] - ends[0]) / last
    return {name: _around(middle[name], half) for name, half in halves.items()}


def _around(middle_s: float, half_s: float) -> tuple[float, float]:
    half_s = math.hypot(half_s, MODEL_ERROR * middle_s)
    return max(0.0, middle_s - half_s), middle_s + half_s


def _half_s(
    spans: Iterable[Span], spreads: Mapping[str, float], jitter_s: Mapping[tuple[str, str], float]
) -> float:
    busy_s = dict.fromkeys(spreads, 0.0)
    squares = 0.0
    for span in spans:
        if span.place in busy_s:
            busy_s[span.place] += span.duration_s
        else:
            squares += (Z80 * jitter_s.get((span.place, span.kind), 0.0)) ** 2
    return math.sqrt(squares + sum((spreads[place] * seconds) ** 2 for place, seconds in busy_s.items()))
