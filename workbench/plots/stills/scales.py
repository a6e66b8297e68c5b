"""Bars of colour beside the plot or above it, which say what number each colour stands for."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import FuncFormatter

from workbench.plots.stills.layer import Layer
from workbench.plots.stills.sheet import Box, Sheet
from workbench.plots.stills.style import TEXT, Shade, plain, some, text_pt

__all__ = ["draw_scales"]

_THICK_PX, _TICKS_PX, _TITLE_LINE_PX = 12.0, 22.0, 18.0


def draw_scales(sheet: Sheet, layers: Sequence[Layer]) -> None:
    """One for each scale that plotly explains, however many traces use it."""
    shades = {id(la.shade): la.shade for la in layers if la.shade is not None and la.shade.bar is not None}
    for shade in shades.values():
        _draw(sheet, shade)


def _draw(sheet: Sheet, shade: Shade) -> None:
    lies = shade.bar.orientation == "h"
    title = plain(shade.bar.title.text or "")
    axes = sheet.add_frame(_beside(sheet, shade, title) if not lies else _above(sheet, shade))
    number = FuncFormatter(lambda value, _: f"{value:.6g}".replace("-", "−"))
    scale = sheet.page.colorbar(
        shade.mappable, cax=axes, orientation="horizontal" if lies else "vertical", format=number
    )
    scale.outline.set_visible(False)
    axes.tick_params(length=0, pad=2, labelsize=text_pt(None), labelcolor=TEXT)
    axes.set_title(title, size=text_pt(None), color=TEXT, loc="left", pad=4)


def _beside(sheet: Sheet, shade: Shade, title: str) -> Box:
    """Upright, its title within its length."""
    bar, (width, height) = shade.bar, sheet.plot_px
    low, high = _ends(some(bar.y, 0.5), some(bar.len, 1.0), bar.yanchor, ("bottom", "middle", "top"))
    left = some(bar.x, 1.02)
    above = _TITLE_LINE_PX * len(title.split("\n")) / height if title else 0.0
    return Box(left, low, left + _THICK_PX / width, high - above)


def _above(sheet: Sheet, shade: Shade) -> Box:
    """Lying, with its ticks below it and its title above."""
    bar, (_, height) = shade.bar, sheet.plot_px
    low, high = _ends(some(bar.x, 0.5), some(bar.len, 1.0), bar.xanchor, ("left", "center", "right"))
    foot = some(bar.y, 1.02) + _TICKS_PX / height
    return Box(low, foot, high, foot + _THICK_PX / height)


def _ends(at: float, length: float, anchor: str | None, names: tuple[str, str, str]) -> tuple[float, float]:
    """From where to where, by which part of the bar its place is meant."""
    before = {names[0]: 0.0, names[2]: 1.0}.get(str(anchor), 0.5)
    return at - before * length, at + (1 - before) * length
