"""Keeps a panel in touch with a page that was slow to load it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import anywidget
import ipywidgets
import traitlets

__all__ = ["LateListeners"]

# anywidget (0.9 to 0.11) gives a model up that has not loaded two seconds after it was made. On a page that
# is busy, with plotly for instance, that befalls the lightest too. It does load, only later, and is shown;
# but whatever Python tells it from then on is dropped: figures and tables stay empty.
_ESM = """
const NOTHING = { content: { data: { method: "" } } };

async function givenUp(model) {
  try { await model._handle_comm_msg(NOTHING); return false; } catch { return true; }
}

async function redraw(model) {
  for (const made of Object.values(model.views ?? {})) {
    const view = await made;
    view.update_classes([], model.get("_dom_classes"));  // anywidget's views do not follow these
    if (view.el.firstChild) view.render();               // else it is yet to be drawn, from the new state
  }
}

function listenAgain(model) {
  const handle = Object.getPrototypeOf(model.constructor.prototype)._handle_comm_msg;
  model.comm.on_msg(async (message) => {
    await handle.call(model, message);
    // The answer to the request below. Of all widgets, plotly's figures alone do not draw a new state, but
    // only what they are told of changes.
    if (message.content.data.state?._esm && model.get("_widget_data")) await redraw(model);
  });
  model.comm.send({ method: "request_state" }, {}, {}, []);
}

async function keep(manager, reference) {
  const model = await manager.get_model(reference.replace("IPY_MODEL_", ""));
  if (await givenUp(model)) listenAgain(model);
}

export default {
  initialize({ model }) {
    for (const reference of model.get("listeners")) keep(model.widget_manager, reference);
  },
};
"""


class LateListeners(anywidget.AnyWidget):
    """Takes no room. Those below ``parts`` that the page gave up listen again, and hear what they missed."""

    _esm = _ESM
    listeners: traitlets.List[ipywidgets.Widget] = traitlets.List().tag(
        sync=True, **ipywidgets.widget_serialization
    )

    def __init__(self, parts: Sequence[ipywidgets.Widget]) -> None:
        super().__init__(listeners=list(_anywidgets(parts)), layout={"display": "none"})


def _anywidgets(parts: Sequence[ipywidgets.Widget]) -> Iterator[anywidget.AnyWidget]:
    for part in parts:
        if isinstance(part, anywidget.AnyWidget):
            yield part
        yield from _anywidgets(getattr(part, "children", ()))
