"""Plotly's shapes and annotations: lines, boxes and texts placed by data, by panel or by the whole plot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Patch, Rectangle
from matplotlib.text import Annotation
from matplotlib.transforms import Transform, blended_transform_factory

from workbench.plots.stills.axes import Axis, Panel
from workbench.plots.stills.sheet import Sheet
from workbench.plots.stills.style import HALO, PT, TEXT, dash, ink, plain, rgba, some, text_pt

__all__ = ["SHAPES", "draw_notes", "draw_shapes"]

SHAPES = ("line", "rect", "circle")
_Z_BELOW, _Z_ABOVE, _Z_NOTES = 0.6, 4.0, 6.0


@dataclass(frozen=True)
class _Ruler:
    """What one coordinate of a shape or a text is measured along."""

    panel: Panel | None  # None for the whole plot
    axis: Axis | None  # None where values are shares
    transform: Transform

    @classmethod
    def of(cls, sheet: Sheet, letter: str, ref: str | None) -> _Ruler:
        """From plotly's reference: x2, x2 domain or paper."""
        name, _, domain = str(ref or letter).partition(" ")
        panels = (p for p in sheet.panels.values() if name in (p.x.name, p.y.name))
        panel = next(panels, None)
        if panel is None:
            return cls(None, None, sheet.paper)
        if domain:
            return cls(panel, None, panel.axes.transAxes)
        return cls(panel, panel.x if letter == "x" else panel.y, panel.axes.transData)

    def place(self, value: Any) -> float:
        """Where the value lies."""
        return float(value) if self.axis is None else self.axis.place(value)

    def shows(self, place: float) -> bool:
        """Whether the place is within its axis's range."""
        if self.panel is None or self.axis is None:
            return True
        low, high = sorted(self.axis.side(self.panel.axes).get_view_interval())
        return low <= place <= high


def _rulers(sheet: Sheet, item: Any) -> tuple[_Ruler, _Ruler]:
    return _Ruler.of(sheet, "x", item.xref), _Ruler.of(sheet, "y", item.yref)


def draw_shapes(sheet: Sheet, layout: Any) -> None:
    """Lines, boxes and ellipses; in a panel where one of their coordinates is."""
    for shape in layout.shapes:
        if shape.visible is False or shape.type not in SHAPES:
            continue
        x, y = _rulers(sheet, shape)
        artist = _shape(shape, (x.place(shape.x0), x.place(shape.x1)), (y.place(shape.y0), y.place(shape.y1)))
        artist.set(transform=blended_transform_factory(x.transform, y.transform))
        artist.set(zorder=_Z_BELOW if shape.layer == "below" else _Z_ABOVE)
        _add(sheet, x.panel or y.panel, artist)


def _shape(shape: Any, x: tuple[float, float], y: tuple[float, float]) -> Line2D | Patch:
    stroke = {
        "color": rgba(shape.line.color or TEXT, shape.opacity),
        "linewidth": some(shape.line.width, 2.0) * PT,
        "linestyle": dash(shape.line.dash),
    }
    if shape.type == "line":
        return Line2D(x, y, **stroke)
    stroke["edgecolor"] = stroke.pop("color")
    stroke["facecolor"] = rgba(shape.fillcolor or "transparent", shape.opacity)
    width, height = x[1] - x[0], y[1] - y[0]
    if shape.type == "circle":
        return Ellipse((sum(x) / 2, sum(y) / 2), width, height, **stroke)
    return Rectangle((x[0], y[0]), width, height, **stroke)


def _add(sheet: Sheet, panel: Panel | None, artist: Line2D | Patch) -> None:
    if panel is None:
        sheet.page.add_artist(artist)
        return
    if isinstance(artist, Patch):
        panel.axes.add_patch(artist)
    else:
        panel.axes.add_line(artist)
    panel.axes.autoscale_view()


def draw_notes(sheet: Sheet, layout: Any) -> None:
    """Texts, each with its arrow if it has one; what lies outside its axis's range is left out."""
    for note in layout.annotations:
        if note.visible is False or not note.text:
            continue
        x, y = _rulers(sheet, note)
        at = _note_place(x, note.x), _note_place(y, note.y)
        if x.shows(at[0]) and y.shows(at[1]):
            text = _note(note, at, blended_transform_factory(x.transform, y.transform), (x, y))
            (sheet.notes if x.axis is None and y.axis is None else sheet.marks).append(text)
            sheet.page.add_artist(text)


def _note_place(ruler: _Ruler, value: Any) -> float:
    """On a logarithmic axis, plotly places texts by powers of ten, unlike shapes."""
    if ruler.axis is not None and ruler.axis.spec.type == "log":
        return 10.0 ** float(value)
    return ruler.place(value)


def _note(
    note: Any, at: tuple[float, float], transform: Transform, rulers: tuple[_Ruler, _Ruler]
) -> Annotation:
    points = note.showarrow is not False
    away = (some(note.ax, -10.0), -some(note.ay, -30.0)) if points else (0.0, 0.0)
    shift = away[0] + (note.xshift or 0), away[1] + (note.yshift or 0)
    return Annotation(
        plain(note.text),
        at,
        xycoords=transform,
        xytext=(shift[0] * PT, shift[1] * PT),
        textcoords="offset points",
        ha=_anchor(note.xanchor, at[0], rulers[0], ("left", "center", "right")),
        va=_anchor(note.yanchor, at[1], rulers[1], ("bottom", "center", "top")),
        rotation=-(note.textangle or 0),
        color=ink(note.font.color),
        size=text_pt(note.font.size),
        arrowprops={"arrowstyle": "-|>", "color": TEXT, "linewidth": 0.8} if points else None,
        annotation_clip=False,
        path_effects=HALO,
        zorder=_Z_NOTES,
        clip_on=False,
    )


def _anchor(given: str | None, at: float, ruler: _Ruler, names: tuple[str, str, str]) -> str:
    """Which side of the text is at its place; by itself, what keeps it within the plot."""
    if given not in (None, "auto"):
        return "center" if given == "middle" else str(given)
    if ruler.axis is not None:
        return "center"
    return names[0] if at < 1 / 3 else names[2] if at > 2 / 3 else names[1]
