"""README's picture of links is drawn by a script, from the shipped record."""

from __future__ import annotations

import importlib
import json
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from workbench.profiles import DATA

ROOT = Path(__file__).parents[2]


def test_the_shipped_record_makes_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    pictures = importlib.import_module("pictures")
    record = json.loads((DATA / "fidelity.json").read_text(encoding="utf-8"))
    drawn = Image.open(BytesIO(pictures.networks(record)))
    with Image.open(ROOT / "docs" / "images" / "networks.png") as shipped:
        assert drawn.size == shipped.size, "run python docs/pictures.py"
