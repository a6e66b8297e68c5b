"""The sheet that a still is drawn on: what moves with the plot's area, and how that is fitted to its room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, Bbox, Transform

from workbench.plots.stills.axes import Panel, panels_of
from workbench.plots.stills.style import DPI

__all__ = ["Box", "Sheet"]

_ROUNDS = 4  # what juts out of the plot's area depends on its size: some rounds settle it
_LEAST_PX = 40
_PLOT = 0.78  # share of a page that is about its plot's


class Box(NamedTuple):
    """A rectangle: in pixels from the page's lower left, or in shares of the plot's area."""

    left: float
    bottom: float
    right: float
    top: float


@dataclass(frozen=True)
class Sheet:
    """A page with its panels."""

    page: Figure
    canvas: FigureCanvasAgg
    panels: Mapping[tuple[str, str], Panel]  # by plotly's names of the axes
    frames: list[tuple[Axes, Box]]  # all axes, with their place in the plot's area
    notes: list[Text] = field(default_factory=list)  # placed by panel or by the whole plot
    marks: list[Text] = field(default_factory=list)  # placed by data along one axis or both
    area: Affine2D = field(default_factory=Affine2D)  # from shares of the plot's area to shares of the page

    @classmethod
    def of(cls, figure: go.Figure, width_px: int, height_px: int) -> Sheet:
        """A white page with the figure's empty panels."""
        inches = ((width_px + 1e-6) / DPI, (height_px + 1e-6) / DPI)  # or 1.13 inches were 112 pixels
        page = Figure(inches, dpi=DPI, facecolor="white")
        page.set_layout_engine("none")  # whatever the user's matplotlibrc says
        canvas = FigureCanvasAgg(page)
        panels = panels_of(figure, page)
        return cls(page, canvas, panels, [(p.axes, Box(*p.domain)) for p in panels.values()])

    @property
    def renderer(self) -> RendererAgg:
        """What measures texts."""
        return self.canvas.get_renderer()

    @property
    def paper(self) -> Transform:
        """Plotly's paper: shares of the plot's area."""
        return self.area + self.page.transFigure

    @property
    def box(self) -> Box:
        """The whole page."""
        return Box(0.0, 0.0, *self.page.bbox.size)

    @property
    def plot_px(self) -> tuple[float, float]:
        """About the width and height of the plot's area, before it is fitted."""
        return self.box.right * _PLOT, self.box.top * _PLOT

    def add_frame(self, place: Box) -> Axes:
        """Axes at a place in the plot's area."""
        axes = self.page.add_axes((0, 0, 1, 1), label=f"frame {len(self.frames)}", facecolor="none")
        self.frames.append((axes, place))
        return axes

    def fit(self, room: Box) -> None:
        """Makes the plot's area as large as it can be with all that juts out of it inside the room."""
        area = room
        for _ in range(_ROUNDS):
            self._place(area)
            taken = self._taken()
            area = _within(Box(*(a + r - t for a, r, t in zip(area, room, taken, strict=True))), room)
        self._place(area)

    def _place(self, area: Box) -> None:
        """Moves the plot's area to a place on the page."""
        _, _, width, height = self.box
        left, bottom = area.left / width, area.bottom / height
        across, up = (area.right - area.left) / width, (area.top - area.bottom) / height
        self.area.clear().scale(across, up).translate(left, bottom)
        for axes, box in self.frames:
            size = (box.right - box.left) * across, (box.top - box.bottom) * up
            axes.set_position((left + box.left * across, bottom + box.bottom * up, *size))

    def _taken(self) -> Box:
        """What the plot covers with its ticks, titles and notes."""
        return Box(*Bbox.union(list(self._extents())).extents)

    def _extents(self) -> Iterator[Bbox]:
        yield Bbox.from_extents(*self.paper.transform([(0, 0), (1, 1)]).ravel())
        for artist in (*(axes for axes, _ in self.frames), *self.notes, *self.marks):
            box = artist.get_tightbbox(self.renderer) if artist.get_visible() else None
            if box is not None:
                yield box


def _within(area: Box, room: Box) -> Box:
    """No larger than the room, and large enough to draw in."""
    left, bottom = max(area.left, room.left), max(area.bottom, room.bottom)
    right, top = min(area.right, room.right), min(area.top, room.top)
    return Box(left, bottom, max(right, left + _LEAST_PX), max(top, bottom + _LEAST_PX))
