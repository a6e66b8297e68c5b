"""Keeps a figure as wide as its place."""

from __future__ import annotations

import anywidget

__all__ = ["Fit"]

_ESM = """
function render({ el }) {
  // A figure widget looks at its width when it is made, before it has a place, and when the window changes.
  // A change of its height nails its width too, to what that is then.
  let width = 0, pending = 0;
  const refit = () => {
    const figure = el.closest(".widget-vbox")?.querySelector(".js-plotly-plot");
    if (figure?.layout) delete figure.layout.width;
    window.dispatchEvent(new Event("resize"));
  };
  const observer = new ResizeObserver(([entry]) => {
    if (Math.abs(entry.contentRect.width - width) < 1) return;
    width = entry.contentRect.width;
    clearTimeout(pending);
    pending = setTimeout(refit, 60);
  });
  observer.observe(el);
  return () => { clearTimeout(pending); observer.disconnect(); };
}
export default { render };
"""


class Fit(anywidget.AnyWidget):
    """Takes no room. Put it above a figure widget: it tells that one whenever their common width changes."""

    _esm = _ESM
