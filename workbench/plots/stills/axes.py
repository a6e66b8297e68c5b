"""A plotly figure's axes as matplotlib's: where they lie, how values become places, ranges and ticks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis as Side
from matplotlib.figure import Figure

from workbench.plots.stills.style import GRID, TEXT, Numbers, ink, numbers, plain, text_pt

__all__ = ["CARTESIAN", "Axis", "Panel", "finish", "pair_of", "panels_of"]

CARTESIAN = ("bar", "heatmap", "scatter")
Letter = Literal["x", "y"]
Range = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """One of plotly's axes."""

    letter: Letter
    name: str  # x, x2, y …
    spec: Any  # plotly's settings
    root: str  # the axis whose range and categories it shares; itself where there is none
    domain: Range  # of the plot's width or height
    categories: tuple[str, ...] | None  # in order; None where values are numbers

    def numbers(self, values: Iterable[Any] | None) -> Numbers:
        """Where a trace's values lie."""
        if self.categories is None:
            return numbers(values)
        index = {c: i for i, c in enumerate(self.categories)}
        return numbers(None if v is None else index[str(v)] for v in ([] if values is None else values))

    def place(self, value: Any) -> float:
        """Where a shape's or tick's value lies: a number means the place itself, among categories too."""
        if self.categories is not None and str(value) in self.categories:
            return float(self.categories.index(str(value)))
        return float(value)

    def side(self, axes: Axes) -> Side:
        """Matplotlib's axis."""
        return axes.xaxis if self.letter == "x" else axes.yaxis


