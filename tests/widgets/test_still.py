"""A panel's cell holds a picture and a table for pages where no widgets run."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import ipywidgets
import plotly.graph_objects as go
import pytest

from workbench.widgets import still

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    bundles: list[dict[str, Any]] = []
    monkeypatch.setattr(still, "display", lambda bundle, raw: bundles.append(bundle))
    return bundles


def test_one_output_has_the_picture_the_other_the_table(shown: list[dict[str, Any]]) -> None:
    panel = ipywidgets.VBox()
    still.show_with_still(panel, go.Figure(go.Bar(x=[1], y=[2])), "a < b", "<table></table>")
    picture, table = shown
    assert picture[VIEW]["model_id"] == panel.model_id
    assert b64decode(picture["image/png"]).startswith(b"\x89PNG\r\n\x1a\n")
    assert picture["text/plain"] == "a < b"
    assert table["text/html"] == "<p>a &lt; b</p><table></table>"
    assert table[VIEW]["model_id"] not in ("", panel.model_id)
    assert "text/html" not in picture
    assert "image/png" not in table
