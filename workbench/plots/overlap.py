"""Time that the user waits, shared out among what happens meanwhile.

A cloud that streams tokens computes one while others are still on their way: durations then add up to more
than the wait. Here each moment counts once: for the device that works in it, else for the link.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from workbench.trace import RequestTrace

__all__ = ["Key", "waiting_by"]

Key = tuple[str, str]
"""Place and kind of spans."""
_Piece = tuple[float, float, Key]
_NOTHING_S = 1e-9


def waiting_by(trace: RequestTrace, phase: str) -> dict[Key, float]:
    """Seconds per (place, kind) up to the first token, or from the first to the last.

    They sum to the phase's wait, less the moments in which nothing is known to happen.
    """
    if not trace.token_times_s:
        return {}
    first, last = trace.token_times_s[0], trace.token_times_s[-1]
    low, high = (0.0, first) if phase == "prefill" else (first, last)
    spans = ((max(s.start_s, low), min(s.end_s, high), (s.place, s.kind)) for s in trace.spans)
    pieces = sorted(p for p in spans if p[1] > p[0])
    return _sums(pieces if _one_after_another(pieces) else _shared(pieces))


def _one_after_another(pieces: list[_Piece]) -> bool:
    return all(after[0] >= before[1] - _NOTHING_S for before, after in pairwise(pieces))


def _sums(pieces: Iterable[_Piece]) -> dict[Key, float]:
    sums: dict[Key, float] = {}
    for start, end, key in pieces:
        sums[key] = sums.get(key, 0.0) + end - start
    return sums


def _shared(pieces: list[_Piece]) -> Iterable[_Piece]:
    """Between two neighbouring events, equal parts for all kinds of work that count then."""
    events = sorted([(p[0], 1, p[2]) for p in pieces] + [(p[1], -1, p[2]) for p in pieces])
    running: dict[Key, int] = {}
    for (now, change, key), (then, _, _) in pairwise(events):
        running[key] = running.get(key, 0) + change
        busy = [k for k, count in running.items() if count]
        counted = [k for k in busy if k[0] != "link"] or busy
        for k in counted if then > now else ():
            yield 0.0, (then - now) / len(counted), k
