"""A figure on the screen that follows plain figures: only what differs is sent, in one message."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import plotly.graph_objects as go

from workbench.plots.style import TEMPLATE

__all__ = ["LiveFigure"]

_ACKNOWLEDGED_S = 0.4  # how long a browser may take to say that it has drawn; without one nothing is said
_POLL_S = 0.005
_ON_AXES = ("shapes", "annotations")
_Path = tuple[str, ...]


class LiveFigure:
    """One figure widget for the life of a panel. Used by one thread; the browser's answers come in others.

    ``widget`` goes into a layout of ipywidgets. Its first picture is part of it, so that it is never empty.
    Figures may come as their ``data`` and ``layout`` in dicts and lists, without plotly's checks, which take
    longer than a redraw may.
    """

    def __init__(self, first: go.Figure | Mapping[str, Any]) -> None:
        self.widget = go.FigureWidget(first)
        self.widget._config = {"displaylogo": False, "responsive": True, "displayModeBar": False}
        self._shown: dict[str, Any] = _plain(first)
        self.redraws = 0
        self._act: Callable[[Any], None] | None = None

    @property
    def shown(self) -> go.Figure:
        """What was shown last, as a plain figure."""
        return go.Figure(deepcopy(self._shown)).update_layout(template=TEMPLATE)

    def show(self, figure: go.Figure | Mapping[str, Any]) -> None:
        """Make the widget show this figure."""
        new = _plain(figure)
        if [t["type"] for t in new["data"]] == [t["type"] for t in self._shown["data"]]:
            self._update(new)
        else:
            self._replace(go.Figure(figure), new)
        self._shown = new
        self.redraws += 1

    def settle(self) -> None:
        """Wait until the browser has drawn what was shown last, or for a moment where none looks.

        Of its two answers only that about traces arrives: plotly 7.1 sends the one about the layout under a
        name that it does not listen to, so ``on_edits_completed`` never calls.
        """
        until = time.monotonic() + _ACKNOWLEDGED_S
        while self.widget._trace_edit_in_process and time.monotonic() < until:
            time.sleep(_POLL_S)

    def on_click(self, act: Callable[[Any], None]) -> None:
        """Call ``act`` with the ``customdata`` of a marker that was clicked. It is to return at once."""
        self._act = act
        self._listen()

    def _listen(self) -> None:
        for trace in self.widget.data:
            if self._act is not None and hasattr(trace, "on_click"):
                trace.on_click(self._clicked)

    def _clicked(self, trace: Any, points: Any, state: Any) -> None:
        if points.point_inds and trace.customdata is not None and self._act is not None:
            self._act(trace.customdata[points.point_inds[0]])

    def _update(self, new: Mapping[str, Any]) -> None:
        """One message with every changed property of every changed trace.

        Not by plotly's ``batch_update``: where only some of the traces change a property, it tells the
        browser of the others that theirs is undefined, and the browser of 7.1 takes it away.
        """
        pairs = enumerate(zip(self._shown["data"], new["data"], strict=True))
        changes = {i: dict(_differences(*pair)) for i, pair in pairs}
        changed = [i for i, found in changes.items() if found]
        paths = dict.fromkeys(path for found in changes.values() for path in found)
        style = {path: [_value_at(new["data"][i], path) for i in changed] for path in paths}
        layout = dict(_differences(self._shown["layout"], new["layout"]))
        if style or layout:
            self._keep(new)
            self.widget._send_update_msg(style, layout, changed)

    def _replace(self, figure: go.Figure, new: Mapping[str, Any]) -> None:
        """Other traces in place of those there are. The layout not by plotly's setter, which adds to it.

        What is drawn on axes goes before their last trace and comes after their first; axes come before both:
        an axis without traces has no place, one without a layout no range.
        """
        changes = dict(_differences(self._shown["layout"], new["layout"]))
        later = {key: new["layout"].get(key) for key in _ON_AXES}
        self.widget._send_relayout_msg(dict.fromkeys(_ON_AXES))
        self.widget.data = ()
        self.widget._send_relayout_msg({key: change for key, change in changes.items() if key not in later})
        self.widget.add_traces(figure.data)
        self._keep(new)
        self.widget._send_relayout_msg(later)
        self._listen()

    def _keep(self, new: Mapping[str, Any]) -> None:
        """Have the widget's own state follow: what a page that is opened again begins with."""
        widget = self.widget
        for held, trace in zip(widget._data, new["data"], strict=True):
            _become(held, {**deepcopy(trace), "uid": held["uid"]})
        _become(widget._layout, {**deepcopy(new["layout"]), "template": widget._layout["template"]})
        widget._widget_data, widget._widget_layout = deepcopy(widget._data), deepcopy(widget._layout)


def _plain(figure: go.Figure | Mapping[str, Any]) -> dict[str, Any]:
    """The figure as dicts and lists, its template left out: that never changes."""
    found = figure if isinstance(figure, Mapping) else figure.to_dict()
    layout = {key: value for key, value in found["layout"].items() if key != "template"}
    return {"data": [_tupled(trace) for trace in found["data"]], "layout": _tupled(layout)}


def _tupled(value: Any) -> Any:
    """Sequences of every kind as lists, so that they compare."""
    if isinstance(value, Mapping):
        return {key: _tupled(item) for key, item in value.items()}
    return list(value) if isinstance(value, (list, tuple)) else value


def _become(held: dict[str, Any], content: Mapping[str, Any]) -> None:
    held.clear()
    held.update(content)


def _value_at(trace: Mapping[str, Any], path: str) -> Any:
    """The value of a dotted path; None where there is none."""
    value: Any = trace
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


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
