"""Every notebook runs from top to bottom, and is kept as a person would want to read its history."""

from __future__ import annotations

import os
import re
from base64 import b64decode
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
TIMEOUT_S = 180
LARGEST_EXECUTED_BYTES = 6_000_000
SMALLEST_PICTURE_BYTES = 10_000  # of a figure with something in it
PNG = b"\x89PNG\r\n\x1a\n"
VIEW = "application/vnd.jupyter.widget-view+json"
BY_NAME = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def _read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_glob_finds_the_first_notebook() -> None:
    assert NOTEBOOKS[0].name == "00_start_here.ipynb"


@BY_NAME
def test_nothing_that_a_run_left_is_committed(path: Path) -> None:
    notebook = _read(path)
    nbformat.validate(notebook)
    assert [cell.outputs for cell in _code(notebook) if cell.outputs] == []
    assert {cell.execution_count for cell in _code(notebook)} == {None}
    assert set(notebook.metadata) == {"kernelspec"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert {key for cell in notebook.cells for key in cell.metadata} <= {"tags"}


@pytest.mark.slow
@pytest.mark.timeout(600)
@BY_NAME
def test_it_runs_and_stays_small(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = _executed(path, tmp_path)
    errors = [output for cell in _code(notebook) for output in cell.outputs if output.output_type == "error"]
    assert errors == []
    assert _stderr(notebook) == ""
    saved = tmp_path / path.name
    nbformat.write(notebook, saved)
    assert saved.stat().st_size < LARGEST_EXECUTED_BYTES
    page, _ = HTMLExporter().from_notebook_node(notebook)
    _shows_its_figures_without_a_kernel(notebook, page)
    _shows_its_panels_without_widgets(notebook, page)


def _executed(path: Path, folder: Path) -> NotebookNode:
    """Run a copy in an empty folder, so that what a notebook writes does not land in the repository."""
    client = NotebookClient(
        _read(path),
        timeout=TIMEOUT_S,
        kernel_name="python3",
        store_widget_state=False,  # as JupyterLab, which keeps none unless it is told to
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute(env=dict(os.environ))


def _stderr(notebook: NotebookNode) -> str:
    return "".join(
        output.text
        for cell in _code(notebook)
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    )


def _shows_its_figures_without_a_kernel(notebook: NotebookNode, page: str) -> None:
    """A page made by nbconvert draws each figure that the notebook made."""
    figures = [
        output
        for cell in _code(notebook)
        for output in cell.outputs
        if "application/vnd.plotly.v1+json" in output.get("data", {})
    ]
    assert page.count("Plotly.newPlot(") >= len(figures) > 0


def _shows_its_panels_without_widgets(notebook: NotebookNode, page: str) -> None:
    """A cell that shows widgets holds a picture and a table too, and a page made by nbconvert shows both."""
    for cell in _code(notebook):
        shown = [output.data for output in cell.outputs if VIEW in output.get("data", {})]
        if shown:
            pictures = [data["image/png"] for data in shown if "image/png" in data]
            tables = [data["text/html"] for data in shown if "<table" in data.get("text/html", "")]
            assert len(pictures) == len(tables) == 1
            png = b64decode(pictures[0])
            assert png.startswith(PNG)
            assert len(png) > SMALLEST_PICTURE_BYTES
            assert f"data:image/png;base64,{pictures[0].strip()}" in page
            assert all(cell in page for cell in re.findall("<td>.*?</td>", tables[0]))
