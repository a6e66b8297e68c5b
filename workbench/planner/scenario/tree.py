"""A file's values, each knowing where it stands: every complaint names its key, its path and its line.

YAML is composed, never constructed: tags make no objects, aliases do not expand, and plain words mean what
they mean in JSON (``1e6`` is a number, ``no`` is a word).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import yaml

from workbench.errors import InputError
from workbench.planner.scenario.units import in_unit

__all__ = ["LARGEST_BYTES", "Item", "item_of", "read_tree", "value_of", "yaml_text"]

LARGEST_BYTES = 1_000_000
"""Of a file; a scenario has a thousandth of it."""

_WORDS: Mapping[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d{1,3})?", re.ASCII)
_YAML = "tag:yaml.org,2002:"
_KINDS = ("null", "bool", "int", "float", "str", "timestamp", "map", "seq")


@dataclass(frozen=True)
class Item:
    """A value and where it stands."""

    value: Any  # a scalar, a tuple of items, or items by key
    source: str  # the file's name
    path: str = ""  # keys to it, e.g. "constraints.ttft"
    line: int | None = None  # from 1, where known

    @property
    def where(self) -> str:
        """``chat.yaml:9: constraints.ttft``."""
        line = "" if self.line is None else f":{self.line}"
        return f"{self.source}{line}" + (f": {self.path}" if self.path else "")

    def fail(self, why: str, cause: Exception | None = None) -> NoReturn:
        """Raise an InputError that says where."""
        raise InputError(f"{self.where}: {why}") from cause

    def _expected(self, what: str) -> NoReturn:
        self.fail(f"takes {what}: got {_shown(self.plain())}")

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def _as_base(self) -> dict[str, Item]:
        """The name of a device or link becomes the base of what is changed about it."""
        is_profile = self.path.partition(".")[0] in ("devices", "link", "links")
        return {"base": self} if is_profile and isinstance(self.value, str) else {}

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, tuple)

    def mapping(self, example: str = "key: value") -> dict[str, Item]:
        """Items by key, whatever the keys."""
        return self.value if isinstance(self.value, dict) else self._expected(f"a mapping, as {{{example}}}")

    def of(self, known: Iterable[str], what: str = "key") -> dict[str, Item]:
        """Items by key, all of them known."""
        names = list(known)
        for key, item in self.mapping().items():
            if key not in names:
                item.unknown(key, names, what)
        return dict(self.value)

    def unknown(self, name: str, known: Sequence[str], what: str) -> NoReturn:
        """Raise that no known thing has that name."""
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        self.fail(f"no {what} {name!r} here: {hint}Known are {', '.join(known) or 'none'}")

    def items(self) -> tuple[Item, ...]:
        return self.value if isinstance(self.value, tuple) else self._expected("a list")

    def text(self) -> str:
        return self.value if isinstance(self.value, str) else self._expected("a text")

    def flag(self) -> bool:
        return self.value if isinstance(self.value, bool) else self._expected("true or false")

    def one_of(self, known: Iterable[str], what: str) -> str:
        """A text that is one of some names."""
        names = list(known)
        if (name := self.text()) not in names:
            self.unknown(name, names, what)
        return name

    def whole(self, least: int = 0) -> int:
        """A whole number."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self._expected(f"a whole number of at least {least}")
        return int(value)

    def number(self, unit: str = "", *, named: bool = False) -> float:
        """A number in its base unit; ``named`` asks for a text with a unit."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float | str):
            self._expected("a number")
        try:
            found = in_unit(str(self.value), unit, named=named)
        except ValueError as error:
            self.fail(str(error), error)
        return int(found) if float(found).is_integer() and abs(found) < 2**63 else found

    def plain(self) -> Any:
        """Without its place."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        return [item.plain() for item in self.value] if isinstance(self.value, tuple) else self.value

    def with_(self, keys: Sequence[str], new: Item) -> Item:
        """With what stands at a path replaced or added; places of a list are counted from 0."""
        if not keys:
            return new
        key, rest = keys[0], keys[1:]
        if isinstance(self.value, tuple):
            if not key.isdecimal() or int(key) >= len(self.value):
                new.fail(f"{self.path} is a list of {len(self.value)}: {key!r} is no place in it")
            changed = list(self.value)
            changed[int(key)] = changed[int(key)].with_(rest, new)
            return replace(self, value=tuple(changed))
        inner = self.value if isinstance(self.value, dict) else self._as_base
        old = inner.get(key, Item({}, self.source, f"{self.path}.{key}".lstrip(".")))
        return replace(self, value={**inner, key: old.with_(rest, new)})


