"""How panels look: one style sheet on JupyterLab's own colours, messages and tables as HTML."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from html import escape

import anywidget
import ipywidgets

from workbench.errors import WorkbenchError
from workbench.widgets.late import LateListeners

__all__ = ["MessageBox", "hidden", "note", "panel", "pre", "style_sheet", "table"]

_CSS = """
.wb-panel { --wb-line: var(--jp-border-color2, #bdbdbd55); --wb-soft: var(--jp-ui-font-color2, #777);
  color: var(--jp-ui-font-color1, inherit); width: 100%; }
.wb-wrap { display: flex; flex-flow: row wrap; gap: 4px 18px; align-items: flex-start; width: 100%; }
.wb-controls { flex: 1 1 320px; min-width: 310px; max-width: 400px; }
.wb-figure { flex: 4 1 480px; min-width: 460px; overflow: hidden; }
.wb-figure .wb-plot { width: 100%; }
/* Parallel coordinates spread a canvas over the whole figure, which would keep the mouse from all else. */
.wb-figure .gl-canvas-pick { pointer-events: none !important; }
.wb-numbers { flex: 1 1 585px; min-width: 320px; max-width: 100%; }
.wb-axes { flex-wrap: wrap; }
.wb-axes > * { flex: 1 1 125px; min-width: 0; }
.wb-axes > * > label { width: auto !important; padding-right: 6px; }
.wb-panel .wb-left { align-self: flex-start; }
.wb-row { align-items: center; }
.wb-row .widget-slider .slider-container { margin-left: 6px; margin-right: 6px; }
.wb-unit { flex-direction: row-reverse; }
.wb-unit > label { text-align: left !important; padding-left: 4px; }
.wb-panel .wb-heading { font-weight: 600; margin: 8px 0 0; line-height: 1.5; }
.wb-panel .wb-sentence { font-size: 14px; line-height: 1.45; border-left: 4px solid #0072B2;
  padding: 4px 10px; background: rgba(86, 180, 233, .14); margin: 2px 0 6px; }
.wb-panel .wb-note { color: var(--wb-soft); font-size: 12px; line-height: 1.4; }
.wb-panel table.wb-table { border-collapse: collapse; font-size: 11.5px; line-height: 1.4;
  font-variant-numeric: tabular-nums; margin: 2px 0; background: none; }
.wb-panel table.wb-table td, .wb-panel table.wb-table th { padding: 2px 6px 2px 0; text-align: right;
  border-bottom: 1px solid var(--wb-line); background: none; color: inherit; white-space: nowrap; }
.wb-panel table.wb-table td:first-child, .wb-panel table.wb-table th:first-child { text-align: left; }
.wb-panel .wb-scroll { overflow-x: auto; max-width: 100%; }
.wb-panel .wb-error { border-left: 4px solid #D55E00; background: rgba(213, 94, 0, .12);
  padding: 4px 10px; line-height: 1.45; margin: 4px 0; white-space: pre-wrap; }
.wb-panel .wb-error pre, .wb-panel .wb-text { font-size: 12px; line-height: 1.4; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.wb-panel pre.wb-text { border: 1px solid var(--wb-line); border-radius: 3px; padding: 6px 8px; margin: 2px 0;
  max-height: 180px; overflow: auto; background: none; color: inherit; }
"""

_ESM = """
function nameAll(panel) {
  // Sliders have no name for those who cannot see the label beside them, and boxes have their unit as one.
  for (const label of panel.querySelectorAll(".widget-slider > label, .wb-unit > label")) {
    const control = label.parentElement.querySelector(".noUi-handle, input");
    const hint = label.title && label.title !== label.textContent ? label.title : "";
    const boxed = label.parentElement.classList.contains("wb-unit");
    control?.setAttribute("aria-label", boxed ? hint : [label.textContent, hint].filter(Boolean).join(". "));
  }
  // Notebook 7 takes arrows for itself, and both take letters that choose from a list: X would cut the cell.
  const own = panel.querySelectorAll(".noUi-handle, select");
  for (const control of own) control.dataset.lmSuppressShortcuts = "true";
}
function render({ el }) {
  // Controls come one after the other: name what is there, several times, and what the user comes to.
  const name = () => { const panel = el.closest(".wb-panel"); if (panel) nameAll(panel); };
  const timers = [100, 1000, 5000].map((delay) => setTimeout(name, delay));
  document.addEventListener("focusin", name);
  return () => { timers.forEach(clearTimeout); document.removeEventListener("focusin", name); };
}
export default { render };
"""


class _StyleSheet(anywidget.AnyWidget):
    """Style and names of everything in the panel around it."""

    _esm = _ESM
    _css = _CSS


def style_sheet() -> ipywidgets.DOMWidget:
    """The style of everything inside a ``wb-panel``, and names for those who cannot see it; takes no room."""
    return _StyleSheet(layout={"display": "none"})


def panel(body: ipywidgets.Widget) -> ipywidgets.VBox:
    """The whole panel: styled, with names for those who cannot see it, and in touch with slow pages too."""
    made = ipywidgets.VBox([style_sheet(), body, LateListeners([body])])
    made.add_class("wb-panel")
    return made


class MessageBox:
    """Where a panel says what went wrong, in words that a user understands; the traceback is folded."""

    def __init__(self) -> None:
        self.widget = ipywidgets.HTML("", layout={"display": "none"})
        self.text = ""

    def show(self, error: BaseException) -> None:
        """Say what happened and what to do."""
        known = isinstance(error, WorkbenchError)
        self.text = str(error) if known else f"Unexpected {type(error).__name__}: {error}"
        way_out = "" if known else "<br>This is a defect of the workbench; the panel goes on working."
        trace = "".join(traceback.format_exception(error))
        self.widget.value = (
            f"<div class='wb-error' role='alert'>{escape(self.text)}{way_out}"
            f"<details><summary>Traceback</summary><pre>{escape(trace)}</pre></details></div>"
        )
        self.widget.layout.display = ""

    def clear(self) -> None:
        """Say nothing."""
        if self.text:
            self.text = self.widget.value = ""
            self.widget.layout.display = "none"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, note: str = "") -> str:
    """An HTML table of texts; the first column names the rows."""
    top = "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr><th scope='row'>{escape(row[0])}</th>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    below = f"<div class='wb-note'>{escape(note)}</div>" if note else ""
    inner = f"<table class='wb-table'><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div class='wb-scroll'>{inner}</div>{below}"


def pre(text: str, label: str) -> str:
    """A text as it is, with a name for those who cannot see where it stands."""
    return f"<pre class='wb-text' tabindex='0' aria-label='{escape(label)}'>{escape(text)}</pre>"


def note(text: str) -> str:
    """A remark in small print."""
    return f"<div class='wb-note'>{escape(text)}</div>"


def hidden(widget: ipywidgets.Widget, hide: bool) -> None:
    """Show a widget or take its room away."""
    widget.layout.display = "none" if hide else ""
