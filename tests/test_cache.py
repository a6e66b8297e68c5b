"""The cache keeps by content, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench import cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_was_kept_is_found(folder: Path) -> None:
    key = cache.content_key({"b": 1, "a": [1.5, None]})
    assert cache.read_cached("room", key) is None
    cache.write_cached("room", key, {"x": 1})
    assert cache.read_cached("room", key) == {"x": 1}
    assert [p.name for p in (folder / "room").iterdir()] == [f"{key}.json"]


def test_order_of_keys_is_no_content() -> None:
    assert cache.content_key({"a": 1, "b": 2}) == cache.content_key({"b": 2, "a": 1})


def test_a_torn_file_counts_as_nothing(folder: Path) -> None:
    (folder / "room").mkdir(parents=True)
    (folder / "room" / "k.json").write_text('{"x": ')
    assert cache.read_cached("room", "k") is None


def test_a_folder_that_cannot_be_made_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file"))
    cache.write_cached("room", "k", 1)
    assert cache.read_cached("room", "k") is None


def test_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WORKBENCH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "workbench"
