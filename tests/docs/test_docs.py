"""What README and the guides say is there: links, names, commands."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

import workbench
from workbench.cli.parser import build_parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BY_NAME = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def _blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@BY_NAME
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@BY_NAME
def test_python_compiles_and_names_what_is_public(page: Path) -> None:
    for block in _blocks(page, "python"):
        nodes = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Attribute)]
        used = {node.attr for node in nodes if isinstance(node.value, ast.Name) and node.value.id == "wb"}
        assert used <= set(workbench.__all__)


@BY_NAME
def test_commands_parse(page: Path) -> None:
    lines = [line for block in _blocks(page, "sh") for line in block.splitlines()]
    for words in (shlex.split(line, comments=True) for line in lines):
        if words[:1] == ["workbench"]:
            build_parser().parse_args(words[1:])


@BY_NAME
def test_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^\s*make (\w+)", "\n".join(_blocks(page, "sh")), re.MULTILINE)
    assert [name for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []
