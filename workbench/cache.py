"""Results that are kept between processes, by content, in the user's cache folder.

A result is one JSON file, named by the hash of all that it depends on: nothing ever needs to be
invalidated, and the folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from workbench.files import write_text

__all__ = ["cache_folder", "content_key", "read_cached", "write_cached", "written_ns"]


def cache_folder() -> Path:
    """``$WORKBENCH_CACHE``, else ``workbench`` in ``$XDG_CACHE_HOME`` or ``~/.cache``; not created here."""
    if own := os.environ.get("WORKBENCH_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "workbench"


def content_key(content: Any) -> str:
    """The hash of anything that JSON can write: equal content, and no other, shares it."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_cached(room: str, key: str) -> Any | None:
    """What ``write_cached`` kept, or None where there is nothing or nothing readable."""
    try:
        return json.loads(_path(room, key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def written_ns(room: str, key: str) -> int | None:
    """When a value was written, for whoever remembers what it read; None where there is nothing."""
    try:
        return _path(room, key).stat().st_mtime_ns
    except OSError:
        return None


def write_cached(room: str, key: str, value: Any) -> None:
    """Keep a value of JSON types. The file appears whole or not at all; a read-only folder keeps nothing."""
    path = _path(room, key)
    try:
        write_text(path, json.dumps(value))
    except OSError:
        return  # a cache that cannot be written costs time, not truth


def _path(room: str, key: str) -> Path:
    return cache_folder() / room / f"{key}.json"