@dataclass(frozen=True)
class Panel:
    """A pair of axes to draw in."""

    x: Axis
    y: Axis
    axes: Axes
    leads: tuple[bool, bool]  # whether it shows its x and its y axis: the first panel does

    @property
    def domain(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top in shares of the plot."""
        return self.x.domain[0], self.y.domain[0], self.x.domain[1], self.y.domain[1]

    @property
    def sides(self) -> tuple[tuple[Axis, bool], ...]:
        """Both axes, and whether each shows ticks and title."""
        return (self.x, self.leads[0]), (self.y, self.leads[1])


def pair_of(trace: Any) -> tuple[str, str]:
    """Plotly's names of the axes that a trace is drawn in."""
    return trace.xaxis or "x", trace.yaxis or "y"


def panels_of(figure: go.Figure, page: Figure) -> dict[tuple[str, str], Panel]:
    """Every pair of axes that is laid out or drawn in, by plotly's names."""
    axes = {name: _axis(figure, name) for pair in _pairs(figure) for name in pair}
    panels: dict[tuple[str, str], Panel] = {}
    seen: set[str] = set()
    for x, y in _pairs(figure):
        drawn_in = page.add_axes((0, 0, 1, 1), label=f"{x} {y}", facecolor="none")
        panels[x, y] = Panel(axes[x], axes[y], drawn_in, (x not in seen, y not in seen))
        seen |= {x, y}
        own = [t for t in figure.data if t.type in CARTESIAN and pair_of(t) == (x, y)]
        _dress(panels[x, y], lines_only=all(t.type == "scatter" and t.mode == "lines" for t in own))
    return panels


def _pairs(figure: go.Figure) -> list[tuple[str, str]]:
    keys = sorted((key for key in figure.layout if key.startswith("xaxis")), key=lambda k: (len(k), k))
    laid_out = [(key.replace("axis", ""), figure.layout[key].anchor) for key in keys]
    drawn = [pair_of(t) for t in figure.data if t.type in CARTESIAN]
    return list(dict.fromkeys([*(p for p in laid_out if str(p[1]).startswith("y")), *drawn]))


def _spec(figure: go.Figure, name: str) -> Any:
    key = f"{name[0]}axis{name[1:]}"
    return figure.layout[key] if key in figure.layout else go.layout[f"{name[0].upper()}Axis"]()


def _axis(figure: go.Figure, name: str) -> Axis:
    spec, root = _spec(figure, name), _root(figure, name)
    under = _spec(figure, spec.overlaying) if str(spec.overlaying)[0] == name[0] else spec
    letter: Letter = "x" if name[0] == "x" else "y"
    domain = tuple(under.domain or (0.0, 1.0))
    return Axis(letter, name, spec, root, domain, _categories(figure, letter, root))


def _root(figure: go.Figure, name: str) -> str:
    matched = _spec(figure, name).matches
    return _root(figure, matched) if matched and matched != name else name


def _categories(figure: go.Figure, letter: Letter, root: str) -> tuple[str, ...] | None:
    """In plotly's order: those listed, then as the traces bring them."""
    own = [
        t for t in figure.data if t.type in CARTESIAN and _root(figure, t[f"{letter}axis"] or letter) == root
    ]
    values = [v for t in own if t[letter] is not None for v in t[letter] if v is not None]
    spec = _spec(figure, root)
    if spec.type in ("linear", "log") or not (spec.type == "category" or any(map(_is_word, values))):
        return None
    listed = () if spec.categoryarray is None else spec.categoryarray
    names = list(dict.fromkeys(map(str, [*listed, *values])))
    order = str(spec.categoryorder)
    return tuple(sorted(names, reverse="descending" in order) if order.startswith("category") else names)


def _is_word(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return True
    return False


def _dress(panel: Panel, *, lines_only: bool) -> None:
    """Scales, and our look: pale lines at the left and the bottom, no ticks."""
    axes = panel.axes
    axes.set_axisbelow(True)
    axes.grid(False)  # whatever the user's matplotlibrc says
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(which="both", length=0, pad=4, labelsize=text_pt(None), labelcolor=TEXT)
    for axis, _ in panel.sides:
        axes.set(**{f"{axis.letter}scale": "log" if axis.spec.type == "log" else "linear"})
    axes.margins(x=0.0 if lines_only else 0.05, y=0.06)


def finish(panels: Sequence[Panel]) -> None:
    """Ranges, ticks and titles, once everything is drawn that they depend on."""
    for letter in ("x", "y"):
        _set_ranges(panels, letter)
    for panel in panels:
        for axis, leads in panel.sides:
            _set_ticks(panel.axes, axis, leads)


def _set_ranges(panels: Sequence[Panel], letter: Letter) -> None:
    """One range for all panels that share it: what is drawn in any of them, or what plotly's axis says."""
    shared: dict[str, list[Panel]] = {}
    for panel in panels:
        shared.setdefault(_of(panel, letter).root, []).append(panel)
    for group in shared.values():
        spans = [_span(p, letter) for p in group]
        span = min(low for low, _ in spans), max(high for _, high in spans)
        for panel in group:
            panel.axes.set(**{f"{letter}lim": _range(_of(panel, letter).spec, span)})


def _of(panel: Panel, letter: Letter) -> Axis:
    return panel.x if letter == "x" else panel.y


def _span(panel: Panel, letter: Letter) -> Range:
    """From the lowest to the highest, with some room; whole categories."""
    axes, axis = panel.axes, _of(panel, letter)
    if axis.categories is None:
        low, high = axes.get_xlim() if letter == "x" else axes.get_ylim()
        return (min(low, 0.0), max(high, 0.0)) if axis.spec.rangemode == "tozero" else (low, high)
    low, high = axes.dataLim.intervalx if letter == "x" else axes.dataLim.intervaly
    if not low <= high:
        return -0.5, max(1, len(axis.categories)) - 0.5
    return floor(low + 0.5 + 1e-9) - 0.5, ceil(high - 0.5 - 1e-9) + 0.5


def _range(spec: Any, span: Range) -> Range:
    """Plotly's own range where it has one, in powers of ten if logarithmic, turned round where it says so."""
    low, high = span
    if spec.range is not None and spec.autorange in (None, False):
        power = (lambda v: 10.0**v) if spec.type == "log" else float
        ends = [own if end is None else power(end) for own, end in zip(span, spec.range, strict=True)]
        return ends[0], ends[1]
    return (high, low) if spec.autorange == "reversed" else (low, high)


def _set_ticks(axes: Axes, axis: Axis, leads: bool) -> None:
    spec, side = axis.spec, axis.side(axes)
    if spec.showticklabels is False or not leads:
        side.set_tick_params(labelbottom=False, labelleft=False)
    if spec.visible is False:
        side.set_visible(False)
    low, high = side.get_data_interval()
    empty = axis.spec.range is None and not low <= high
    locator, formatter = _ticks(axis, sorted(side.get_view_interval()), empty)
    side.set_major_locator(locator)
    side.set_major_formatter(formatter)
    side.set_minor_locator(ticker.NullLocator())
    if spec.side in ("right", "top"):
        _turn_over(axes, spec.side)
    if axis.categories is None and spec.showgrid is not False and not spec.overlaying:
        axes.grid(axis=axis.letter, color=GRID, linewidth=0.6)
    if spec.title.text and leads:
        font = spec.title.font
        side.set_label_text(plain(spec.title.text), size=text_pt(font.size), color=ink(font.color))


def _turn_over(axes: Axes, side: Literal["right", "top"]) -> None:
    """Ticks and title to the side where an axis does not usually have them."""
    if side == "right":
        axes.yaxis.tick_right()
        axes.yaxis.set_label_position("right")
    else:
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")


def _ticks(axis: Axis, view: Sequence[float], empty: bool) -> tuple[ticker.Locator, ticker.Formatter]:
    """Those listed, else the categories, else round numbers; none where nothing is drawn."""
    spec = axis.spec
    if spec.tickvals is not None and spec.tickmode in (None, "array"):
        texts = spec.tickvals if spec.ticktext is None else spec.ticktext
        return _fixed([axis.place(v) for v in spec.tickvals], texts)
    if axis.categories is not None:
        return _fixed(range(len(axis.categories)), axis.categories)
    if empty:
        return ticker.NullLocator(), ticker.NullFormatter()
    number = ticker.FuncFormatter(_number(spec))
    if spec.type == "log":
        return ticker.LogLocator(subs=_subs(np.log10(view[1] / view[0]))), number
    return ticker.MultipleLocator(spec.dtick) if spec.dtick else ticker.AutoLocator(), number


def _fixed(places: Iterable[float], texts: Iterable[object]) -> tuple[ticker.Locator, ticker.Formatter]:
    return ticker.FixedLocator(list(places)), ticker.FixedFormatter([plain(t) for t in texts])


def _subs(decades: float) -> tuple[float, ...]:
    """Multiples of each power of ten that get a tick: the fewer decades, the more."""
    if decades > 3:
        return (1.0,)
    return (1.0, 2.0, 5.0) if decades > 0.8 else tuple(map(float, range(1, 10)))


def _number(spec: Any) -> Callable[[float, Any], str]:
    """How plotly's axis writes a number: its format where Python knows it too, else as short as can be."""

    def text(value: float, _: Any = None) -> str:
        try:
            shown = format(value, spec.tickformat or "")
        except ValueError:
            shown = ""
        short = shown if shown and spec.tickformat else f"{value:.6g}"
        return plain(f"{spec.tickprefix or ''}{short}{spec.ticksuffix or ''}".replace("-", "−"))

    return text
