"""Tensors in the arguments and results of a call: by path, through tuples, lists and mappings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

__all__ = ["Path", "leaves", "read", "replace"]

Path = tuple[Any, ...]
"""Where a value sits: an argument's index or name first, then keys into containers."""


def leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """The tensors of a tree with their paths; objects other than containers are opaque."""
    if isinstance(tree, Tensor):
        yield path, tree
    elif isinstance(tree, (tuple, list)):
        for i, item in enumerate(tree):
            yield from leaves(item, (*path, i))
    elif isinstance(tree, Mapping):
        for key, item in tree.items():
            yield from leaves(item, (*path, key))


def read(tree: Any, path: Path) -> Any:
    """The value at a path.

    Raises:
        KeyError, IndexError: there is none.
    """
    for key in path:
        tree = tree[key]
    return tree


def replace(tree: Any, path: Path, value: Any) -> Any:
    """The tree with ``value`` at ``path``, entries that are missing made on the way.

    Tuples and lists are copied. Mappings change in place: blocks talk to each other through them.
    """
    if not path:
        return value
    key, rest = path[0], path[1:]
    if tree is None:
        tree = () if isinstance(key, int) else {}
    if isinstance(tree, Mapping):
        tree[key] = replace(tree.get(key), rest, value)  # type: ignore[index]
        return tree
    items = [*tree, *[None] * (key + 1 - len(tree))]
    items[key] = replace(items[key], rest, value)
    return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
