"""Figures in a web page of our own: the library once, each figure as a fragment, nothing from elsewhere."""

from __future__ import annotations

import plotly.graph_objects as go
import plotly.io
from plotly.offline import get_plotlyjs

__all__ = ["fragment", "library"]


def library() -> str:
    """The script element that every fragment of the page needs before it: 4.8 MB."""
    return f"<script>{get_plotlyjs()}</script>"


def fragment(figure: go.Figure) -> str:
    """One figure as HTML, as wide as its place."""
    config = {"displaylogo": False, "responsive": True}
    return str(plotly.io.to_html(figure, full_html=False, include_plotlyjs=False, config=config))