def item_of(value: Any, source: str, path: str = "") -> Item:
    """Items of Python's own mappings, sequences and scalars."""
    item = Item(value, source, path)
    if isinstance(value, Mapping):
        pairs = ((str(key), inner) for key, inner in value.items())
        return replace(item, value={key: item_of(inner, source, _joined(path, key)) for key, inner in pairs})
    if isinstance(value, list | tuple):
        inners = (item_of(inner, source, _joined(path, str(i))) for i, inner in enumerate(value))
        return replace(item, value=tuple(inners))
    if value is not None and not isinstance(value, bool | int | float | str):
        replace(item, value=None).fail(f"a {type(value).__name__} is none of JSON's types")
    return item


def read_tree(source: str, text: str | None = None) -> Item:
    """A file's items, or those of a text that names no file.

    Raises:
        InputError: it cannot be read, is longer than ``LARGEST_BYTES``, is neither YAML nor JSON, or says a
            key twice.
    """
    name = Path(source).name or source
    if text is None:
        text = _content(source)
    if len(text.encode()) > LARGEST_BYTES:
        raise InputError(f"{name} is longer than {LARGEST_BYTES:,} bytes: that is no scenario")
    try:
        return _json(text, name) if _is_json(source, text) else _yaml(text, name)
    except RecursionError as error:
        raise InputError(f"{name} is nested too deeply for a scenario") from error


def yaml_text(data: Mapping[str, Any]) -> str:
    """JSON's types as YAML that ``read_tree`` reads back."""
    text: str = yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=100)
    return text


def value_of(text: str, source: str, path: str) -> Item:
    """One value as YAML, as ``--set`` takes it."""
    return item_of(_placed(_composed(text, source), source, path, set(), None).plain(), source, path)


def _content(source: str) -> str:
    path = Path(source)
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise InputError(f"{source} is longer than {LARGEST_BYTES:,} bytes: that is no scenario")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise InputError(f"{source} cannot be read as a scenario: {reason}") from error


def _is_json(source: str, text: str) -> bool:
    if source.endswith(".json"):
        return True
    if not text.lstrip().startswith("{"):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False  # YAML has braces too
    return True


def _json(text: str, name: str) -> Item:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if twice := [key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i])]:
            raise InputError(f"{name}: the key {twice[0]!r} is there twice: say it once")
        return dict(pairs)

    try:
        return item_of(json.loads(text, object_pairs_hook=unique), name)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{name} is no JSON: {error}") from error


def _yaml(text: str, name: str) -> Item:
    node = _composed(text, name)
    if node is None:
        raise InputError(f"{name} is empty: a scenario names a model, devices and a link")
    return _placed(node, name, "", set(), None)


def _composed(text: str, name: str) -> Any:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f":{mark.line + 1}"
        raise InputError(f"{name}{line}: this is no YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{name} is no YAML: {' '.join(str(error).split())}") from error


def _placed(node: Any, source: str, path: str, seen: set[int], line: int | None) -> Item:
    if node is None:
        return Item(None, source, path, line)
    item = Item(None, source, path, node.start_mark.line + 1 if line is None else line)
    if id(node) in seen:
        item.fail("anchors and aliases are not known here: write it out")
    seen.add(id(node))
    if node.tag.removeprefix(_YAML) not in _KINDS:
        item.fail(f"the tag {node.tag!r} means nothing here: leave it out")
    if isinstance(node, yaml.MappingNode):
        return replace(item, value=_pairs(node, item, seen))
    if isinstance(node, yaml.SequenceNode):
        inners = (_placed(n, source, _joined(path, str(i)), seen, None) for i, n in enumerate(node.value))
        return replace(item, value=tuple(inners))
    return replace(item, value=_scalar(node))


def _pairs(node: yaml.MappingNode, item: Item, seen: set[int]) -> dict[str, Item]:
    pairs: dict[str, Item] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        at = replace(item, line=line, path=_joined(item.path, str(key_node.value)[:40]))
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == f"{_YAML}merge":
            at.fail("a key is a word or a number, and no merge key")
        key = str(key_node.value)
        if key in pairs:
            at.fail(f"the key is there twice, first in line {pairs[key].line}: say it once")
        pairs[key] = _placed(value_node, item.source, _joined(item.path, key), seen, line)
    return pairs


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    if node.style is not None:  # in quotes
        return text
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > 40 or not _NUMBER.fullmatch(text):
        return text
    return float(text) if set(text) & set(".eE") else int(text)


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
