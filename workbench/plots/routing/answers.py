"""What was answered, coloured by where it was made: HTML, because it is text that is read."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from workbench.plan import CLOUD, EDGE
from workbench.plots.planning.look import tinted
from workbench.plots.style import PALETTE
from workbench.routing import Served
from workbench.trace import RequestTrace

__all__ = ["SPLIT", "answer_html", "answer_legend", "made_by"]

SPLIT = "split"
"""Beside the places: both of them made each token together."""


@dataclass(frozen=True)
class _Ground:
    colours: tuple[str, str]  # of the palette, from left to right
    line: str  # under the text: what tells it apart without colour
    title: str


_GROUNDS = {
    EDGE: _Ground(("green", "green"), "solid", "made on the edge"),
    CLOUD: _Ground(("blue", "blue"), "double", "made in the cloud"),
    SPLIT: _Ground(("green", "blue"), "dashed", "made by both, split by layer"),
}
_DRAFT = "opacity:.65;text-decoration:line-through;"


def made_by(trace: RequestTrace) -> str:
    """The place whose blocks made a text, or ``SPLIT`` where both did."""
    places = {span.place for span in trace.spans if span.kind == "compute"}
    if {EDGE, CLOUD} <= places:
        return SPLIT
    return CLOUD if CLOUD in places else EDGE


def answer_html(served: Served, *, longest: int = 400) -> str:
    """The answer on the ground of its place; before it, struck out, what the edge was not sure enough of.

    Args:
        longest: characters of each text that are shown; all of it comes up where the mouse rests.
    """
    if served.refused is not None:
        return f"<i>refused: {escape(served.refused)}</i>"
    drafts = [_marked(trace.text, made_by(trace), longest, _DRAFT) for trace in served.traces[:-1]]
    last = [_marked(trace.text, made_by(trace), longest) for trace in served.traces[-1:]]
    return " ".join([*drafts, *last])


def answer_legend() -> str:
    """What the grounds of ``answer_html`` mean."""
    grounds = [_marked(ground.title, place) for place, ground in _GROUNDS.items()]
    return " ".join([*grounds, _marked("not sure enough", EDGE, more=_DRAFT)])


def _marked(text: str, place: str, longest: int = 80, more: str = "") -> str:
    ground, line = _GROUNDS[place], " ⏎ ".join(text.strip("\n").split("\n")) or "∅"
    left, right = ground.colours
    style = (
        f"background:linear-gradient(90deg,{tinted(left, 0.22)},{tinted(right, 0.22)});"
        f"border-bottom:2px {ground.line} {PALETTE[right]};border-radius:2px;padding:0 2px;{more}"
    )
    shown = line if len(line) <= longest else line[: longest - 1] + "…"
    title = ground.title if shown == line else f"{ground.title}: {line}"
    return f"<span class='wb-{place}' title='{escape(title)}' style='{style}'>{escape(shown)}</span>"
