"""Code to take along: shown as it is, copied with one click."""

from __future__ import annotations

import anywidget
import traitlets

__all__ = ["CodeBox"]

_ESM = """
function render({ model, el }) {
  const button = document.createElement("button");
  const code = document.createElement("pre");
  button.className = "jupyter-widgets jupyter-button wb-copy";
  code.className = "wb-text";
  code.tabIndex = 0;
  code.setAttribute("aria-label", model.get("description"));
  const show = () => { code.textContent = model.get("code"); button.textContent = "Copy the code"; };
  const select = () => {
    const range = document.createRange();
    range.selectNodeContents(code);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(model.get("code"));
      button.textContent = "Copied";
    } catch {
      select();
      button.textContent = "Selected: press Ctrl-C";
    }
  });
  model.on("change:code", show);
  show();
  el.append(button, code);
}
export default { render };
"""


class CodeBox(anywidget.AnyWidget):
    """Python with a button that copies it; where the browser forbids that, the button selects it."""

    _esm = _ESM
    code = traitlets.Unicode("").tag(sync=True)
    description = traitlets.Unicode("Code").tag(sync=True)
