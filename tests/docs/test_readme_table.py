"""The table of figures in README: written by a script from measurements, never by hand."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
HOST = {"processor": "A", "cpus": 2, "load": [1]}
RESULTS = {
    "overhead": {"host": HOST, "figures": {"decode_ratio_large": 1.0123, "something": 7}},
    "conformance": {"host": HOST, "figures": {"architectures_total": 1189}},
}


@pytest.fixture
def readme_table(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("readme_table")


def test_known_figures_become_rows_and_the_host_is_named_once(readme_table: ModuleType) -> None:
    text = readme_table.table(RESULTS)
    assert text.count("Measured on A, 2 processor threads.") == 1
    assert "≤ 1.02 | 1.012 |" in text
    assert "| 1,189 |" in text
    assert "something" not in text
    assert "load" not in text


def test_what_was_not_measured_again_keeps_its_row(readme_table: ModuleType) -> None:
    before = readme_table.table(RESULTS)
    again = readme_table.table({"overhead": {"host": HOST, "figures": {"decode_ratio_large": 1.5}}}, before)
    assert "≤ 1.02 | 1.500 |" in again
    assert "| 1,189 |" in again
    assert len(again.splitlines()) == len(before.splitlines())


def test_nothing_measured_says_how(readme_table: ModuleType) -> None:
    assert "make bench" in readme_table.table({})


def test_only_what_is_between_the_markers_changes(readme_table: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    written = readme_table.with_table(readme, "NEW")
    assert readme_table.with_table(written, "NEW") == written
    before, after = readme.split(readme_table.BEGIN)[0], readme.split(readme_table.END)[1]
    assert written == f"{before}{readme_table.BEGIN}\nNEW\n{readme_table.END}{after}"


def test_a_readme_without_markers_is_refused(readme_table: ModuleType) -> None:
    with pytest.raises(ValueError, match="benchmarks: begin"):
        readme_table.with_table("# Title", "NEW")
