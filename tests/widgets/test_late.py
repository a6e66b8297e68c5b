"""Every widget of a panel that anywidget may give up is in the care of the one that mends it."""

from __future__ import annotations

import anywidget
import ipywidgets

from workbench.widgets.code import CodeBox
from workbench.widgets.fit import Fit
from workbench.widgets.late import LateListeners
from workbench.widgets.look import panel
from workbench.widgets.trials_table import TrialsTable


def test_a_panel_looks_after_all_its_anywidgets_however_deep() -> None:
    table, code, fit = TrialsTable(lambda _: None), CodeBox(), Fit()
    made = panel(ipywidgets.VBox([fit, ipywidgets.HBox([ipywidgets.HTML(), code]), table.widget]))
    (late,) = (child for child in made.children if isinstance(child, LateListeners))
    assert late.listeners == [fit, code, *table.widget.children]
    assert all(isinstance(widget, anywidget.AnyWidget) for widget in late.listeners)
