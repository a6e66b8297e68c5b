"""README's pictures that are not of a panel are drawn by a script."""

from __future__ import annotations

import importlib
import json
from io import BytesIO
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from workbench.profiles import DATA

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("pictures")


def test_the_shipped_record_makes_the_picture_of_links(pictures: ModuleType) -> None:
    record = json.loads((DATA / "fidelity.json").read_text(encoding="utf-8"))
    drawn = Image.open(BytesIO(pictures.networks(record)))
    with Image.open(ROOT / "docs" / "images" / "networks.png") as shipped:
        assert drawn.size == shipped.size, "run python docs/pictures.py"


def test_the_shipped_record_makes_the_picture_of_predictions(pictures: ModuleType) -> None:
    record = json.loads((DATA / "prediction.json").read_text(encoding="utf-8"))
    drawn = Image.open(BytesIO(pictures.prediction(record)))
    with Image.open(ROOT / "docs" / "images" / "prediction.png") as shipped:
        assert drawn.size == shipped.size, "run python docs/pictures.py"


@pytest.mark.slow
def test_who_wins_where_is_planned_anew(pictures: ModuleType) -> None:
    drawn = Image.open(BytesIO(pictures.planning()))
    with Image.open(ROOT / "docs" / "images" / "planning.png") as shipped:
        assert drawn.size == shipped.size, "run python docs/pictures.py"
