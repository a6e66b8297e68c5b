"""A figure on the screen that follows plain figures: only what differs is sent, in one message."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import plotly.graph_objects as go

__all__ = ["LiveFigure"]

_ACKNOWLEDGED_S = 0.4  # how long a browser may take to say that it has drawn; without one nothing is said
_Path = tuple[str, ...]


class LiveFigure:
    """One figure widget for the life of a panel. Used by one thread; the browser's answers come in others.

    ``widget`` goes into a layout of ipywidgets. Its first picture is part of it, so that it is never empty.
    """

    def __init__(self, first: go.Figure) -> None:
        self.widget = go.FigureWidget(first)
        self.widget._config = {"displaylogo": False, "responsive": True, "displayModeBar": False}
        self._shown: dict[str, Any] = _plain(first)
        self.redraws = 0

    @property
    def shown(self) -> go.Figure:
        """What was shown last, as a plain figure."""
        return go.Figure(deepcopy(self._shown))

    def show(self, figure: go.Figure) -> None:
        """Make the widget show this figure."""
        new = _plain(figure)
        if [t["type"] for t in new["data"]] == [t["type"] for t in self._shown["data"]]:
            self._update(new)
        else:
            self._replace(figure)
        self._shown = new
        self.redraws += 1

    def settle(self) -> None:
        """Wait until the browser has drawn what was shown last, or for a moment where none looks."""
        done = threading.Event()
        self.widget.on_edits_completed(done.set)
        done.wait(_ACKNOWLEDGED_S)

    def on_click(self, act: Callable[[Any], None]) -> None:
        """Call ``act`` with the ``customdata`` of a marker that was clicked. It is to return at once."""
        for trace in self.widget.data:
            if hasattr(trace, "on_click"):
                trace.on_click(lambda trace, points, _: _tell(trace, points, act))

    def _update(self, new: Mapping[str, Any]) -> None:
        with self.widget.batch_update():
            for trace, before, after in zip(self.widget.data, self._shown["data"], new["data"], strict=True):
                _assign(trace, before, after)
            _assign(self.widget.layout, self._shown["layout"], new["layout"])

    def _replace(self, figure: go.Figure) -> None:
        self.widget.data = ()
        self.widget.add_traces(figure.data)
        self.widget.layout = figure.layout


def _tell(trace: Any, points: Any, act: Callable[[Any], None]) -> None:
    if points.point_inds and trace.customdata is not None:
        act(trace.customdata[points.point_inds[0]])


def _plain(figure: go.Figure) -> dict[str, Any]:
    """The figure as dicts and lists, its template left out: that never changes."""
    found = figure.to_dict()
    layout = {key: value for key, value in found["layout"].items() if key != "template"}
    return {"data": [_tupled(trace) for trace in found["data"]], "layout": _tupled(layout)}


def _tupled(value: Any) -> Any:
    """Sequences of every kind as lists, so that they compare."""
    if isinstance(value, Mapping):
        return {key: _tupled(item) for key, item in value.items()}
    return list(value) if isinstance(value, (list, tuple)) else value


def _assign(target: Any, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    for path, value in _differences(before, after):
        target[path] = value


def _differences(
    before: Mapping[str, Any], after: Mapping[str, Any], path: _Path = ()
) -> Iterator[tuple[str, Any]]:
    """Dotted paths whose value changed, the new value with each; None for what is gone."""
    for key in {**before, **after}:
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, (*path, key))
        elif old != new:
            yield ".".join((*path, key)), new
