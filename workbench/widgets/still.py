"""A panel in a cell, with a picture and a table for where no widgets run."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from typing import Any

import ipywidgets
from IPython.display import display

from workbench.plots.stills import still

__all__ = ["show_with_still"]

_VIEW = "application/vnd.jupyter.widget-view+json"


def show_with_still(widget: ipywidgets.Widget, figure: Any, sentence: str, table: str) -> None:
    """Display a panel; a page without widgets shows the figure as a picture, then sentence and table.

    Two outputs, because such pages show one kind of each output alone: GitHub takes a table before a picture.
    Where widgets run, the second is a widget that shows nothing.
    """
    picture = {"image/png": b64encode(still(figure)).decode(), "text/plain": sentence}
    display({**_view(widget), **picture}, raw=True)
    nothing = ipywidgets.HTML(layout={"display": "none"})
    display({**_view(nothing), "text/html": f"<p>{escape(sentence)}</p>{table}", "text/plain": ""}, raw=True)


def _view(widget: ipywidgets.Widget) -> dict[str, Any]:
    return {_VIEW: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}
