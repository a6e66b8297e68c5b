"""Figures in a web page of our own: the library once, each figure as a fragment, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import plotly.graph_objects as go
import plotly.io
from plotly.offline import get_plotlyjs

__all__ = ["document", "fragment", "library"]

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.verdict { border-left: 4px solid #0072B2; padding: .5rem 1rem; background: rgba(86, 180, 233, .14); }
.note { opacity: .75; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid rgba(128,128,128,.3); }
.wide td, .wide th { white-space: nowrap; } td.number, th.number { text-align: right; }
tr.baseline td { font-weight: 600; }
pre { overflow-x: auto; }
/* or parallel coordinates keep the mouse from what is beside them */
.gl-canvas-pick { pointer-events: none !important; }
"""


def library() -> str:
    """The script element that every fragment of the page needs before it: 4.8 MB."""
    return f"<script>{get_plotlyjs()}</script>"


def fragment(figure: go.Figure) -> str:
    """One figure as HTML, as wide as its place."""
    config = {"displaylogo": False, "responsive": True}
    return str(plotly.io.to_html(figure, full_html=False, include_plotlyjs=False, config=config))


def document(title: str, sections: Iterable[str]) -> str:
    """A whole page of HTML sections, which may hold fragments."""
    head = f"<meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>{library()}"
    body = "\n".join(sections)
    return f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>"
